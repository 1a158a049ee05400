//! What authorizations and their tokens note for the flow log: from the request of a client,
//! by way of sign-in and consent, to the tokens, and what becomes of these. Never a code, a token, a secret or a
//! `state`: their lengths.
//!
//! The flow's id travels with the authorization request through the browser, signed, and with the code and its grant
//! through the database, in the statements that are run anyway.

use serde_json::{Map, json};

use super::flow_steps::{begin_stray_flow, cut, mask, origin_of};
use crate::context::Ctx;
use crate::crypto::CookieUse;
use crate::flow_log::{FlowSubject, Kind, Step, StepName};
use crate::model::id::FlowId;
use crate::model::oauth::application::Application;
use crate::model::oauth::authorize::{AuthorizationRequest, is_recognised};
use crate::model::oauth::error::{ErrorCode, OAuthError};
use crate::model::oauth::parameters::{MAX_FIELDS, Parameters};
use crate::model::oauth::scope::Scopes;
use crate::model::reason::{Reason, Why};
use crate::store::oauth_codes::Person;

/// The parameter that carries the flow through sign-in and consent.
pub const PARAMETER: &str = "__vst_flow";

/// An authorization request came in: goes on with the flow that it carries, or begins one. Returns the parameters as
/// they are sent on, with the flow among them.
pub fn resume_or_begin(ctx: &Ctx, parameters: &Parameters) -> Parameters {
    if let Some(flow) = parameters.single(PARAMETER).and_then(|text| verify_parameter(ctx, text)) {
        ctx.flow_log.resume_as(Kind::Authorize, &flow);
        return parameters.clone();
    }
    let flow = ctx.flow_log.begin(Kind::Authorize);
    let bare = parameters.without(PARAMETER);
    let (known, others) = describe_parameters(&bare);
    let step = Step::new(StepName::Started)
        .with("client_id", bare.single("client_id").map(cut))
        .with("redirect_uri", bare.single("redirect_uri").map(origin_of))
        .with("parameters", known)
        .with("other_parameters", (others > 0).then_some(others));
    ctx.flow_log.step(step);
    if bare.iter().count() >= MAX_FIELDS {
        // One more, and the request would be refused on its way back from signing in.
        return bare;
    }
    let mac = ctx.app.ring.cookie_mac(CookieUse::Flow, &[ctx.instance_id().as_str(), flow.as_str()]);
    bare.with(PARAMETER, &format!("{flow}.{mac}"))
}

/// The flow of a parameter that this server has signed: nobody writes into another's flow.
fn verify_parameter(ctx: &Ctx, text: &str) -> Option<FlowId> {
    let (flow, mac) = text.split_once('.')?;
    let is_ours = ctx.app.ring.is_cookie_mac(CookieUse::Flow, &[ctx.instance_id().as_str(), flow], mac);
    let oldest = FlowId::floor(ctx.now - ctx.app.config.retention.flows);
    FlowId::parse(flow).filter(|flow| is_ours && flow.as_str() >= oldest.as_str())
}

/// Parameters as they may be shown: what is secret or long becomes its length; names that mean nothing here are
/// counted, for whoever sends a request chooses them.
fn describe_parameters(parameters: &Parameters) -> (Map<String, serde_json::Value>, u64) {
    let (mut seen, mut others) = (Map::new(), 0);
    for (name, value) in parameters.iter() {
        let shown = match name {
            "client_id" | "redirect_uri" => continue,
            "response_type"
            | "response_mode"
            | "scope"
            | "prompt"
            | "max_age"
            | "code_challenge_method"
            | "display" => cut(value),
            "login_hint" => mask(value),
            "resource" => origin_of(value),
            _ if is_recognised(name) => format!("{} characters", value.chars().count()),
            _ => {
                others += 1;
                continue;
            }
        };
        seen.insert(name.to_owned(), shown.into());
    }
    (seen, others)
}

/// The client is known, and perhaps who is signed in.
pub fn set_client(ctx: &Ctx, application: &Application, person: Option<&Person>) {
    let application = Some(application.id.to_string());
    let user = person.map(|person| person.user_id.to_string());
    ctx.flow_log.set_subject(FlowSubject { application, user, ..FlowSubject::default() });
}

/// The request passed every check.
pub fn log_validated(ctx: &Ctx, application: &Application, request: &AuthorizationRequest) {
    let step = Step::new(StepName::Validated)
        .with("client", cut(&application.name))
        .with("scopes", json!(request.scopes.as_slice()))
        .with("pkce", request.challenge.is_some());
    ctx.flow_log.step(step);
}

/// The person is sent to the sign-in page; `is_again` although a session exists.
pub fn log_sign_in_needed(ctx: &Ctx, is_again: bool) {
    ctx.flow_log.step(Step::new(StepName::SignInNeeded).with("again", is_again));
}

/// The person is asked, allowed it, or the code is on its way: nothing but the step's name.
pub fn log_step(ctx: &Ctx, step: StepName) {
    ctx.flow_log.step(Step::new(step));
}

/// The client receives an error instead of a code.
pub fn log_refusal(ctx: &Ctx, error: &OAuthError) {
    let step = if error.code == ErrorCode::AccessDenied { StepName::Denied } else { StepName::Refused };
    note(ctx, Step::new(step), error);
}

/// Goes on with the flow that a grant came from, as long as the flow log keeps it.
pub fn resume_grant(ctx: &Ctx, flow: Option<&FlowId>) {
    let oldest = FlowId::floor(ctx.now - ctx.app.config.retention.flows);
    if let Some(flow) = flow.filter(|flow| flow.as_str() >= oldest.as_str()) {
        ctx.flow_log.resume_as(Kind::Authorize, flow);
    }
}

/// The code became tokens.
pub fn log_redeemed(ctx: &Ctx, flow: Option<&FlowId>, scopes: &Scopes) {
    resume_grant(ctx, flow);
    log_step(ctx, StepName::CodeRedeemed);
    ctx.flow_log.step(Step::new(StepName::TokensIssued).with("scopes", json!(scopes.as_slice())));
    ctx.flow_log.succeed();
}

/// The refresh token became the next one; `is_repetition` where that had happened before and its answer was lost.
pub fn log_refreshed(ctx: &Ctx, flow: Option<&FlowId>, is_repetition: bool) {
    resume_grant(ctx, flow);
    ctx.flow_log.step(Step::new(StepName::Refreshed).with("repetition", is_repetition.then_some(true)));
    ctx.flow_log.succeed();
}

/// A code or refresh token was refused. Without a grant that it belongs to, or where it is a stranger's, it is logged
/// in a flow of its own.
pub fn log_refused_grant(ctx: &Ctx, step: StepName, client_id: &str, error: &OAuthError) {
    let step = match error.why() {
        Some(Why { reason: Reason::GrantReused, detail: "refresh" }) => StepName::ReuseDetected,
        _ => step,
    };
    begin_stray_flow(ctx, Kind::Token);
    note(ctx, Step::new(step).with("client_id", cut(client_id)), error);
}

/// A token request was refused before anything was looked at, or failed by our fault.
pub fn log_refused_token_request(ctx: &Ctx, error: &OAuthError) {
    if ctx.flow_log.flow().is_none() {
        begin_stray_flow(ctx, Kind::Token);
        note(ctx, Step::new(StepName::Refused), error);
    }
}

fn note(ctx: &Ctx, step: Step, error: &OAuthError) {
    let Some(why) = error.why() else { return };
    let step = step.because(why).with("error", error.code.as_str()).with("error_description", error.description());
    ctx.flow_log.step(step);
    ctx.flow_log.refuse(why);
}
