//! How a command fails: one message and an exit code.

use std::process::ExitCode;

use crate::actions::instance::CreateError;
use crate::app::BuildError;
use crate::config::ConfigError;
use crate::embedded::EmbeddedError;
use crate::model::problem::{Error, FaultKind};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did not work; also a busy port.
    Failed = 1,
    /// The command was used wrongly.
    Usage = 2,
    /// The configuration is invalid or incomplete.
    Configuration = 3,
    /// The database cannot be reached.
    Database = 4,
    /// The database's schema is too old.
    Schema = 5,
    /// Interrupted.
    Aborted = 130,
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and what to do, for people.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// A failure of no particular kind.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Prints the message; the code for the process.
    pub fn print(self) -> ExitCode {
        if !self.message.is_empty() {
            let mut lines = self.message.lines();
            eprintln!("vestibule: {}", lines.next().unwrap_or_default());
            for line in lines {
                eprintln!("           {line}");
            }
        }
        ExitCode::from(self.exit as u8)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let count = error.problems.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        Self::new(Exit::Configuration, format!("{count} {noun} in the configuration:\n{error}"))
    }
}

impl From<EmbeddedError> for Failure {
    fn from(error: EmbeddedError) -> Self {
        let exit = match error.exit_code() {
            3 => Exit::Configuration,
            4 => Exit::Database,
            130 => Exit::Aborted,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Ring(error) => Self::new(Exit::Configuration, error.to_string()),
            BuildError::Outbound(error) => Self::new(Exit::Configuration, error.to_string()),
            BuildError::Mail(error) => Self::new(Exit::Configuration, error.to_string()),
            BuildError::Provider(error) => Self::failed(error.to_string()),
            BuildError::Database(error) => error.into(),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Problem(problem) => {
                let lines: Vec<String> = problem
                    .errors
                    .iter()
                    .map(|item| {
                        sentence(&item.long_message, item.meta.get("param_name").and_then(|name| name.as_str()))
                    })
                    .collect();
                Self::failed(lines.join("\n"))
            }
            Error::Fault(fault) if fault.kind == FaultKind::Unavailable => {
                Self::new(Exit::Database, format!("the database does not answer: {}", fault.source))
            }
            Error::Fault(fault) => Self::failed(fault.source.to_string()),
        }
    }
}

fn sentence(words: &str, parameter: Option<&str>) -> String {
    parameter.map_or_else(|| words.to_owned(), |name| format!("{name}: {words}"))
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Fault(error) => error.into(),
            CreateError::NameTaken(_) | CreateError::HostTaken(_) => Self::failed(error.to_string()),
            CreateError::Name(_) | CreateError::FrontendApi { .. } | CreateError::Home { .. } => {
                Self::new(Exit::Usage, error.to_string())
            }
        }
    }
}
