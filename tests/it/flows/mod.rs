//! Why it failed: provoked faults, and what the flow log says about each.

mod attempts;
mod authorizations;
mod connecting;
mod decisions;
mod elsewhere;
mod grants;
mod pages;
mod providers;
pub mod reasons;
mod record;
mod rehearsals;
mod starts;
mod states;
mod verifications;

use http::Method;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::program::Program;

/// What must be said about a fault. Tests take it from [`reasons`].
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    /// The reason's name.
    pub reason: &'static str,
    /// Which of its conditions; empty for none.
    pub detail: &'static str,
    /// The text key of the person's sentence.
    pub text_key: &'static str,
    /// The label in metrics.
    pub label: &'static str,
    /// How the flow stands.
    pub status: &'static str,
}

impl Reported {
    /// Reason and condition as the health of a provider's token tells them.
    pub fn short(&self) -> String {
        match self.detail {
            "" => self.reason.to_owned(),
            detail => format!("{}:{detail}", self.reason),
        }
    }

    /// Fails unless a step of the flow tells it; for what leaves the flow as it is.
    #[track_caller]
    pub fn is_step_of(&self, flow: &Value) {
        let is_it = |step: &&Value| {
            step["reason"] == self.reason && step["detail"]["detail"].as_str().unwrap_or_default() == self.detail
        };
        assert!(flow["steps"].as_array().unwrap().iter().any(|step| is_it(&step)), "{self:?}: {flow:#}");
    }
}

/// What a replay must say.
#[derive(Clone, Copy, Debug)]
pub enum Replayed {
    /// Nothing was decided; the cause still stands.
    Stands,
    /// Nothing was decided; nothing stands in the way any more.
    Gone,
    /// Nothing was decided, and only a new attempt can tell.
    Unknown,
    /// Decided again: it succeeds.
    Succeeds,
    /// Decided again: it does not, for this reason.
    Refused(&'static str),
}

/// The flow that an answer belongs to.
#[track_caller]
pub fn reference(answer: &Answer) -> String {
    let flow = answer.header("x-vestibule-flow").unwrap_or_else(|| panic!("no flow: {answer:?}"));
    assert!(flow.starts_with("flw_"), "{flow}");
    flow.to_owned()
}

/// The names of a flow's steps.
pub fn steps(flow: &Value) -> Vec<&str> {
    flow["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect()
}

impl TestApp {
    /// A flow as the development page tells it to programs.
    pub async fn flow(&self, reference: &str) -> Value {
        for app in &self.apps {
            app.recorder.flush().await;
        }
        self.browser().get(self.url(&format!("/_dev/flows/{reference}"))).await.expect(200).json()
    }

    /// A flow's page, as a browser gets it.
    pub async fn flow_page(&self, reference: &str) -> String {
        let browser = self.browser();
        let url = self.url(&format!("/_dev/flows/{reference}"));
        browser.send(browser.request(Method::GET, &url).header("accept", "text/html")).await.expect(200).text
    }

    /// Fails unless page, list and command line all say this about the flow.
    pub async fn reported(&self, program: &Program, reference: &str, reported: &Reported) -> Value {
        let flow = self.flow(reference).await;
        let name = format!("{} {}: {flow:#}", reported.reason, reported.detail);
        assert_eq!(flow["reason"], reported.reason, "{name}");
        assert_eq!(flow["detail"].as_str().unwrap_or_default(), reported.detail, "{name}");
        assert_eq!(flow["text_key"].as_str().unwrap_or_default(), reported.text_key, "{name}");
        assert_eq!(flow["label"], reported.label, "{name}");
        assert_eq!(flow["status"], reported.status, "{name}");
        assert!(flow["hint"].as_str().unwrap().len() > 15, "{name}");
        assert!(flow["same_reason_in_24_hours"].as_i64().unwrap() >= 1, "{name}");
        let browser = self.browser();
        let list =
            browser.get(self.url(&format!("/_dev/flows.json?reason={}", reported.reason))).await.expect(200).json();
        let is_listed = list["flows"].as_array().unwrap().iter().any(|one| one["id"] == reference);
        assert!(is_listed, "{name}");
        let page = self.flow_page(reference).await;
        assert!(page.contains(reference) && page.contains(reported.reason), "{name}");
        let shown = program.run(&["flow", "show", reference, "--json"]).expect(0).json();
        assert_eq!(shown, flow, "the command line says what the page says");
        flow
    }
}

/// Replays a flow by command, and fails unless it says so.
#[track_caller]
pub fn replayed(program: &Program, reference: &str, expected: Replayed) {
    let said = program.run(&["flow", "replay", reference, "--json"]).expect(0).json();
    let (would, cause, reason) = match expected {
        Replayed::Stands => (Value::Null, Value::from("stands"), Value::Null),
        Replayed::Gone => (Value::Null, Value::from("gone"), Value::Null),
        Replayed::Unknown => (Value::Null, Value::from("unknown"), Value::Null),
        Replayed::Succeeds => (true.into(), Value::Null, Value::Null),
        Replayed::Refused(reason) => (false.into(), Value::Null, reason.into()),
    };
    assert_eq!(said["would_succeed"], would, "{expected:?}: {said:#}");
    assert_eq!((&said["cause"], &said["reason"]), (&cause, &reason), "{expected:?}: {said:#}");
    assert_eq!(said["new_attempt_needed"], would.is_null(), "{said:#}");
    assert!(said["sentence"].as_str().unwrap().len() > 15, "{said:#}");
}

/// A `GET` that wants a page.
pub async fn as_page(browser: &Browser, url: &str) -> Answer {
    browser.send(browser.request(Method::GET, url).header("accept", "text/html")).await
}
