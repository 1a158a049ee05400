//! The steps of a flow (one sign-in, sign-up, connection or authorization): a request notes them on its [`FlowLog`]
//! without waiting for anything, and the [`Recorder`] writes them after the answer. A lost note never fails a flow.
//! `actions::flow_reader` reads them.
//!
//! Holds nothing secret: no code, token, state, nonce, full address or URL with its query ever goes into a step.
//! May name `store` and `model`.

mod recorder;
mod step;

use std::sync::{Arc, Mutex, PoisonError};

pub use recorder::Recorder;
pub use step::{FlowSubject, Step};

use crate::model::flow::Status;
pub use crate::model::flow::{Kind, StepName};
use crate::model::id::{FlowId, FlowStepId, InstanceId, RequestId};
use crate::model::reason::{Reason, Why};
use crate::model::time::Timestamp;
use crate::store::flows::{FlowChange, NewStep};
use recorder::Record;

/// The notes of one request. Clones share them; they are handed to the recorder when the request is answered, at the
/// latest when the last clone is dropped.
#[derive(Clone)]
pub struct FlowLog(Arc<Shared>);

struct Shared {
    recorder: Recorder,
    instance: InstanceId,
    request: RequestId,
    /// How far the instance's clock is moved.
    offset: time::Duration,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    flow: Option<FlowId>,
    kind: Option<Kind>,
    /// The flow began in this request.
    is_new: bool,
    steps: Vec<(Timestamp, Step)>,
    about: FlowSubject,
    ending: Option<Ending>,
    /// The refusal that a step has logged.
    refusal: Option<Why>,
    last: Option<Timestamp>,
}

#[derive(Clone, Copy)]
enum Ending {
    Succeeded,
    Failed(Why),
    Open(Why),
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// With what was asked for.
    Well,
    /// With a refusal, for that reason if it has one.
    Refused(Option<Why>),
    /// With a fault of ours.
    Fault(Why),
}

impl FlowLog {
    /// An empty log for `request` to `instance`, whose clock is moved by `offset`.
    pub fn new(recorder: &Recorder, instance: &InstanceId, request: &RequestId, offset: time::Duration) -> Self {
        let (recorder, instance, request) = (recorder.clone(), instance.clone(), request.clone());
        Self(Arc::new(Shared { recorder, instance, request, offset, notes: Mutex::default() }))
    }

