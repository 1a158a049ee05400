//! Why a provider cannot be changed as asked: in words for the command line, by code for the backend API.

use crate::model::problem::{Code, Error, Problem, code};
use crate::upstream::error::UpstreamError;

/// Why a provider cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The name is neither a built-in provider's nor `custom_<key>`.
    #[error("\"{name}\" is no provider: there are {known}, and custom_KEY with KEY of a-z, 0-9 and '_'")]
    Unknown {
        /// As given.
        name: String,
        /// The built-in ones.
        known: String,
    },
    /// The instance has it already.
    #[error("{0} is configured already; change it with: vestibule provider set {0}")]
    Exists(String),
    /// The instance does not have it.
    #[error("{0} is not configured; add it with: vestibule provider add {0}")]
    Absent(String),
    /// Real users would be let in by whoever asks.
    #[error("a production instance simulates no provider")]
    Production,
    /// There is nothing that could be simulated.
    #[error("{0} is a custom provider, which has no simulation")]
    NoSimulation(String),
    /// A setting has a value that cannot be used.
    #[error("{setting}: {what}")]
    Setting {
        /// Its name in the backend API: `client_id`, `custom.token_url`.
        setting: String,
        /// How the backend API says it.
        code: Code,
        /// What is wrong.
        what: String,
    },
    /// The discovery document cannot be had or used.
    #[error("the issuer at {address} cannot be used: {error}")]
    Discovery {
        /// Where it is.
        address: String,
        /// What went wrong.
        error: UpstreamError,
    },
    /// A custom provider that people may be using.
    #[error("{0} is enabled; switch it off first: vestibule provider set {0} --disable")]
    Active(String),
    /// Somebody else was changing it all the time.
    #[error("{0} is being changed by somebody else; try again")]
    Busy(String),
    /// Anything else.
    #[error(transparent)]
    Fault(#[from] Error),
}

impl ProviderError {
    pub(super) fn setting(setting: impl Into<String>, code: Code, what: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), code, what: what.into() }
    }
}

impl From<sqlx::Error> for ProviderError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl From<ProviderError> for Error {
    /// What the backend API says. Of what an address answered only the kind is reported: whoever names an address must
    /// not learn by us what lies behind it.
    fn from(error: ProviderError) -> Self {
        let problem = match error {
            ProviderError::Fault(error) => return error,
            ProviderError::Unknown { .. } | ProviderError::Absent(_) => Problem::new(code::RESOURCE_NOT_FOUND),
            ProviderError::Exists(_) => {
                Problem::new(code::FORM_IDENTIFIER_EXISTS).param("key").explain("This provider is configured already.")
            }
            ProviderError::Production | ProviderError::NoSimulation(_) => {
                let problem = Problem::new(code::FORM_PARAM_VALUE_INVALID).param("credentials");
                problem.explain("Only built-in providers of development instances can be simulated.")
            }
            ProviderError::Setting { setting, code, what } => Problem::new(code).param(&setting).explain(what),
            ProviderError::Discovery { error, .. } => {
                Problem::new(of_discovery(&error)).param("custom.discovery_url").meta("reason", error.reason.name())
            }
            ProviderError::Active(_) => Problem::new(code::CUSTOM_OAUTH_PROVIDER_CANNOT_DELETE_ACTIVE),
            ProviderError::Busy(_) => Problem::new(code::RESOURCE_LOCKED),
        };
        problem.into()
    }
}

/// The code for a discovery document that cannot be read or used.
pub fn of_discovery(error: &UpstreamError) -> Code {
    let known =
        [code::CUSTOM_OAUTH_PROVIDER_CANNOT_USE_DISCOVERY_URL, code::CUSTOM_OAUTH_PROVIDER_DISCOVERY_ISSUER_MISMATCH];
    let code = known.into_iter().find(|code| code.name == error.failure().code);
    code.unwrap_or(code::CUSTOM_OAUTH_PROVIDER_DISCOVERY_SERVER_RETRIEVAL_ERROR)
}
