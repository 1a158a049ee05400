//! `/oauth/token/revoke`: a client gives a token back (RFC 7009).

use super::{Failure, authenticate, hashes, secret_hashes};
use crate::context::Ctx;
use crate::crypto::Lookup;
use crate::model::oauth::client_auth::PresentedClient;
use crate::model::oauth::error::{ErrorCode, INVALID_CLIENT, OAuthError, invalid_request};
use crate::model::oauth::parameters::Parameters;
use crate::model::oauth::token::{Kind, Token};
use crate::store::oauth_tokens::{self, Revoked, TokenOwner};

/// Ends a token of the client that asks: a refresh token takes its whole grant with it. What is unknown, over, malformed
/// or another client's is answered like success and stays as it is (RFC 7009 section 2.2).
///
/// # Errors
/// `invalid_client`, `invalid_request`, `unsupported_token_type` for JWTs; faults.
pub async fn revoke(ctx: &Ctx, client: &PresentedClient, form: &Parameters) -> Result<(), Failure> {
    let Some(presented) = form.single("token") else {
        authenticate(ctx, client).await?;
        return Err(invalid_request("token is missing").into());
    };
    let refresh = Token::parse(Kind::Refresh, presented).map(|token| (Lookup::RefreshToken, token));
    let known = refresh.or_else(|| Token::parse(Kind::Access, presented).map(|token| (Lookup::AccessToken, token)));
    let Some((label, token)) = known else {
        authenticate(ctx, client).await?;
        return match presented.split('.').count() {
            3 => Err(OAuthError::new(ErrorCode::UnsupportedTokenType, "JWTs cannot be revoked").into()),
            _ => Ok(()),
        };
    };
    let secrets = secret_hashes(ctx, client);
    let asker = TokenOwner { client_id: &client.client_id, secrets: &secrets };
    let (db, day) = (&mut ctx.db(), token.day());
    for hash in hashes(ctx, label, &token) {
        let done = match label {
            Lookup::RefreshToken => oauth_tokens::revoke_refresh(db, asker, day, &hash).await?,
            _ => oauth_tokens::revoke_access(db, asker, day, &hash).await?,
        };
        match done {
            Revoked::UnknownAsker => return Err(INVALID_CLIENT.into()),
            Revoked::Done => return Ok(()),
            Revoked::Nothing => {}
        }
    }
    Ok(())
}
