//! Lines of progress on stderr, each with the time it took.

use std::time::{Duration, Instant};

use crate::embedded::Step;

/// Tells steps as they are done.
pub struct Progress {
    began: Instant,
    is_quiet: bool,
}

impl Progress {
    /// From now on.
    pub fn begin(is_quiet: bool) -> Self {
        Self { began: Instant::now(), is_quiet }
    }

    /// One step, and how long it took.
    pub fn step(&self, what: &str, took: Duration) {
        if !self.is_quiet {
            eprintln!("{:>6.2} s  {what}", took.as_secs_f64());
        }
    }

    /// Everything is done.
    pub fn ready(&self) {
        self.step("ready", self.began.elapsed());
    }

    /// A step on the way to the private database.
    pub fn database(&self, step: &Step, took: Duration) {
        match step {
            Step::Found { version, path } => {
                self.step(&format!("PostgreSQL {version} found in {}", path.display()), took)
            }
            // Said before it starts: it can take minutes on a slow line.
            Step::Fetching { what, bytes } if !self.is_quiet => {
                eprintln!("          fetching PostgreSQL ({what}, {} MB), once", bytes / 1_000_000);
            }
            Step::Fetching { .. } => {}
            Step::Fetched => self.step("PostgreSQL fetched", took),
            Step::InitDb => self.step("private database made", took),
            Step::Started => self.step("private database started", took),
            Step::Joined => self.step("private database of another process joined", took),
        }
    }
}
