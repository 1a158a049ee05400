//! The built program as a child process, in a folder and with an environment of its own.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a child may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where and how the program runs.
pub struct Program {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

/// What a finished run left.
#[derive(Debug)]
pub struct Finished {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// This, if it ended so.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl Program {
    /// In an empty folder that the database account can pass, with nothing of this process's environment but where
    /// programs are.
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir_in(super::scratch()).unwrap();
        let keep = ["PATH", "HOME", "USER", "VESTIBULE_PG_BIN", "VESTIBULE_PG_FETCH"];
        let variables = keep.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        Self { folder, variables }
    }

    /// With a database.
    #[must_use]
    pub fn database(self, url: &str) -> Self {
        self.variable("DATABASE_URL", url)
    }

    /// With a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(arguments).current_dir(self.folder()).env_clear().envs(&self.variables).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with_input(arguments, "")
    }

    /// Runs it to its end with this on standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        use std::io::Write;
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts it and goes on.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running::new(child)
    }
}

/// A running child; killed when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<(Stream, String)>,
    seen: Vec<String>,
    answered: Vec<String>,
}

/// Where a line came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let (sender, lines) = channel();
        let pipes: [(Stream, Box<dyn Read + Send>); 2] = [
            (Stream::Stdout, Box::new(child.stdout.take().unwrap())),
            (Stream::Stderr, Box::new(child.stderr.take().unwrap())),
        ];
        for (stream, pipe) in pipes {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send((stream, line));
                }
            });
        }
        Self { child, lines, seen: Vec::new(), answered: Vec::new() }
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits for a line that has `text` in it, and returns it.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok((stream, line)) => {
                    self.note(stream, &line);
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {text:?} in:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// What it has answered so far, on standard output.
    pub fn answered(&self) -> &[String] {
        &self.answered
    }

    fn note(&mut self, stream: Stream, line: &str) {
        self.seen.push(line.to_owned());
        if stream == Stream::Stdout {
            self.answered.push(line.to_owned());
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.id()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks it to end, and waits; its exit code and everything it said.
    pub fn stop(mut self) -> (i32, Vec<String>) {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits for its end; its exit code and everything it said.
    pub fn wait(&mut self) -> (i32, Vec<String>) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.seen.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        };
        while let Ok((stream, line)) = self.lines.recv() {
            self.note(stream, &line);
        }
        (status.code().unwrap_or(-1), std::mem::take(&mut self.seen))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
