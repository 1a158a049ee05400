//! A reverification of a session.

use serde_json::{Value, json};

use super::sign_in::factor;
use crate::actions::session::reverify::Reverification;
use crate::model::time::{Timestamp, millis};

/// A reverification; `session` is shown already.
pub fn reverification(shown: &Reverification, session: Value, now: Timestamp) -> Value {
    let verification = shown.asked.as_ref().map(|asked| {
        json!({
            "object": "verification_otp",
            "status": asked.status.shown(asked.expires_at, now),
            "strategy": asked.strategy,
            "attempts": asked.attempts,
            "expire_at": millis(asked.expires_at),
        })
    });
    json!({
        "object": "session_reverification",
        "status": if shown.is_complete() { "complete" } else { "needs_first_factor" },
        "level": "first_factor",
        "supported_first_factors": shown.factors.iter().map(factor).collect::<Vec<_>>(),
        "supported_second_factors": null,
        "first_factor_verification": verification,
        "second_factor_verification": null,
        "session": session,
    })
}
