//! `retention.*`: how long what is over stays stored.

use std::time::Duration;

use super::reader::Reader;

/// Shorter is a mistake: what has just ended is still asked for.
const LEAST: Duration = Duration::from_secs(3600);

macro_rules! spans {
    ($($(#[$doc:meta])* $name:ident = $hours:literal, $key:literal;)*) => {
        /// How long what is over stays stored.
        #[derive(Clone, Debug)]
        pub struct Retention {$(
            $(#[$doc])*
            pub $name: Duration,
        )*}

        impl Default for Retention {
            fn default() -> Self {
                Self { $($name: Duration::from_secs($hours * 3600),)* }
            }
        }

        impl Retention {
            pub(super) fn read(reader: &mut Reader, base: &Self) -> Self {
                Self { $($name: reader.duration_of_at_least($key, base.$name, LEAST),)* }
            }
        }
    };
}

spans! {
    /// Sign-ins, sign-ups, verifications, states and authorization codes, after their end.
    attempts = 24, "retention.attempts";
    /// OAuth access tokens, after their end.
    access_tokens = 168, "retention.access_tokens";
    /// Grants and refresh tokens, after their end.
    grants = 720, "retention.grants";
    /// Sessions, after their end.
    sessions = 720, "retention.sessions";
    /// Browsers that have signed in and have no session, after their last use.
    clients = 720, "retention.clients";
    /// Browsers that never signed in, after their last use.
    visitors = 24, "retention.visitors";
    /// Recorded flows.
    flows = 168, "retention.flows";
    /// Audit events.
    audit = 2160, "retention.audit";
    /// Side effects, after they were done or given up.
    outbox = 720, "retention.outbox";
    /// What side effects were about, after they were done or given up.
    outbox_payloads = 168, "retention.outbox_payloads";
    /// Content of messages, after they were written.
    messages = 24, "retention.messages";
    /// Messages of development inboxes.
    inbox = 168, "retention.inbox";
}
