//! How an account's token is doing, in words.

use super::messages::{fill, text};
use super::user_view::Moment;
use crate::actions::provider_token::Checkup;
use crate::model::provider_token::{Health, Refusal};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

/// One sentence about the token of an account at `provider` (its name).
pub fn describe(checkup: &Checkup, provider: &str) -> String {
    let with = |key, moment: Option<Timestamp>| {
        let moment = moment.map(|moment| Moment::of(moment).words).unwrap_or_default();
        let why = checkup.reason.as_ref().map(|refusal| fill(why(refusal), &[("provider", provider)]));
        fill(key, &[("provider", provider), ("time", &moment), ("why", &why.unwrap_or_default())])
    };
    match checkup.state {
        Health::Fresh if checkup.expires_at.is_none() => text("token.fresh").to_owned(),
        Health::Fresh => with("token.fresh_until", checkup.expires_at),
        Health::Stale => with("token.stale", checkup.since),
        Health::Refused => with("token.refused", checkup.since),
        Health::NeedsReconnect => with("token.needs_reconnect", checkup.since),
    }
}

/// What the person should know of the cause.
fn why(refusal: &Refusal) -> &'static str {
    match (refusal.reason, refusal.detail.as_ref()) {
        (Reason::TokenMissing, "refresh") => "token.why_no_refresh",
        (Reason::TokenMissing, _) => "token.why_no_access",
        (Reason::RefreshRefused, "lost") => "token.why_lost",
        _ => "token.why_refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRng;
    use crate::model::id::ExternalAccountId;
    use time::macros::datetime;

    #[test]
    fn every_state_is_a_sentence() {
        let moment = datetime!(2026-11-21 16:20 UTC);
        for (state, reason, expires_at, expected) in [
            (Health::Fresh, None, None, "Working"),
            (Health::Fresh, None, Some(moment), "Working, expires 21 November 2026, 16:20 UTC"),
            (Health::Stale, None, Some(moment), "Expired 21 November 2026, 16:20 UTC; renewed when an app asks for it"),
            (
                Health::Refused,
                Some("provider_timeout"),
                None,
                "Could not be renewed (21 November 2026, 16:20 UTC); tried again when an app asks for it",
            ),
            (
                Health::NeedsReconnect,
                Some("refresh_refused:invalid_grant"),
                None,
                "Needs to be connected again: Vault no longer accepts it (21 November 2026, 16:20 UTC)",
            ),
            (
                Health::NeedsReconnect,
                Some("refresh_refused:lost"),
                None,
                "Needs to be connected again: its renewal was interrupted on our side (21 November 2026, 16:20 UTC)",
            ),
            (
                Health::NeedsReconnect,
                Some("token_missing:refresh"),
                None,
                "Needs to be connected again: Vault did not allow us to renew it (21 November 2026, 16:20 UTC)",
            ),
            (
                Health::NeedsReconnect,
                Some("token_missing:access"),
                None,
                "Needs to be connected again: there is no access any more (21 November 2026, 16:20 UTC)",
            ),
        ] {
            let checkup = Checkup {
                external_account_id: ExternalAccountId::new(moment, &SystemRng),
                provider: "custom_vault".to_owned(),
                state,
                since: Some(moment),
                reason: reason.and_then(Refusal::parse),
                expires_at,
                last_refresh_at: None,
            };
            assert_eq!(describe(&checkup, "Vault"), expected);
        }
    }
}
