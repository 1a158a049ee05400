//! What social flows note for the flow log, step by step. Only what a log could hold: values of
//! state, nonce and challenge become their lengths, addresses are masked, and no URL keeps its query.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, json};
use url::Url;

use crate::context::Ctx;
use crate::flow_log::{FlowSubject, Kind, RequestOutcome, Step, StepName};
use crate::limits::{self, Limit};
use crate::model::connecting::ConnectDecision;
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, FlowId, UserId};
use crate::model::linking::{AttemptKind, Decision, UserStatus};
use crate::model::problem::{Error, Problem, Result};
use crate::model::profile::{EmailTrust, Profile};
use crate::model::provider_config::ProviderConfig;
use crate::model::reason::{Reason, Why};
use crate::model::sign_up::{Field, Fields};
use crate::model::strategy::Strategy;
use crate::store::InstanceConnection;
use crate::store::attempts;
use crate::upstream::error::UpstreamError;

/// The longest text of somebody else's that is stored, in characters.
const TEXT_LENGTH: usize = 200;

/// What an attempt began as.
pub fn flow_kind(kind: AttemptKind) -> Kind {
    match kind {
        AttemptKind::SignIn => Kind::SignIn,
        AttemptKind::SignUp => Kind::SignUp,
    }
}

/// A flow begins: somebody asked to go to a provider.
pub fn log_start(ctx: &Ctx, kind: Kind, strategy: &str, redirect: Option<&str>, complete: Option<&str>) {
    ctx.flow_log.begin(kind);
    log_requested_strategy(ctx, strategy, redirect, complete);
}

/// Somebody asked for a sign-in or sign-up: at the beginning of a flow, or on its way.
pub fn log_requested_strategy(ctx: &Ctx, strategy: &str, redirect: Option<&str>, complete: Option<&str>) {
    let step = Step::new(StepName::Started)
        .with("strategy", cut(strategy))
        .with("origin", ctx.from.origin.as_deref().map(cut))
        .with("redirect_url", redirect.map(origin_of))
        .with("action_complete_redirect_url", complete.map(origin_of));
    ctx.flow_log.step(step);
}

