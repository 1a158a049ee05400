//! Logs: one JSON object per line, or text for people.
//!
//! Lines are written by a thread of their own; a full queue loses lines and says how many rather than holding up a
//! request. Control characters are escaped, and other crates are never heard below `info`: what they say there can hold
//! headers and bodies.

mod format;
mod repeats;
mod sink;

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat, LogLevel};
use format::Lines;
pub use sink::Flush;
use sink::Sink;

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `serve`: standard output, for the machinery that collects it.
    Stdout,
    /// Everything else: standard error, so that standard output holds the command's answer only.
    Stderr,
}

impl Output {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        }
    }
}

/// Begins to write logs. What is still queued is written when the returned value is dropped. A second call in one
/// process does nothing.
pub fn init(log: &Log, output: Output) -> Flush {
    let text = || if output.is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let (sink, flush) = Sink::start(output);
    let lines = Lines::new(sink, log.format.unwrap_or_else(text));
    let _ = tracing_subscriber::registry().with(filter(log)).with(lines).try_init();
    std::panic::set_hook(Box::new(log_panic));
    flush
}

/// The levels asked for.
fn filter(log: &Log) -> EnvFilter {
    let wanted = log.filter.clone().unwrap_or_else(|| format!("warn,vestibule={}", level(log.level)));
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(wanted)
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// Logs a panic by its place. Only fixed texts are repeated: a formatted one may hold anything.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("");
    tracing::error!(place, text, "a thread panicked");
}
