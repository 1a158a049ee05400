//! What `vestibule dev` prints when it is ready: at most 25 lines on stdout.

use serde_json::{Map, Value, json};

use super::super::Global;
use super::super::failure::Failure;
use super::super::show;
use super::environment;
use super::instance::Dev;
use super::seed::USERS;
use crate::cli::home::Home;
use crate::crypto::ExposeSecret;

/// The facts.
pub struct Announcement {
    origin: String,
    here: String,
    publishable_key: String,
    secret_key: Option<String>,
    stored_in: String,
    client_id: Option<String>,
    environment: Vec<(String, String)>,
}

impl Announcement {
    /// Collects them. `port` is this process's own.
    pub fn new(dev: Dev, home: &Home, port: u16) -> Self {
        let environment = environment::lines(&dev.instance, dev.secret_key.as_ref());
        Self {
            origin: dev.instance.origin,
            here: format!("http://localhost:{port}"),
            publishable_key: dev.instance.publishable_key,
            secret_key: dev.secret_key.map(|key| key.expose_secret().to_owned()),
            stored_in: home.environment_path().display().to_string(),
            client_id: home.environment().remove("OAUTH_CLIENT_ID"),
            environment,
        }
    }

    /// The variables of an app.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Prints them.
    pub fn print(&self, global: &Global) -> Result<(), Failure> {
        let environment: Map<String, Value> =
            self.environment.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let document = json!({
            "portal": format!("{}/sign-in", self.origin),
            "development_pages": format!("{}/_dev", self.origin),
            "publishable_key": self.publishable_key,
            "secret_key": self.secret_key,
            "oauth_client_id": self.client_id,
            "environment": environment,
        });
        show::answer(global, &document, || self.lines())
    }

    fn lines(&self) -> Vec<String> {
        let users: Vec<&str> = USERS.iter().map(|(_, _, address)| *address).collect();
        let mut lines = Vec::new();
        let mut fact = |name: &str, value: &str| lines.push(format!("  {name:<18} {value}"));
        fact("Sign in", &format!("{}/sign-in", self.origin));
        fact("Development pages", &format!("{}/_dev", self.origin));
        if self.here != self.origin {
            fact("This replica", &self.here);
        }
        fact("Users", &format!("{} (by any simulated provider)", users.join(", ")));
        if let Some(client_id) = &self.client_id {
            fact("OAuth application", &format!("{client_id} (its secret: {})", self.stored_in));
        }
        fact("Publishable key", &self.publishable_key);
        let elsewhere = "kept by the process that made it";
        fact("Secret key", self.secret_key.as_deref().unwrap_or(elsewhere));
        lines.push(String::new());
        lines.push("Environment of your app (again: vestibule instance env dev):".to_owned());
        lines.push(String::new());
        lines.extend(self.environment.iter().map(|(name, value)| format!("{name}={value}")));
        lines
    }
}