/// A page dropped targets of its query and goes on with the fallback; noted with the flow that begins there.
pub fn log_dropped_target(ctx: &Ctx, parameters: &[&'static str]) {
    let why = Why::new(Reason::RedirectUnlisted, "portal");
    ctx.flow_log.step(Step::new(StepName::TargetDropped).because(why).with("parameters", json!(parameters)));
}

/// Passes an outcome on; a refusal with a reason is noted, however it will be shown.
///
/// # Errors
/// Those of `outcome`.
pub fn record_refusal<T>(ctx: &Ctx, outcome: Result<T>) -> Result<T> {
    if let Err(Error::Problem(problem)) = &outcome {
        log_refusal(ctx, problem);
    }
    outcome
}

/// Notes a refusal that has a reason, however it will be shown.
pub fn log_refusal(ctx: &Ctx, problem: &Problem) {
    let Some(why) = problem.why else { return };
    ctx.flow_log.step(Step::new(StepName::Refused).because(why).with("code", problem.code().name));
    ctx.flow_log.refuse(why);
}

/// A request was answered. A refusal for a reason that belongs to no flow begins one of its own, so that its reference
/// can be looked up; ten per minute and address are stored. So many are stored of authorization requests that nobody
/// vouches for: they were refused, or whoever sent them is not signed in. Who signs in goes on in the flow that the
/// address carries.
pub fn log_answer(ctx: &Ctx, answered: RequestOutcome) {
    let is_refused = matches!(answered, RequestOutcome::Refused(_));
    if ctx.flow_log.is(Kind::Authorize) && (is_refused || !ctx.flow_log.knows_user()) {
        ctx.flow_log.forget_unless(|| may_note_stray(ctx));
    } else if matches!(answered, RequestOutcome::Refused(Some(_))) {
        begin_stray_flow(ctx, Kind::Request);
    }
}

fn may_note_stray(ctx: &Ctx) -> bool {
    limits::spend(ctx, Limit::StrayFlow).is_ok()
}

/// Begins a flow for a request that belongs to none; ten per minute and address are stored.
pub(super) fn begin_stray_flow(ctx: &Ctx, kind: Kind) {
    if ctx.flow_log.flow().is_none() && may_note_stray(ctx) {
        ctx.flow_log.begin(kind);
    }
}

/// Names the flow that took the place of this one. Nothing that goes wrong here is worth another refusal.
pub async fn log_replacement(ctx: &Ctx, db: &mut InstanceConnection<'_>, client: &ClientId) {
    let newer = attempts::newest_flow(db, client).await.ok().flatten();
    if let Some(newer) = newer.filter(|newer| ctx.flow_log.flow().as_ref() != Some(newer)) {
        ctx.flow_log.step(Step::new(StepName::Replaced).with("newer_flow", newer.as_str()));
    }
}

/// A nonce was presented that is wrong, used, late or another client's; `flow` is the one it belongs to, if any.
pub fn log_refused_nonce(ctx: &Ctx, flow: Option<&FlowId>) {
    match flow {
        Some(flow) => ctx.flow_log.resume(flow),
        None => begin_stray_flow(ctx, Kind::Callback),
    }
    let why = Why::new(Reason::AttemptOtherClient, "nonce");
    ctx.flow_log.step(Step::new(StepName::NoncePresented).because(why));
    ctx.flow_log.refuse(why);
}

/// The provider is known, and how it is configured now.
pub fn log_configuration(ctx: &Ctx, config: &ProviderConfig) {
    let provider = Some(config.provider.to_string());
    let config_hash = Some(super::flow_reader::fingerprint(ctx, config));
    ctx.flow_log.set_subject(FlowSubject { provider, config_hash, ..FlowSubject::default() });
}

/// The browser is known.
pub fn set_client(ctx: &Ctx, client: &ClientId) {
    ctx.flow_log.set_subject(FlowSubject { client: Some(client.to_string()), ..FlowSubject::default() });
}

/// The browser is sent to the provider.
pub fn log_redirect_to_provider(ctx: &Ctx, provider: &str, client: &ClientId, scopes: &[String], url: &Url) {
    let mut parameters = Map::new();
    for (name, value) in url.query_pairs() {
        let shown = match name.as_ref() {
            "state" | "nonce" | "code_challenge" => format!("{} characters", value.chars().count()),
            "login_hint" => mask(&value),
            _ => cut(&value),
        };
        parameters.insert(cut(&name), shown.into());
    }
    let step = Step::new(StepName::SentToProvider)
        .with("provider", provider)
        .with("scopes", json!(scopes))
        .with("host", url.host_str())
        .with("parameters", parameters);
    ctx.flow_log.step(step);
    let (provider, client) = (Some(provider.to_owned()), Some(client.to_string()));
    ctx.flow_log.set_subject(FlowSubject { provider, client, ..FlowSubject::default() });
}

/// The browser came back: names of parameters, and the provider's own texts where it sent an error.
pub fn log_callback(ctx: &Ctx, parameters: &BTreeMap<String, String>) {
    let names: Vec<String> = parameters.keys().map(|name| cut(name)).collect();
    let word = |name: &str| parameters.get(name).map(|word| cut(word));
    let step = Step::new(StepName::Callback)
        .with("parameters", json!(names))
        .with("error", word("error"))
        .with("error_description", word("error_description"));
    ctx.flow_log.step(step);
}

/// The state was not usable. Without a flow that it belongs to, a flow of its own begins, so that the page's reference
/// can be looked up; ten per minute and address are stored.
pub fn log_unusable_state(ctx: &Ctx, flow: Option<&FlowId>, why: Why) {
    match flow {
        Some(flow) => ctx.flow_log.resume(flow),
        None => begin_stray_flow(ctx, Kind::Callback),
    }
    ctx.flow_log.step(Step::new(StepName::StateChecked).because(why));
    match why.reason {
        // What the first call did stands.
        Reason::StateUsed => ctx.flow_log.mention(why),
        _ => ctx.flow_log.refuse(why),
    }
}

/// The state belongs to this flow and to this browser.
pub fn log_state(ctx: &Ctx, flow: Option<&FlowId>) {
    if let Some(flow) = flow {
        ctx.flow_log.resume(flow);
    }
    ctx.flow_log.step(Step::new(StepName::StateChecked));
}

/// The code was traded, or not.
pub fn log_exchange(ctx: &Ctx, endpoint: &Url, took: Duration, error: Option<&UpstreamError>) {
    let step = Step::new(StepName::TokenExchange).took(took).with("host", endpoint.host_str()).with("attempt", 1);
    ctx.flow_log.step(failed(step, error));
}

/// The provider said who it is, or not.
pub fn log_identity(ctx: &Ctx, took: Duration, outcome: Result<&Profile, &UpstreamError>) {
    let step = Step::new(StepName::IdentityFetched).took(took);
    let profile = match outcome {
        Ok(profile) => profile,
        Err(error) => return ctx.flow_log.step(failed(step, Some(error))),
    };
    let fields = [
        ("id", true),
        ("email", profile.email.is_some()),
        ("first_name", profile.first_name.is_some()),
        ("last_name", profile.last_name.is_some()),
        ("username", profile.username.is_some()),
        ("avatar_url", profile.avatar_url.is_some()),
        ("phone", profile.phone.is_some()),
    ];
    let came: Vec<&str> = fields.iter().filter(|(_, came)| *came).map(|(name, _)| *name).collect();
    let trust = profile.email.as_ref().map(|_| trust(profile.email_trust));
    let step =
        step.with("fields", json!(came)).with("email", profile.email.as_deref().map(mask)).with("email_trust", trust);
    ctx.flow_log.step(step);
}

/// How far a provider's claim for an address goes, as shown.
pub fn trust(trust: EmailTrust) -> &'static str {
    match trust {
        EmailTrust::Verified => "verified",
        EmailTrust::ProviderPolicy => "provider_policy",
        EmailTrust::Unverified => "unverified",
    }
}

