//! `vestibule instance origins`.

use clap::Subcommand;
use serde_json::json;

use super::Global;
use super::failure::{Exit, Failure};
use super::open::{Open, actor};
use super::show;
use crate::actions::instance::{self, OriginError};

/// What to do with an instance's origins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them
    List,
    /// Add one, like https://app.example.com
    Add {
        /// Scheme, host and, unless it is the scheme's own, port
        origin: String,
    },
    /// Remove one that was added
    Remove {
        /// As listed
        origin: String,
    },
}

impl Command {
    /// Runs the command; shows the list as it is then.
    pub async fn run(self, global: &Global, open: &Open) -> Result<(), Failure> {
        let instance = open.instance(global).await?;
        match self {
            Self::List => {}
            Self::Add { origin } => {
                instance::allow_origin(&open.app, &instance, &origin, actor()).await?;
            }
            Self::Remove { origin } => {
                instance::drop_origin(&open.app, &instance, &origin, actor()).await?;
            }
        }
        let origins = open.instance(global).await?.origins;
        show::answer(global, &json!({ "origins": origins }), || origins.clone())
    }
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Other(error) => error.into(),
            refused => Self::new(Exit::Usage, refused.to_string()),
        }
    }
}