    fn notes<T>(&self, act: impl FnOnce(&mut Notes) -> T) -> T {
        act(&mut self.0.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a flow: what was noted so far and what follows belongs to it.
    pub fn begin(&self, kind: Kind) -> FlowId {
        let recorder = &self.0.recorder;
        let id = FlowId::new(recorder.now() + self.0.offset, recorder.rng());
        self.notes(|notes| {
            notes.flow = Some(id.clone());
            notes.kind = Some(kind);
            notes.is_new = true;
        });
        tracing::Span::current().record("flow_id", id.as_str());
        id
    }

    /// Goes on with a flow that an earlier request began. Writes nothing by itself.
    pub fn resume(&self, flow: &FlowId) {
        self.notes(|notes| {
            if !notes.is_new {
                notes.flow = Some(flow.clone());
            }
        });
        tracing::Span::current().record("flow_id", flow.as_str());
    }

    /// Goes on with a flow that began as `kind`.
    pub fn resume_as(&self, kind: Kind, flow: &FlowId) {
        self.resume(flow);
        self.notes(|notes| notes.kind = notes.kind.or(Some(kind)));
    }

    /// Goes on with `flow` unless this request belongs to one already.
    pub fn resume_if_none(&self, flow: &FlowId) {
        if self.flow().is_none() {
            self.resume(flow);
        }
    }

    /// The flow that this request belongs to.
    pub fn flow(&self) -> Option<FlowId> {
        self.notes(|notes| notes.flow.clone())
    }

    /// True if this request belongs to a flow of that kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.notes(|notes| notes.flow.is_some() && notes.kind == Some(kind))
    }

    /// True if this request found out whose flow it is.
    pub fn knows_user(&self) -> bool {
        self.notes(|notes| notes.about.user.is_some())
    }

    /// Forgets what this request noted, and the flow if it began here.
    pub fn forget_unless(&self, may_stay: impl FnOnce() -> bool) {
        if !may_stay() {
            self.notes(|notes| *notes = Notes::default());
        }
    }

    /// Notes a step, at this moment.
    pub fn step(&self, step: Step) {
        let now = self.0.recorder.now() + self.0.offset;
        self.notes(|notes| {
            // Two steps of one request never have one time: steps are sorted by it.
            let at = notes.last.map_or(now, |last| now.max(last + time::Duration::MICROSECOND));
            notes.last = Some(at);
            notes.steps.push((at, step));
        });
    }

    /// Notes whom and what the flow is about.
    pub fn set_subject(&self, about: FlowSubject) {
        self.notes(|notes| notes.about.merge(about));
    }

    /// The flow reached its end.
    pub fn succeed(&self) {
        self.notes(|notes| notes.ending = Some(Ending::Succeeded));
    }

    /// The flow was refused, and ends with it unless the same person can go on.
    pub fn refuse(&self, why: Why) {
        let ending = if why.leaves_open() { Ending::Open(why) } else { Ending::Failed(why) };
        self.notes(|notes| {
            notes.ending = Some(ending);
            notes.refusal = Some(why);
        });
    }

    /// A step has logged this refusal; what became of the flow before stands.
    pub fn mention(&self, why: Why) {
        self.notes(|notes| notes.refusal = Some(why));
    }

    /// Hands the notes over when the request is answered. A refusal that no step has logged yet becomes a step; a flow
    /// that began here and was refused for no reason of the list (a malformed request) is forgotten.
    pub fn close(&self, answered: RequestOutcome) {
        match answered {
            RequestOutcome::Well => {}
            RequestOutcome::Refused(None) => self.notes(|notes| {
                if notes.is_new && notes.refusal.is_none() && notes.ending.is_none() {
                    *notes = Notes::default();
                }
            }),
            RequestOutcome::Refused(Some(why)) | RequestOutcome::Fault(why) => {
                if self.notes(|notes| notes.refusal) != Some(why) {
                    self.step(Step::new(StepName::Refused).because(why));
                    self.refuse(why);
                }
            }
        }
        self.0.send_to_recorder();
    }
}

impl Shared {
    /// Gives what was noted to the recorder.
    fn send_to_recorder(&self) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(flow) = notes.flow.clone() else { return };
        let steps = std::mem::take(&mut notes.steps);
        let (ending, about) = (notes.ending.take(), std::mem::take(&mut notes.about));
        if steps.is_empty() && ending.is_none() && about.is_empty() {
            return;
        }
        let kind = notes.kind.unwrap_or(Kind::Unknown);
        drop(notes);
        let now = self.recorder.now() + self.offset;
        let at = steps.first().map_or(now, |(at, _)| *at);
        let ended = steps.last().map_or(now, |(at, _)| *at);
        let mut change = FlowChange::new(self.instance.clone(), flow.clone(), kind, at);
        about.write(&mut change);
        let (status, why) = match ending {
            None => (Status::Open, None),
            Some(Ending::Succeeded) => (Status::Succeeded, None),
            Some(Ending::Failed(why)) => (Status::Failed, Some(why)),
            Some(Ending::Open(why)) => (Status::Open, Some(why)),
        };
        change.status = status;
        change.ended_at = (status != Status::Open).then_some(ended);
        change.reason = why.map(|why| why.reason);
        change.detail = why.map(|why| why.detail).filter(|detail| !detail.is_empty());
        let mut steps: Vec<NewStep> = steps.into_iter().map(|(at, step)| self.row(&flow, at, step)).collect();
        if let Some(first) = steps.first_mut() {
            first.request_id = Some(self.request.clone());
        }
        self.recorder.put(Record { change, steps });
    }

    fn row(&self, flow: &FlowId, at: Timestamp, step: Step) -> NewStep {
        NewStep {
            instance_id: self.instance.clone(),
            flow_id: flow.clone(),
            id: FlowStepId::new(at, self.recorder.rng()),
            name: step.name,
            outcome: step.outcome(),
            reason: step.why.map(|why| why.reason),
            duration_ms: step.took.map(|took| i32::try_from(took.as_millis()).unwrap_or(i32::MAX)),
            detail: step.shown(),
            request_id: None,
            occurred_at: at,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.send_to_recorder();
    }
}

/// Why a flow ended with a fault of ours.
pub const STORAGE: Why = Why::new(Reason::Internal, "storage");
/// Why a flow ended with another fault of ours.
pub const FAULT: Why = Why::new(Reason::Internal, "");
/// Why a flow ended with a panic.
pub const PANIC: Why = Why::new(Reason::Internal, "panic");
