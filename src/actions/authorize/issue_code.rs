//! The end of every good authorization: a code for the client.

use super::Answer;
use crate::actions::authorization_steps;
use crate::actions::token::lifetime;
use crate::context::Ctx;
use crate::crypto::Lookup;
use crate::flow_log::StepName;
use crate::model::id::GrantId;
use crate::model::oauth::application::Application;
use crate::model::oauth::authorize::AuthorizationRequest;
use crate::model::oauth::consent::RememberedConsent;
use crate::model::oauth::error::{ErrorCode, OAuthError};
use crate::model::oauth::token::{Kind, Token};
use crate::model::problem::{Error, FaultKind};
use crate::store::interval;
use crate::store::oauth_codes::{self, NewCode, Person};

/// Stores a code, and what the person allowed if that is new, and answers the client with it; with `login_required` if
/// the session ended since it was read. The redirect URI is known to be good here, so even a fault of ours is shown to
/// the client.
pub(super) async fn issue(
    ctx: &Ctx,
    application: &Application,
    person: &Person,
    request: &AuthorizationRequest,
    allowed: Option<RememberedConsent>,
) -> Answer {
    let lifetime = ctx.instance.settings.oauth.code_lifetime;
    let code = Token::new(Kind::Code, lifetime::last_day(ctx.now, lifetime), ctx.rng());
    let (grant_id, flow) = (GrantId::new(ctx.now, ctx.rng()), ctx.flow_log.flow());
    let new = NewCode {
        day: code.day(),
        hash: ctx.app.ring.lookup_hash(Lookup::AuthorizationCode, code.reveal()),
        grant_id: &grant_id,
        application_id: &application.id,
        person,
        request,
        lifetime: interval::seconds(i64::from(lifetime)),
        flow: flow.as_ref(),
    };
    let stored = oauth_codes::insert(&mut ctx.db(), &new, allowed.as_ref()).await;
    match stored.map_err(Error::from) {
        Ok(true) => {
            authorization_steps::log_step(ctx, StepName::CodeIssued);
            Answer::new(ctx, request.target.clone(), vec![("code", code.reveal().to_owned())])
        }
        Ok(false) => {
            let error = OAuthError::new(ErrorCode::LoginRequired, "the session ended meanwhile");
            Answer::error(ctx, request.target.clone(), error)
        }
        Err(error) => Answer::error(ctx, request.target.clone(), fault(&error)),
    }
}

fn fault(error: &Error) -> OAuthError {
    tracing::error!(%error, "storing an authorization code failed");
    match error {
        Error::Fault(fault) if fault.kind == FaultKind::Unavailable => {
            OAuthError::new(ErrorCode::TemporarilyUnavailable, "the server is busy, try again")
        }
        _ => OAuthError::new(ErrorCode::ServerError, "the server failed"),
    }
}