/// The provider sent its error at the callback.
pub fn log_provider_refusal(ctx: &Ctx, error: &UpstreamError) {
    ctx.flow_log.step(failed(Step::new(StepName::TokenExchange), Some(error)).with("skipped", true));
}

fn failed(step: Step, error: Option<&UpstreamError>) -> Step {
    let Some(error) = error else { return step };
    step.because(error.failure().why())
        .with("call", error.call.name())
        .with("status", error.status)
        .with("provider_code", error.provider_code.as_deref())
        .with("provider_message", error.provider_message.as_deref())
}

/// What a verified identity means.
pub fn log_decision(ctx: &Ctx, kind: AttemptKind, decision: &Decision) {
    let why = Why::new;
    let (what, why) = match decision {
        Decision::SignIn { .. } => ("matched external account", None),
        Decision::Link { .. } => ("linked by verified email", None),
        Decision::Create => ("new user", None),
        Decision::Transfer => {
            let to = if kind == AttemptKind::SignIn { "sign_up" } else { "sign_in" };
            ("transfer", Some(why(Reason::Transfer, to)))
        }
        Decision::VerifyFirst { .. } => ("address must be verified", Some(why(Reason::EmailUnverified, "proof"))),
        Decision::AlreadySignedIn(_) => ("refused", Some(why(Reason::AlreadySignedIn, "callback"))),
        Decision::Closed(UserStatus::Locked, _) => ("refused", Some(why(Reason::UserLocked, "operator"))),
        Decision::Closed(..) => ("refused", Some(why(Reason::UserBanned, "banned"))),
        Decision::LinkingOff(_) => ("refused", Some(why(Reason::LinkingOff, ""))),
        Decision::Unprovable(_) => ("refused", Some(why(Reason::EmailUnverified, "unprovable"))),
    };
    let user = match decision {
        Decision::SignIn { user, .. } | Decision::Link { user, .. } | Decision::VerifyFirst { user, .. } => Some(user),
        Decision::Closed(_, user) | Decision::LinkingOff(user) | Decision::Unprovable(user) => Some(user),
        Decision::Create | Decision::Transfer | Decision::AlreadySignedIn(_) => None,
    };
    let step = Step::new(StepName::Decision).with("what", what).with("user_id", user.map(UserId::as_str));
    ctx.flow_log.step(why.into_iter().fold(step, Step::because));
    ctx.flow_log.set_subject(FlowSubject { user: user.map(ToString::to_string), ..FlowSubject::default() });
}

/// The flow is about this user.
pub fn set_user(ctx: &Ctx, user: &UserId) {
    ctx.flow_log.set_subject(FlowSubject { user: Some(user.to_string()), ..FlowSubject::default() });
}

