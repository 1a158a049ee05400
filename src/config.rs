//! The server's configuration, typed.

/// What the operator can set about this server; instances, providers and users live in the database.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `dev.*`.
    pub dev: Dev,
}

/// Development features.
#[derive(Clone, Debug, Default)]
pub struct Dev {
    /// Serve the development pages and the simulated providers.
    pub pages: bool,
}
