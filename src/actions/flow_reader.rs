//! Reads what the Flow inspector shows, for the development page and the command line alike.

use crate::actions::flow_hint;
use crate::context::Ctx;
use crate::model::flow::{ObservedStatus, Status, StepName};
use crate::model::id::{FlowId, RequestId};
use crate::model::problem::Result;
use crate::model::provider_config::ProviderConfig;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::store::flows::{self, Filter, Flow, Step};
use crate::store::provider_configs;

/// A flow that rests for so long has ended in silence.
const SILENCE: time::Duration = time::Duration::hours(1);
/// The window of "same reason".
const TODAY: time::Duration = time::Duration::hours(24);
/// How long a page waits for notes that are being written.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// Flows on a page.
const PAGE: i64 = 50;

/// A flow with everything that is known about it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The flow.
    pub flow: Flow,
    /// How it stands.
    pub status: ObservedStatus,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Where to look.
    pub hint: Option<String>,
    /// How many flows had the same reason in the last 24 hours, this one included.
    pub same_today: i64,
    /// Under which configuration it ran.
    pub configuration: Option<Configuration>,
}

/// The configuration that a flow ran under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// SHA-256, in hexadecimal.
    pub hash: String,
    /// What it would run under now is another one.
    pub differs: bool,
}

/// The newest flows that fit the filter.
///
/// # Errors
/// Storage faults.
pub async fn list(ctx: &Ctx, filter: &Filter<'_>) -> Result<Vec<(Flow, ObservedStatus)>> {
    let found = flows::list(&mut ctx.db(), filter, PAGE).await?;
    Ok(found.into_iter().map(|flow| (status(&flow, ctx.now), flow)).map(|(status, flow)| (flow, status)).collect())
}

/// The flow that a reference of an error page, a log line or an answer names: its own id, or that of a request which
/// belonged to it. `None` for a request that belonged to none, and for what is no reference.
///
/// # Errors
/// Storage faults.
pub async fn find(ctx: &Ctx, reference: &str) -> Result<Option<FlowId>> {
    let Some(request) = RequestId::parse(reference) else { return Ok(FlowId::parse(reference)) };
    Ok(flows::of_request(&mut ctx.db(), &request).await?)
}

/// One flow; `None` if there is none of that id.
///
/// # Errors
/// Storage faults.
pub async fn show(ctx: &Ctx, id: &FlowId) -> Result<Option<Shown>> {
    let filter = Filter { id: Some(id.as_str()), ..Filter::default() };
    let Some(flow) = flows::list(&mut ctx.db(), &filter, 1).await?.pop() else { return Ok(None) };
    let steps = flows::steps(&mut ctx.db(), id).await?;
    let status = status(&flow, ctx.now);
    let same_today = match flow.reason {
        Some(reason) => flows::count_since(&mut ctx.db(), reason, ctx.now - TODAY).await?,
        None => 0,
    };
    let hint = hint_of(ctx, &flow, status);
    let newer = steps.iter().rev().find_map(|step| step.detail.get("newer_flow")).and_then(|id| id.as_str());
    let newer = newer.filter(|_| flow.reason == Some(Reason::AttemptReplaced));
    let hint = match (hint, newer) {
        (Some(hint), Some(newer)) => Some(format!("{hint} It is {newer}.")),
        (hint, _) => hint,
    };
    let configuration = configuration(ctx, &flow).await?;
    Ok(Some(Shown { status, hint, same_today, configuration, steps, flow }))
}

/// The provider's own code and text for the last failure in this request's flow, for its page on a development
/// instance. Nothing that goes wrong here is worth a refusal: then there are none.
pub async fn provider_error_text(ctx: &Ctx) -> Option<String> {
    let flow = ctx.flow_log.flow()?;
    flush_notes(ctx).await;
    let steps = flows::steps(&mut ctx.db(), &flow).await.ok()?;
    let failed = steps.iter().rfind(|step| step.detail.get("call").is_some())?;
    let words =
        ["provider_code", "provider_message"].map(|name| failed.detail.get(name).and_then(|word| word.as_str()));
    let words: Vec<&str> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(": "))
}

/// Waits a moment for what was noted to be written.
pub async fn flush_notes(ctx: &Ctx) {
    let _ = tokio::time::timeout(PATIENCE, ctx.app.recorder.flush()).await;
}

/// Open flows that rest for an hour have ended in silence.
fn status(flow: &Flow, now: Timestamp) -> ObservedStatus {
    match flow.status {
        Status::Succeeded => ObservedStatus::Succeeded,
        Status::Failed => ObservedStatus::Failed,
        Status::Open if flow.last_step_at.unwrap_or(flow.started_at) + SILENCE <= now => ObservedStatus::Silent,
        Status::Open => ObservedStatus::Open,
    }
}

fn hint_of(ctx: &Ctx, flow: &Flow, status: ObservedStatus) -> Option<String> {
    let stopped_at_the_provider = status == ObservedStatus::Silent && flow.last_step == Some(StepName::SentToProvider);
    let (reason, detail) = match flow.reason {
        Some(reason) => (reason, flow.detail.as_deref().unwrap_or_default()),
        // Most providers show a page of their own and send nobody back.
        None if stopped_at_the_provider => (Reason::CallbackUnregistered, ""),
        None => return None,
    };
    let callback = ctx.instance.url("/v1/oauth_callback");
    Some(flow_hint::fill(flow_hint::hint(reason, detail), flow.provider.as_deref(), &callback))
}

async fn configuration(ctx: &Ctx, flow: &Flow) -> Result<Option<Configuration>> {
    let (Some(then), Some(provider)) = (&flow.config_hash, &flow.provider) else { return Ok(None) };
    let config = provider_configs::get(&mut ctx.db(), provider).await?;
    let now = config.map(|config| fingerprint(ctx, &config));
    let hash = then.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Configuration { hash, differs: now.is_none_or(|now| now.as_slice() != then.as_slice()) }))
}

/// SHA-256 over a provider's configuration and the settings that decide about a social flow. Of secrets, only the
/// version of the row that holds them goes in.
pub fn fingerprint(ctx: &Ctx, config: &ProviderConfig) -> [u8; 32] {
    const RELEVANT: [&str; 8] = [
        "attributes",
        "email",
        "enumeration_protection",
        "legal_consent",
        "linking",
        "native_api",
        "sign_up",
        "single_session_mode",
    ];
    let settings = serde_json::to_value(&ctx.instance.settings).unwrap_or_default();
    let settings: Vec<_> = RELEVANT.iter().map(|name| settings.get(name).cloned().unwrap_or_default()).collect();
    let seen = serde_json::json!([
        config.provider,
        config.is_enabled,
        config.is_authenticatable,
        config.is_required,
        config.blocks_email_subaddresses,
        config.credentials.as_str(),
        config.client_id,
        config.scopes,
        config.parameters,
        config.custom,
        config.version,
        settings,
    ]);
    crate::crypto::sha256(seen.to_string().as_bytes())
}
