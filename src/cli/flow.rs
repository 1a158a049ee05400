//! `vestibule flow`: what happened in a sign-in, why it failed, and whether it would succeed now.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Global;
use super::failure::{Exit, Failure};
use super::open::Open;
use super::show;
use crate::actions::flow_reader::{self, Shown};
use crate::actions::replay;
use crate::context::Ctx;
use crate::http::pages::flow_document as view;
use crate::model::flow::ObservedStatus;
use crate::model::id::{FlowId, RequestId};
use crate::model::reason::Reason;
use crate::store::flows::{Filter, Flow, Step};

/// What to do with recorded flows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the newest flows
    List(List),
    /// Show one flow: its list of steps, why it failed, and where to look
    Show(Reference),
    /// Decide a flow again under present settings: would it succeed now?
    Replay(Reference),
}

/// Which flows to list.
#[derive(Debug, Args)]
pub struct List {
    /// How they ended
    #[arg(long)]
    outcome: Option<Outcome>,
    /// Of one provider
    #[arg(long, value_name = "KEY")]
    provider: Option<String>,
    /// Of one reason
    #[arg(long, value_name = "NAME")]
    reason: Option<String>,
    /// Of one user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Of one OAuth application
    #[arg(long, value_name = "ID")]
    app: Option<String>,
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Outcome {
    /// It failed
    Failed,
    /// It goes on
    Open,
    /// Nothing came for an hour
    Silent,
    /// It reached its end
    Succeeded,
}

impl From<Outcome> for ObservedStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed => Self::Failed,
            Outcome::Open => Self::Open,
            Outcome::Silent => Self::Silent,
            Outcome::Succeeded => Self::Succeeded,
        }
    }
}

/// One flow.
#[derive(Debug, Args)]
pub struct Reference {
    /// The reference of an error page, a log line or the header X-Vestibule-Flow: flw_…, or a request's: req_…
    reference: String,
}

/// Runs the command.
pub async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = match open.ctx(global).await {
        Err(failure) => Err(failure),
        Ok(ctx) => match command {
            Command::List(options) => list(global, &ctx, &options).await,
            Command::Show(one) => show(global, &ctx, &one).await,
            Command::Replay(one) => again(global, &ctx, &one).await,
        },
    };
    open.close().await;
    outcome
}

async fn list(global: &Global, ctx: &Ctx, options: &List) -> Result<(), Failure> {
    let outcome = options.outcome.map(ObservedStatus::from);
    let filter = Filter {
        status: outcome.map(ObservedStatus::stored),
        provider: options.provider.as_deref(),
        reason: options.reason.as_deref(),
        user: options.user.as_deref(),
        application: options.app.as_deref(),
        ..Filter::default()
    };
    let mut found = flow_reader::list(ctx, &filter).await?;
    found.retain(|(_, status)| outcome.is_none_or(|outcome| outcome == *status));
    let documents: Vec<Value> = found.iter().map(|(flow, status)| view::summary(flow, *status)).collect();
    show::answer(global, &documents, || {
        let row = |(flow, status): &(Flow, ObservedStatus)| {
            let reason = flow.reason.map(Reason::name).unwrap_or_default();
            let provider = flow.provider.clone().unwrap_or_default();
            vec![
                flow.id.to_string(),
                status.to_string(),
                flow.kind.to_string(),
                provider,
                reason.to_owned(),
                view::moment(flow.started_at),
            ]
        };
        show::table(&found.iter().map(row).collect::<Vec<_>>())
    })
}

/// The flow that a reference names.
async fn id(ctx: &Ctx, reference: &Reference) -> Result<FlowId, Failure> {
    let text = reference.reference.trim();
    if FlowId::parse(text).is_none() && RequestId::parse(text).is_none() {
        let what = format!("\"{text}\" is no reference of a flow or a request: those begin with flw_ or req_");
        return Err(Failure::new(Exit::Usage, what));
    }
    flow_reader::find(ctx, text).await?.ok_or_else(|| unknown(ctx, text))
}

fn unknown(ctx: &Ctx, reference: &str) -> Failure {
    let days = ctx.app.config.retention.flows.as_secs().div_ceil(86_400);
    Failure::failed(format!("there is no flow {reference} on this instance; flows are kept for {days} days"))
}

async fn show(global: &Global, ctx: &Ctx, reference: &Reference) -> Result<(), Failure> {
    let id = id(ctx, reference).await?;
    let shown = flow_reader::show(ctx, &id).await?.ok_or_else(|| unknown(ctx, id.as_str()))?;
    show::answer(global, &view::flow(&shown), || lines(&shown))
}

fn lines(shown: &Shown) -> Vec<String> {
    let flow = &shown.flow;
    let reason = flow.reason.map(|reason| match &flow.detail {
        Some(detail) => format!("{reason} ({detail})"),
        None => reason.to_string(),
    });
    let configuration = shown.configuration.as_ref().map(|configuration| {
        let words = if configuration.differs { "differs from now" } else { "as it is now" };
        format!("{} ({words})", configuration.hash.get(..12).unwrap_or_default())
    });
    let facts = [
        ("Flow", Some(flow.id.to_string())),
        ("Outcome", Some(shown.status.to_string())),
        ("Began as", Some(flow.kind.to_string())),
        ("Provider", flow.provider.clone()),
        ("User", flow.user_id.clone()),
        ("Reason", reason),
        ("Try again", flow.reason.map(|reason| view::again(reason.again()).to_owned())),
        ("Last 24 h", (shown.same_today > 0).then(|| format!("{} with this reason", shown.same_today))),
        ("Configured", configuration),
        ("Look at", shown.hint.clone()),
    ];
    let mut lines: Vec<String> =
        facts.into_iter().filter_map(|(name, value)| Some(format!("{name:12}{}", value?))).collect();
    lines.push(String::new());
    lines.extend(show::table(&shown.steps.iter().map(row).collect::<Vec<_>>()));
    lines
}

fn row(step: &Step) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = step.detail.as_object().into_iter().flatten();
    let members: Vec<String> = members.map(|(name, value)| format!("{name}={}", text(value))).collect();
    vec![
        view::moment(step.occurred_at).get(11..23).unwrap_or_default().to_owned(),
        step.name.to_string(),
        step.outcome.to_string(),
        step.reason.map(Reason::name).unwrap_or_default().to_owned(),
        step.duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
        members.join(" "),
    ]
}

async fn again(global: &Global, ctx: &Ctx, reference: &Reference) -> Result<(), Failure> {
    let id = id(ctx, reference).await?;
    let replay = replay::replay(ctx, &id).await?.ok_or_else(|| unknown(ctx, id.as_str()))?;
    let document = json!({
        "object": "flow_replay",
        "id": id,
        "recorded_status": replay.recorded_status,
        "recorded_reason": replay.recorded_reason.map(Reason::name),
        "reached_decision": replay.reached_decision,
        "would_succeed": replay.would_succeed(),
        "reason": replay.why().map(|why| why.reason.name()),
        "detail": replay.why().map(|why| why.detail).filter(|detail| !detail.is_empty()),
        "new_attempt_needed": !replay.reached_decision,
        "cause": replay.cause().map(replay::Cause::as_str),
        "sentence": replay.sentence(),
    });
    show::answer(global, &document, || vec![replay.sentence()])
}
