//! Switches and counters of a simulated provider, for tests: `…/state` with JSON.

use super::answer::Answer;
use super::faults::{Call, Fault};
use super::refreshing::Behavior;
use super::{Request, Simulated};
use crate::model::problem::Error;
use crate::store::simulator as store;
use crate::store::simulator_switches as switches;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The calls that one of which `fail_next` says nothing may be.
const ANY: [Call; 5] = [Call::Token, Call::Refresh, Call::Userinfo, Call::Keys, Call::Discovery];

/// What can be switched.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switches {
    /// Ends every access token issued until now.
    #[serde(default)]
    expire_access_tokens: bool,
    /// Revokes the refresh tokens of this provider user id.
    revoke_refresh_token: Option<String>,
    /// New addresses by provider user id; null takes the address away.
    #[serde(default)]
    set_email: BTreeMap<String, Option<String>>,
    /// The next calls fail.
    #[serde(default, deserialize_with = "present")]
    fail_next: Option<Option<FailNext>>,
    /// Every call fails, until null.
    #[serde(default, deserialize_with = "present")]
    fault: Option<Option<String>>,
    /// How tokens are refreshed, until null: then as the real provider does.
    #[serde(default, deserialize_with = "present")]
    refresh: Option<Option<String>>,
    /// A code or token to be looked up.
    describe: Option<String>,
}

/// So many calls with a status, or with a fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailNext {
    /// Any call that comes, with this status.
    status: Option<u16>,
    /// The calls that this fault touches, with it.
    fault: Option<String>,
    /// How many.
    #[serde(default = "once")]
    count: u32,
}

fn once() -> u32 {
    1
}

/// Tells a member that is null from one that is absent.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl FailNext {
    /// The fault and its calls; `None` for what is no fault.
    fn read(&self) -> Option<(String, Vec<Call>)> {
        match (self.status, &self.fault) {
            (Some(status), None) => {
                Fault::parse(&format!("http_{status}"))?;
                Some((format!("http_{status}@any"), ANY.to_vec()))
            }
            (None, Some(text)) => Some((text.clone(), vec![Fault::parse(text)?.call])),
            _ => None,
        }
    }
}

impl Switches {
    /// What is wrong with them.
    fn refusal(&self) -> Option<&'static str> {
        let is_fault = |text: &String| text.is_empty() || Fault::parse(text).is_some();
        let is_behavior = |text: &String| text.is_empty() || Behavior::parse(text).is_some();
        if !self.fault.iter().flatten().all(is_fault) {
            return Some("fault: there is no such fault.");
        }
        if !self.refresh.iter().flatten().all(is_behavior) {
            return Some("refresh: there is no such behavior.");
        }
        if !self.fail_next.iter().flatten().all(|next| next.read().is_some()) {
            return Some("fail_next: one of status (400 to 599) and fault.");
        }
        None
    }
}

impl Simulated<'_> {
    /// What is switched, what was asked, and what came of it.
    pub(super) async fn state(&self) -> Result<Answer, Error> {
        let mut connection = self.simulator.db.acquire().await?;
        let provider = switches::provider(&mut connection, self.place()).await?;
        let families = switches::families(&mut connection, self.place()).await?;
        let families: Vec<Value> = families
            .into_iter()
            .map(|family| {
                json!({
                    "provider_user_id": family.provider_user_id,
                    "generation": family.generation,
                    "access_tokens": family.access_tokens,
                    "refresh_tokens": family.refresh_tokens,
                    "is_revoked": family.is_revoked,
                })
            })
            .collect();
        Ok(Answer::good(json!({
            "fault": provider.fault,
            "fail_next": provider.fail_next,
            "refresh": provider.refresh,
            "calls": provider.calls,
            "families": families,
        })))
    }

    /// Acts on the switches. JSON only, so that no page of another origin can post it without a preflight.
    pub(super) async fn switch(&self, request: Request<'_>) -> Result<Answer, Error> {
        let content_type = request.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = content_type.is_some_and(|text| text.starts_with("application/json"));
        let refuse = |status, error: String| Ok(Answer::json((status, json!({ "error": error }))));
        let switches = match serde_json::from_slice::<Switches>(request.body) {
            Ok(switches) if is_json => switches,
            Ok(_) => return refuse(415, "The body must be application/json.".to_owned()),
            Err(error) => return refuse(400, error.to_string()),
        };
        if let Some(refusal) = switches.refusal() {
            return refuse(400, refusal.to_owned());
        }
        self.set(switches).await
    }

    async fn set(&self, wanted: Switches) -> Result<Answer, Error> {
        let place = self.place();
        let mut connection = self.simulator.db.acquire().await?;
        if wanted.expire_access_tokens {
            store::expire_access_tokens(&mut connection, place).await?;
        }
        let mut revoked = 0;
        if let Some(provider_user_id) = &wanted.revoke_refresh_token {
            revoked = store::revoke_refresh_tokens(&mut connection, place, provider_user_id).await?;
        }
        for (provider_user_id, email) in &wanted.set_email {
            switches::set_email(&mut connection, place, provider_user_id, email.as_deref()).await?;
        }
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(fault) = wanted.fault {
            switches::set_fault(&mut connection, place, some(fault).as_deref()).await?;
        }
        if let Some(refresh) = wanted.refresh {
            switches::set_refresh(&mut connection, place, some(refresh).as_deref()).await?;
        }
        if let Some(next) = &wanted.fail_next {
            let read = next.as_ref().and_then(|next| Some((next.read()?, next.count)));
            let next = read.map(|((fault, calls), count)| next_json(&fault, &calls, count));
            switches::set_fail_next(&mut connection, place, next.as_ref()).await?;
        }
        let mut answer = json!({ "revoked_refresh_tokens": revoked });
        if let (Some(token), Some(members)) = (wanted.describe, answer.as_object_mut()) {
            let present = switches::describe(&mut connection, place, self.hash(&token)).await?;
            let present = present.map(|present| {
                json!({
                    "kind": present.kind,
                    "provider_user_id": present.provider_user_id,
                    "generation": present.generation,
                    "is_valid": present.is_valid,
                })
            });
            members.insert("described".to_owned(), present.into());
        }
        Ok(Answer::good(answer))
    }

    /// Lets the next of these calls fail.
    pub(super) async fn fail_next(&self, fault: String, calls: &[Call], count: u32) -> Result<(), Error> {
        let mut connection = self.simulator.db.acquire().await?;
        let next = next_json(&fault, calls, count);
        Ok(switches::set_fail_next(&mut connection, self.place(), Some(&next)).await?)
    }
}

fn next_json(fault: &str, calls: &[Call], count: u32) -> Value {
    let calls: Vec<&str> = calls.iter().map(|call| call.name()).collect();
    json!({ "fault": fault, "calls": calls, "count": count })
}
