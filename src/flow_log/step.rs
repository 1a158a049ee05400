//! What a request notes: a step, and whom and what the flow is about.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::flow::{StepName, StepOutcome};
use crate::model::reason::Why;
use crate::store::flows::FlowChange;

/// One step of a flow. Its members are shown to developers and operators: never a secret, a code, a token, a full
/// e-mail address, or a URL with its query.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) name: StepName,
    pub(super) why: Option<Why>,
    pub(super) took: Option<Duration>,
    members: Map<String, Value>,
}

impl Step {
    /// A step that went well.
    pub fn new(name: StepName) -> Self {
        Self { name, why: None, took: None, members: Map::new() }
    }

    /// Adds what is worth knowing; `null` and empty texts are left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() && value != "" {
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// How long it took.
    #[must_use]
    pub fn took(mut self, took: Duration) -> Self {
        self.took = Some(took);
        self
    }

    /// It did not go well, or left something to be done: why.
    #[must_use]
    pub fn because(mut self, why: Why) -> Self {
        self.why = Some(why);
        self
    }

    pub(super) fn outcome(&self) -> StepOutcome {
        match self.why {
            None => StepOutcome::Ok,
            Some(why) if why.leaves_open() => StepOutcome::Open,
            Some(_) => StepOutcome::Failed,
        }
    }

    /// The members, with the reason's condition among them.
    pub(super) fn shown(self) -> Value {
        let mut members = self.members;
        if let Some(why) = self.why.filter(|why| !why.detail.is_empty()) {
            members.insert("detail".to_owned(), why.detail.into());
        }
        Value::Object(members)
    }
}

/// Whom and what a flow is about, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct FlowSubject {
    /// Slug.
    pub provider: Option<String>,
    /// The OAuth application it is for.
    pub application: Option<String>,
    /// The browser.
    pub client: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The session it made.
    pub session: Option<String>,
    /// SHA-256 of the configuration it ran under.
    pub config_hash: Option<[u8; 32]>,
    /// The inputs of its decision, sealed to this flow.
    pub decision_sealed: Option<Vec<u8>>,
}

impl FlowSubject {
    pub(super) fn merge(&mut self, later: Self) {
        self.provider = later.provider.or(self.provider.take());
        self.application = later.application.or(self.application.take());
        self.client = later.client.or(self.client.take());
        self.user = later.user.or(self.user.take());
        self.session = later.session.or(self.session.take());
        self.config_hash = later.config_hash.or(self.config_hash.take());
        self.decision_sealed = later.decision_sealed.or(self.decision_sealed.take());
    }

    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.provider, &self.application, &self.client, &self.user, &self.session];
        texts.iter().all(|text| text.is_none()) && self.config_hash.is_none() && self.decision_sealed.is_none()
    }

    pub(super) fn write(self, change: &mut FlowChange) {
        change.provider = self.provider;
        change.application_id = self.application;
        change.client_id = self.client;
        change.user_id = self.user;
        change.session_id = self.session;
        change.config_hash = self.config_hash.map(|hash| bytea(&hash));
        change.decision_sealed = self.decision_sealed.map(|sealed| bytea(&sealed));
    }
}

/// PostgreSQL's hexadecimal spelling of bytes.
fn bytea(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