/// What a verified identity means for the signed-in user who connects it; ends the flow.
pub fn log_connection(ctx: &Ctx, decision: &ConnectDecision) {
    let step = Step::new(StepName::Decision);
    match decision {
        ConnectDecision::Connect(_) => ctx.flow_log.step(step.with("what", "account connected")),
        ConnectDecision::Refresh(account) => {
            ctx.flow_log.step(step.with("what", "account brought up to date").with("account", account.as_str()));
        }
        ConnectDecision::Refuse(failure) => {
            ctx.flow_log.step(step.because(failure.why()).with("what", "refused").with("code", failure.code));
            return ctx.flow_log.refuse(failure.why());
        }
    }
    ctx.flow_log.succeed();
}

/// A sign-up needs more before it is a user.
pub fn log_missing_fields(ctx: &Ctx, fields: &Fields) {
    let names = |fields: &[Field]| fields.iter().map(|field| field.as_str()).collect::<Vec<_>>();
    let why = if fields.missing.contains(&Field::EmailAddress) {
        Why::new(Reason::EmailMissing, "")
    } else if fields.missing.is_empty() {
        Why::new(Reason::EmailUnverified, "proof")
    } else {
        Why::new(Reason::RequirementsMissing, "")
    };
    let step = Step::new(StepName::Requirements).because(why);
    ctx.flow_log
        .step(step.with("missing", json!(names(&fields.missing))).with("unverified", json!(names(&fields.unverified))));
    ctx.flow_log.refuse(why);
}

/// Goes on with the flow of an attempt with an identifier: what follows belongs to it.
pub fn resume(ctx: &Ctx, flow: Option<&FlowId>, user: Option<&UserId>) {
    let Some(flow) = flow else { return };
    ctx.flow_log.resume(flow);
    if let Some(user) = user {
        set_user(ctx, user);
    }
}

/// A code or link goes out; `is_sent` says whether there is a message at all.
pub fn log_message(ctx: &Ctx, strategy: &Strategy, address: &EmailAddress, is_sent: bool) {
    let step =
        Step::new(StepName::VerificationSent).with("strategy", strategy.name()).with("to", mask(address.as_str()));
    ctx.flow_log.step(step.with("message", is_sent));
}

/// A code or link came back and was right.
pub fn log_verification(ctx: &Ctx, strategy: &Strategy) {
    ctx.flow_log.step(Step::new(StepName::VerificationChecked).with("strategy", strategy.name()));
}

/// A session began.
pub fn log_session(ctx: &Ctx, user: &str, session: &str) {
    ctx.flow_log.step(Step::new(StepName::Session).with("session_id", session).with("user_id", user));
    let (user, session) = (Some(user.to_owned()), Some(session.to_owned()));
    ctx.flow_log.set_subject(FlowSubject { user, session, ..FlowSubject::default() });
}

/// The browser is sent on.
pub fn log_redirect(ctx: &Ctx, url: &str) {
    ctx.flow_log.step(Step::new(StepName::HandedOver).with("to", origin_of(url)));
}

/// An address without what may be secret in it: scheme, host and port of an absolute one.
pub fn origin_of(raw: &str) -> String {
    match Url::parse(raw) {
        Ok(url) if url.has_host() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => "relative or malformed".to_owned(),
    }
}

/// First letter and domain of an address, and nothing of anything else.
pub(super) fn mask(text: &str) -> String {
    let Some(address) = EmailAddress::parse(text) else { return format!("{} characters", text.chars().count()) };
    let (local, domain) = address.as_str().split_once('@').unwrap_or_default();
    format!("{}****@{domain}", local.chars().next().unwrap_or_default())
}

/// At most 200 printable characters.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(TEXT_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_neither_path_nor_query_nor_names() {
        for (raw, shown) in [
            ("https://app.example:8443/a?token=1#x", "https://app.example:8443"),
            ("https://user:secret@app.example/", "https://app.example"),
            ("com.example.app://callback?x=1", "com.example.app://callback"),
            ("javascript:alert(1)", "javascript:"),
            ("/sso-callback?x=1", "relative or malformed"),
        ] {
            assert_eq!(origin_of(raw), shown);
        }
    }

    #[test]
    fn texts_of_others_are_cut_and_cleaned() {
        assert_eq!(cut("a\r\nb"), "ab");
        assert_eq!(cut(&"x".repeat(300)).len(), 200);
    }
}
