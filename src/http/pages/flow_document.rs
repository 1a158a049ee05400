//! A flow of the flow log, as JSON: the development page's other form, and what `vestibule flow --json` prints.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::reasons;
use crate::actions::flow_reader::Shown;
use crate::model::flow::ObservedStatus;
use crate::model::reason::{Actor, Again, Reason};
use crate::model::time::Timestamp;
use crate::store::flows::Flow;

/// A line of the list.
pub fn summary(flow: &Flow, status: ObservedStatus) -> Value {
    json!({
        "object": "flow",
        "id": flow.id,
        "kind": flow.kind,
        "status": status,
        "reason": flow.reason,
        "detail": flow.detail,
        "label": flow.reason.map(Reason::label),
        "text_key": flow.reason.and_then(|reason| text_key(flow, reason)),
        "provider": flow.provider,
        "application_id": flow.application_id,
        "client_id": flow.client_id,
        "user_id": flow.user_id,
        "session_id": flow.session_id,
        "started_at": moment(flow.started_at),
        "ended_at": flow.ended_at.map(moment),
    })
}

/// A flow with its steps.
pub fn flow(shown: &Shown) -> Value {
    let mut value = summary(&shown.flow, shown.status);
    let more = json!({
        "again": shown.flow.reason.map(|reason| again(reason.again())),
        "sentence": shown.flow.reason.and_then(|reason| text_key(&shown.flow, reason)).map(|key| reasons::sentence(key, None)),
        "hint": shown.hint,
        "same_reason_in_24_hours": shown.same_today,
        "configuration": shown.configuration.as_ref().map(|configuration| json!({
            "hash": configuration.hash,
            "differs_from_now": configuration.differs,
        })),
        "steps": shown.steps,
    });
    if let (Some(members), Value::Object(more)) = (value.as_object_mut(), more) {
        members.extend(more);
    }
    value
}

fn text_key(flow: &Flow, reason: Reason) -> Option<reasons::TextKey> {
    reasons::text_key(reason, flow.detail.as_deref().unwrap_or_default())
}

/// Whether trying again may help, in short.
pub fn again(again: Again) -> &'static str {
    match again {
        Again::Yes => "yes",
        Again::Later => "later",
        Again::No(Actor::App) => "no: app",
        Again::No(Actor::Operator) => "no: operator",
        Again::No(Actor::Person) => "no: person",
    }
}

/// RFC 3339.
pub fn moment(moment: Timestamp) -> String {
    moment.format(&Rfc3339).unwrap_or_default()
}
