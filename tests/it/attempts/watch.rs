//! What must hold after every call.

use serde_json::Value;
use vestibule::model::problem::code;

use crate::support::Answer;

/// What happened at least once: a property that nothing ever touches shows nothing.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    pub sign_ins: u32,
    pub sign_ups: u32,
    pub transfers: u32,
    pub waits: u32,
    pub refusals: u32,
}

impl Reached {
    pub fn add(&mut self, other: &Self) {
        self.sign_ins += other.sign_ins;
        self.sign_ups += other.sign_ups;
        self.transfers += other.transfers;
        self.waits += other.waits;
        self.refusals += other.refusals;
    }

    pub fn is_everything(&self) -> bool {
        [self.sign_ins, self.sign_ups, self.transfers, self.waits, self.refusals].iter().all(|count| *count > 0)
    }
}

/// A success, or a code of the published list with its status.
#[track_caller]
pub fn is_documented(answer: &Answer) {
    let status = answer.status.as_u16();
    if matches!(status, 200 | 303) {
        return;
    }
    let name = answer.error_code();
    let known = code::ALL.iter().find(|code| code.name == name);
    let known = known.unwrap_or_else(|| panic!("{} answered a code of nobody's: {}", answer.url, answer.text));
    assert_eq!(status, vestibule::http::status::of(*known).as_u16(), "{}: {}", answer.url, answer.text);
    assert!(status < 500, "{}: {}", answer.url, answer.text);
}

/// Members of an attempt that must fit together.
#[track_caller]
pub fn is_coherent(attempt: &Value, client: &Value) {
    let status = attempt["status"].as_str().unwrap_or_else(|| panic!("no status: {attempt}"));
    let session = &attempt["created_session_id"];
    assert_eq!(status == "complete", session.is_string(), "a session exactly of what is complete: {attempt}");
    if let Some(session) = session.as_str() {
        let mut sessions = client["sessions"].as_array().into_iter().flatten();
        assert!(sessions.any(|one| one["id"] == session), "a session that is not there: {attempt}");
    }
    match attempt["object"].as_str() {
        Some("sign_in") => sign_in(attempt, status),
        Some("sign_up") => sign_up(attempt, status),
        _ => panic!("what is this? {attempt}"),
    }
}

#[track_caller]
fn sign_in(attempt: &Value, status: &str) {
    let known = ["needs_identifier", "needs_first_factor", "needs_second_factor", "needs_new_password", "complete"];
    assert!(known.contains(&status), "{attempt}");
    let verification = &attempt["first_factor_verification"];
    let is_social = verification["strategy"].as_str().is_some_and(|strategy| strategy.starts_with("oauth_"));
    let is_over = matches!(verification["status"].as_str(), Some("failed" | "transferable"));
    assert!(!is_social || !is_over || status == "needs_identifier", "the SDK would ask for a code: {attempt}");
    if status == "needs_first_factor" {
        assert!(attempt["supported_first_factors"].is_array(), "{attempt}");
    }
}

#[track_caller]
fn sign_up(attempt: &Value, status: &str) {
    assert!(["missing_requirements", "complete"].contains(&status), "{attempt}");
    assert_eq!(status == "complete", attempt["created_user_id"].is_string(), "{attempt}");
}

/// A sign-up that lacks nothing is complete, unless a provider has its part in it.
#[track_caller]
pub fn waits_for_something(attempt: &Value) {
    let open = |name: &str| attempt[name].as_array().unwrap().len();
    let is_ready = open("missing_fields") + open("unverified_fields") == 0;
    let has_authorization = attempt["verifications"]["external_account"].is_object();
    assert!(attempt["status"] == "complete" || !is_ready || has_authorization, "waits for nothing: {attempt}");
}
