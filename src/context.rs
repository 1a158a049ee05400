//! What one request carries: the app, the instance it is for, the moment, and where it comes from.

use std::sync::Arc;

use sqlx::postgres::types::PgInterval;

use crate::app::App;
use crate::flow_log::FlowLog;
use crate::model::id::{ClientId, InstanceId, SessionId};
use crate::model::instance::Instance;
use crate::model::random::Rng;
use crate::model::request::Origin;
use crate::model::time::Timestamp;
use crate::store::{InstanceConnection, interval};

/// The context of a request.
#[derive(Clone)]
pub struct Ctx {
    /// Shared parts.
    pub app: Arc<App>,
    /// Whose users, keys and settings this request is about.
    pub instance: Arc<Instance>,
    /// The moment the request came in, on the instance's clock.
    pub now: Timestamp,
    /// Where it comes from.
    pub from: Origin,
    /// The id that a session beginning in this request has, because an address promised it to a native application.
    pub promised_session: Option<SessionId>,
    /// The client that the presented token stands for by its signature, if no row says more of it.
    pub unsaved_client: Option<ClientId>,
    /// What happens in the flow that this request belongs to; clones of the context share it.
    pub flow_log: FlowLog,
}

impl Ctx {
    /// A context for `instance` at this moment.
    pub fn new(app: Arc<App>, instance: Arc<Instance>, from: Origin) -> Self {
        let now = app.clock.now() + instance.clock_offset;
        let flow_log = FlowLog::new(&app.recorder, &instance.id, &from.request_id, instance.clock_offset);
        Self { app, instance, now, from, promised_session: None, unsaved_client: None, flow_log }
    }

    /// The same, with the id of the session that begins in it.
    #[must_use]
    pub fn promising(&self, session: Option<SessionId>) -> Self {
        Self { promised_session: session, ..self.clone() }
    }

    /// The same, for what is tried and taken back: nothing of it belongs into the flow log.
    #[must_use]
    pub fn without_flow(&self) -> Self {
        let flow_log =
            FlowLog::new(&self.app.recorder, &self.instance.id, &self.from.request_id, self.instance.clock_offset);
        Self { flow_log, ..self.clone() }
    }

    /// This moment, on the instance's clock. What is stamped after a wait is stamped with it, not with [`Self::now`].
    pub fn moment(&self) -> Timestamp {
        self.app.clock.now() + self.instance.clock_offset
    }

    /// The database, for statements about the instance that need no transaction.
    pub fn db(&self) -> InstanceConnection<'_> {
        InstanceConnection::of_pool(&self.app.db, &self.instance.id, self.instance.clock_offset)
    }

    /// The instance's id.
    pub fn instance_id(&self) -> &InstanceId {
        &self.instance.id
    }

    /// Randomness.
    pub fn rng(&self) -> &dyn Rng {
        self.app.rng.as_ref()
    }

    /// How far the instance's clock is moved: `now() + $offset` is what a user can see expire.
    pub fn offset(&self) -> PgInterval {
        interval::of(self.instance.clock_offset)
    }
}
