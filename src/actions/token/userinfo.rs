//! `/oauth/userinfo`: who is behind an access token (OpenID Connect Core section 5.3).

use serde_json::{Map, Value};

use super::{Failure, hashes};
use crate::context::Ctx;
use crate::crypto::Lookup;
use crate::limits::{self, ClientBudget};
use crate::model::oauth::claims::{cover_userinfo, userinfo};
use crate::model::oauth::error::{ErrorCode, OAuthError};
use crate::model::oauth::scope::OPENID;
use crate::model::oauth::token::{Kind, Token};
use crate::model::problem::Error;
use crate::store::oauth_tokens;

const NOT_LIVE: OAuthError =
    OAuthError::new(ErrorCode::InvalidToken, "the access token is unknown, expired, revoked or of another kind");
const TOO_LITTLE: OAuthError =
    OAuthError::new(ErrorCode::InsufficientScope, "the access token covers none of the claims that are here");

/// The claims that the token's scopes cover, read fresh.
///
/// # Errors
/// `invalid_token` for everything that is not a live access token of this instance meant for it; `insufficient_scope`;
/// `too_many_requests` of its client.
pub async fn show(ctx: &Ctx, presented: &str) -> Result<Map<String, Value>, Failure> {
    // An id_token, a session token or a refresh token does not have this form.
    let token = Token::parse(Kind::Access, presented).ok_or(NOT_LIVE)?;
    let mut found = None;
    for hash in hashes(ctx, Lookup::AccessToken, &token) {
        found = oauth_tokens::bearer(&mut ctx.db(), token.day(), &hash).await?;
        if found.is_some() {
            break;
        }
    }
    let bearer = found.ok_or(NOT_LIVE)?;
    limits::spend_client(ctx, ClientBudget::Authenticated(&bearer.client_id)).map_err(Error::from)?;
    // A token for another API opens this one only if the person agreed to OpenID Connect as well.
    if !bearer.audience.is_empty() && !bearer.audience.contains(&ctx.instance.origin) && !bearer.scopes.has(OPENID) {
        return Err(NOT_LIVE.into());
    }
    if !cover_userinfo(&bearer.scopes) {
        return Err(TOO_LITTLE.into());
    }
    Ok(userinfo(ctx.instance_id(), &bearer.subject, bearer.metadata, &bearer.scopes))
}
