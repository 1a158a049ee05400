//! `/oauth/authorize`: from a client's [`request`] to a code (`issue_code`), by way of sign-in and [`consent`].
//!
//! What is checked, and in which order, are rules of `model::oauth`; these files look up what the rules need and write
//! down what follows. Nothing that was checked once is taken over from the browser later: when a person comes back from
//! sign-in or answers the consent page, the whole request is validated again from its first step (Keycloak
//! CVE-2026-7571).

pub mod consent;
mod issue_code;
mod reauthentication;
pub mod request;

pub use reauthentication::demanded_at;

use super::authorization_steps;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::crypto::jwt::Claims;
use crate::model::id::SessionId;
use crate::model::id::UserId;
use crate::model::oauth::authorize::{self, AuthorizationRequest, IdTokenHint, Refusal, ResponseTarget};
use crate::model::oauth::error::OAuthError;
use crate::model::oauth::interaction::{self, Next, SignedIn};
use crate::model::oauth::parameters::Parameters;
use crate::model::problem::Result;
use crate::model::time::Timestamp;
use crate::store::oauth_codes::{self, AuthorizationFacts, Presented};

/// What the browser is answered.
#[derive(Debug)]
pub enum Outcome {
    /// Back to the client.
    Answer(Answer),
    /// To a page that signs the person in or asks them.
    Elsewhere(String),
    /// An error page: the redirect URI cannot be trusted, or there is no client.
    Page(OAuthError),
}

/// An authorization response (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Debug)]
pub struct Answer {
    /// Where it goes and how.
    pub target: ResponseTarget,
    /// Its parameters.
    pub fields: Vec<(&'static str, String)>,
}

impl Answer {
    /// An error for the client, which its flow tells as well.
    pub fn error(ctx: &Ctx, target: ResponseTarget, error: OAuthError) -> Self {
        authorization_steps::log_refusal(ctx, &error);
        let fields = vec![("error", error.code.as_str().to_owned()), ("error_description", error.description().into())];
        Self::new(ctx, target, fields)
    }

    /// `state` comes back as sent, and `iss` tells the client whose answer it is (RFC 9207: mix-up).
    fn new(ctx: &Ctx, target: ResponseTarget, mut fields: Vec<(&'static str, String)>) -> Self {
        fields.extend(target.state.clone().map(|state| ("state", state)));
        fields.push(("iss", ctx.instance.origin.clone()));
        Self { target, fields }
    }
}

/// Who presents the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visitor<'a> {
    /// The hash of the browser's client token.
    pub client_token: Option<&'a LookupHash>,
    /// The session that the consent page showed; none means the browser's last active one.
    pub session: Option<&'a SessionId>,
}

/// What the checks of a request came to.
enum Check {
    /// It passed every one.
    Passed(Box<Checked>),
    /// It did not: what the browser is answered.
    Refused(Outcome),
}

/// A request that passed every check, and the situation it is in.
struct Checked {
    request: AuthorizationRequest,
    facts: AuthorizationFacts,
    next: Next,
}

/// Steps 2 to 20: validates the request and decides what has to happen next.
async fn check(ctx: &Ctx, visitor: Visitor<'_>, parameters: &Parameters) -> Result<Check> {
    let refused = |refusal| Ok(Check::Refused(refused_outcome(ctx, refusal)));
    let client_id = match authorize::client_id(parameters) {
        Ok(client_id) => client_id,
        Err(refusal) => return refused(refusal),
    };
    let hint = verify_hint(ctx, parameters).await?;
    let presented = Presented {
        client_token: visitor.client_token,
        session: visitor.session,
        preferred_user: hint.as_ref().map(|hint| &hint.user_id),
    };
    let facts = oauth_codes::facts(&mut ctx.db(), client_id, presented).await?;
    let Some(facts) = facts else {
        return refused(authorize::UNKNOWN_CLIENT);
    };
    authorization_steps::set_client(ctx, &facts.application, facts.person.as_ref());
    let request = match authorize::check(parameters, &facts.application, &ctx.instance, |_| hint.clone()) {
        Ok(request) => request,
        Err(refusal) => return refused(refusal),
    };
    let demanded_at = reauthentication::demanded_at(ctx, parameters, facts.now);
    let signed_in =
        facts.person.as_ref().map(|person| SignedIn::new(&person.user_id, person.authenticated_at, demanded_at));
    let next =
        interaction::next_step(&facts.application, &request, signed_in.as_ref(), facts.remembered.as_ref(), facts.now);
    Ok(Check::Passed(Box::new(Checked { request, facts, next })))
}

/// Who the `id_token_hint` names, if it is an id_token of this issuer; how old it is does not matter.
async fn verify_hint(ctx: &Ctx, parameters: &Parameters) -> Result<Option<IdTokenHint>> {
    use crate::crypto::TokenType;
    use crate::crypto::jwt::{Algorithm, Audience, Expect, Issuer, Keys, Nonce, verify};
    const HOWEVER_OLD: std::time::Duration = std::time::Duration::from_secs(20 * 365 * 86_400);
    let Some(text) = parameters.single("id_token_hint") else { return Ok(None) };
    let keys = super::signing_keys::published(&ctx.app, &ctx.instance).await?;
    let expect = Expect {
        algorithms: &[Algorithm::Rs256],
        issuer: Issuer::Exactly(&ctx.instance.origin),
        audience: Audience::Unchecked,
        typ: TokenType::Jwt,
        nonce: Nonce::Unused,
        leeway: HOWEVER_OLD,
    };
    let claims = match verify(text, Keys::Set(&keys.id_token), &expect, ctx.now) {
        Ok(claims) => claims,
        Err(_) => match verify(text, Keys::Set(&keys.session), &expect, ctx.now) {
            Ok(claims) if is_older_than_our_key(&claims, keys.session_key_signed_until()) => claims,
            _ => return Ok(None),
        },
    };
    // Our id_tokens have one audience, a text. A session token has none and is no hint.
    let hint = claims.subject().and_then(UserId::parse).zip(claims.text("aud"));
    Ok(hint.map(|(user_id, audience)| IdTokenHint { user_id, audience: vec![audience.to_owned()] }))
}

/// An id_token from before the upgrade that gave this instance a key for them: the session key signed it.
fn is_older_than_our_key(claims: &Claims, until: Option<Timestamp>) -> bool {
    let issued = claims.time("iat").ok().flatten();
    issued.zip(until).is_some_and(|(issued, until)| issued < until.unix_timestamp())
}

/// A refusal as the browser meets it.
fn refused_outcome(ctx: &Ctx, refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::Page(error) => Outcome::Page(error),
        Refusal::Redirect(target, error) => Outcome::Answer(Answer::error(ctx, target, error)),
    }
}
