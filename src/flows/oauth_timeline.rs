//! What authorizations and their tokens note for the inspector: from the request of a client,
//! by way of sign-in and consent, to the tokens, and what becomes of these. Never a code, a token, a secret or a
//! `state`: their lengths.
//!
//! The flow's id travels with the authorization request through the browser, signed, and with the code and its grant
//! through the database, in the statements that are run anyway.

use serde_json::{Map, json};

use super::timeline::{alone, cut, masked, place};
use crate::context::Ctx;
use crate::crypto::CookieUse;
use crate::model::id::FlowId;
use crate::model::oauth::application::Application;
use crate::model::oauth::authorize::{AuthorizationRequest, is_recognised};
use crate::model::oauth::error::{ErrorCode, OAuthError};
use crate::model::oauth::parameters::{MAX_FIELDS, Parameters};
use crate::model::oauth::scope::Scopes;
use crate::model::reason::{Reason, Why};
use crate::store::oauth_codes::Person;
use crate::trail::{About, Kind, Step};

/// The parameter that carries the flow through sign-in and consent.
pub const PARAMETER: &str = "__vst_flow";

/// An authorization request came in: goes on with the flow that it carries, or begins one. Returns the parameters as
/// they are sent on, with the flow among them.
pub fn entered(ctx: &Ctx, parameters: &Parameters) -> Parameters {
    if let Some(flow) = parameters.sole(PARAMETER).and_then(|text| carried(ctx, text)) {
        ctx.trail.resume_as(Kind::Authorize, &flow);
        return parameters.clone();
    }
    let flow = ctx.trail.begin(Kind::Authorize);
    let bare = parameters.without(PARAMETER);
    let (known, others) = shown(&bare);
    let step = Step::new("started")
        .with("client_id", bare.sole("client_id").map(cut))
        .with("redirect_uri", bare.sole("redirect_uri").map(place))
        .with("parameters", known)
        .with("other_parameters", (others > 0).then_some(others));
    ctx.trail.step(step);
    if bare.iter().count() >= MAX_FIELDS {
        // One more, and the request would be refused on its way back from signing in.
        return bare;
    }
    let mac = ctx.app.ring.cookie_mac(CookieUse::Flow, &[ctx.instance_id().as_str(), flow.as_str()]);
    bare.with(PARAMETER, &format!("{flow}.{mac}"))
}

/// The flow of a parameter that this server has signed: nobody writes into another's timeline.
fn carried(ctx: &Ctx, text: &str) -> Option<FlowId> {
    let (flow, mac) = text.split_once('.')?;
    let is_ours = ctx.app.ring.is_cookie_mac(CookieUse::Flow, &[ctx.instance_id().as_str(), flow], mac);
    let oldest = FlowId::floor(ctx.now - ctx.app.config.retention.flows);
    FlowId::parse(flow).filter(|flow| is_ours && flow.as_str() >= oldest.as_str())
}

/// Parameters as they may be shown: what is secret or long becomes its length; names that mean nothing here are counted,
/// for whoever sends a request chooses them.
fn shown(parameters: &Parameters) -> (Map<String, serde_json::Value>, u64) {
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
            "login_hint" => masked(value),
            "resource" => place(value),
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
pub fn concerns(ctx: &Ctx, application: &Application, person: Option<&Person>) {
    let application = Some(application.id.to_string());
    let user = person.map(|person| person.user_id.to_string());
    ctx.trail.about(About { application, user, ..About::default() });
}

/// The request passed every check.
pub fn validated(ctx: &Ctx, application: &Application, request: &AuthorizationRequest) {
    let step = Step::new("validated")
        .with("client", cut(&application.name))
        .with("scopes", json!(request.scopes.as_slice()))
        .with("pkce", request.challenge.is_some());
    ctx.trail.step(step);
}

/// The person is sent to the sign-in page; `is_again` although a session exists.
pub fn sign_in_needed(ctx: &Ctx, is_again: bool) {
    ctx.trail.step(Step::new("sign_in_needed").with("again", is_again));
}

/// The person is asked, allowed it, or the code is on its way: nothing but the step's name.
pub fn reached(ctx: &Ctx, step: &'static str) {
    ctx.trail.step(Step::new(step));
}

/// The client is told an error instead of a code.
pub fn refused(ctx: &Ctx, error: &OAuthError) {
    let step = if error.code == ErrorCode::AccessDenied { "denied" } else { "refused" };
    note(ctx, Step::new(step), error);
}

/// Goes on with the flow that a grant came from, as long as the inspector keeps it.
pub fn of_grant(ctx: &Ctx, flow: Option<&FlowId>) {
    let oldest = FlowId::floor(ctx.now - ctx.app.config.retention.flows);
    if let Some(flow) = flow.filter(|flow| flow.as_str() >= oldest.as_str()) {
        ctx.trail.resume_as(Kind::Authorize, flow);
    }
}

/// The code became tokens.
pub fn redeemed(ctx: &Ctx, flow: Option<&FlowId>, scopes: &Scopes) {
    of_grant(ctx, flow);
    reached(ctx, "code_redeemed");
    ctx.trail.step(Step::new("tokens_issued").with("scopes", json!(scopes.as_slice())));
    ctx.trail.succeed();
}

/// The refresh token became the next one; `is_repetition` where that had happened before and its answer was lost.
pub fn refreshed(ctx: &Ctx, flow: Option<&FlowId>, is_repetition: bool) {
    of_grant(ctx, flow);
    ctx.trail.step(Step::new("refreshed").with("repetition", is_repetition.then_some(true)));
    ctx.trail.succeed();
}

/// A code or refresh token was refused. Without a grant that it belongs to, or where it is a stranger's, it is told in a
/// flow of its own.
pub fn grant_refused(ctx: &Ctx, step: &'static str, client_id: &str, error: &OAuthError) {
    let step = match error.why() {
        Some(Why { reason: Reason::GrantReused, detail: "refresh" }) => "reuse_detected",
        _ => step,
    };
    alone(ctx, Kind::Token);
    note(ctx, Step::new(step).with("client_id", cut(client_id)), error);
}

/// A token request was refused before anything was looked at, or failed by our fault.
pub fn token_request_refused(ctx: &Ctx, error: &OAuthError) {
    if ctx.trail.flow().is_none() {
        alone(ctx, Kind::Token);
        note(ctx, Step::new("refused"), error);
    }
}

fn note(ctx: &Ctx, step: Step, error: &OAuthError) {
    let Some(why) = error.why() else { return };
    let step = step.because(why).with("error", error.code.as_str()).with("error_description", error.description());
    ctx.trail.step(step);
    ctx.trail.refuse(why);
}
