//! The pages of the Flow inspector: what they show.

use askama::Template;
use axum::response::Response;

use super::flow_document::{again, moment};
use super::layout::{Layout, Reply, page};
use super::reasons;
use crate::actions::flow_reader::Shown;
use crate::model::flow::{Kind, ObservedStatus, StepName, StepOutcome};
use crate::model::instance::Instance;
use crate::model::reason::Reason;
use crate::store::flows::Flow;

/// The list.
pub struct List<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// Flows with their status.
    pub flows: &'a [(Flow, ObservedStatus)],
    /// How it is shown.
    pub mode: Mode,
}

/// Whether the browser asks for the list again by itself, which needs no script.
pub enum Mode {
    /// It does not.
    Still {
        /// The same list, live.
        live: String,
    },
    /// It does, every few seconds.
    Live {
        /// The same list, as it is now.
        still: String,
    },
}

#[derive(Template)]
#[template(path = "flows.html")]
struct ListPage<'a> {
    shell: Layout,
    outcomes: &'static [ObservedStatus],
    mode: &'a Mode,
    rows: Vec<Row>,
}

/// A line of the list.
struct Row {
    id: String,
    kind: Kind,
    status: ObservedStatus,
    reason: &'static str,
    provider: String,
    at: String,
}

impl Row {
    fn of(flow: &Flow, status: ObservedStatus) -> Self {
        Self {
            id: flow.id.to_string(),
            kind: flow.kind,
            status,
            reason: flow.reason.map(Reason::name).unwrap_or_default(),
            provider: flow.provider.clone().unwrap_or_default(),
            at: moment(flow.started_at),
        }
    }

    /// The class of the status's badge.
    fn badge(&self) -> &'static str {
        match self.status {
            ObservedStatus::Succeeded => "good",
            ObservedStatus::Failed => "bad",
            ObservedStatus::Open | ObservedStatus::Silent => "",
        }
    }
}

impl List<'_> {
    /// The page.
    pub fn render(&self) -> Response {
        let state = match self.flows {
            [] => "empty",
            _ => "list",
        };
        let view = ListPage {
            shell: Layout::new(self.instance, "dev.flows", state, "flows.step"),
            outcomes: ObservedStatus::ALL,
            mode: &self.mode,
            rows: self.flows.iter().map(|(flow, status)| Row::of(flow, *status)).collect(),
        };
        page(&view, Reply::default())
    }
}

/// One flow.
pub struct Detail<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// The flow.
    pub shown: &'a Shown,
}

#[derive(Template)]
#[template(path = "flow.html")]
struct DetailPage<'a> {
    shell: Layout,
    id: &'a str,
    facts: Vec<(&'static str, String)>,
    hint: Option<&'a str>,
    steps: Vec<Line>,
}

/// A step of a flow.
struct Line {
    name: StepName,
    outcome: StepOutcome,
    reason: &'static str,
    took: String,
    at: String,
    members: Vec<(String, String)>,
}

impl Line {
    /// The class of the outcome's badge.
    fn badge(&self) -> &'static str {
        match self.outcome {
            StepOutcome::Ok => "good",
            StepOutcome::Failed => "bad",
            StepOutcome::Open => "",
        }
    }
}

impl Detail<'_> {
    /// The page.
    pub fn render(&self) -> Response {
        let shown = self.shown;
        let view = DetailPage {
            shell: Layout::new(self.instance, "dev.flow", shown.status.as_str(), "flows.one"),
            id: shown.flow.id.as_str(),
            facts: facts(shown),
            hint: shown.hint.as_deref(),
            steps: shown.steps.iter().map(line).collect(),
        };
        page(&view, Reply::default())
    }
}

fn line(step: &crate::store::flows::Step) -> Line {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = step.detail.as_object().into_iter().flatten();
    Line {
        name: step.name,
        outcome: step.outcome,
        reason: step.reason.map(Reason::name).unwrap_or_default(),
        took: step.duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
        at: moment(step.occurred_at),
        members: members.map(|(name, value)| (name.clone(), text(value))).collect(),
    }
}

/// What is known of a flow, in the order in which it is looked for.
fn facts(shown: &Shown) -> Vec<(&'static str, String)> {
    let flow = &shown.flow;
    let detail = flow.detail.as_deref().unwrap_or_default();
    let key = flow.reason.and_then(|reason| reasons::text_key(reason, detail));
    let configuration = shown.configuration.as_ref().map(|configuration| {
        let short = configuration.hash.get(..12).unwrap_or_default();
        let words = if configuration.differs { "differs from now" } else { "as it is now" };
        format!("{short} ({words})")
    });
    let same = (shown.same_today > 0).then(|| shown.same_today.to_string());
    let all = [
        ("flows.status", Some(shown.status.to_string())),
        ("flows.kind", Some(flow.kind.to_string())),
        ("flows.reason", flow.reason.map(|reason| reason.to_string())),
        ("flows.detail", flow.detail.clone()),
        ("flows.sentence", key.map(|key| reasons::sentence(key, None))),
        ("flows.again", flow.reason.map(|reason| again(reason.again()).to_owned())),
        ("flows.same", same),
        ("flows.provider", flow.provider.clone()),
        ("flows.application", flow.application_id.clone()),
        ("flows.user", flow.user_id.clone()),
        ("flows.session", flow.session_id.clone()),
        ("flows.configuration", configuration),
        ("flows.started", Some(moment(flow.started_at))),
        ("flows.ended", flow.ended_at.map(moment)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
