//! `/oauth/token_info`: what a token is, shown to a client that authenticated itself (RFC 7662).

use super::{Failure, authenticate, hashes, secret_hashes};
use crate::context::Ctx;
use crate::crypto::Lookup;
use crate::model::oauth::client_auth::PresentedClient;
use crate::model::oauth::error::{INVALID_CLIENT, invalid_request};
use crate::model::oauth::parameters::Parameters;
use crate::model::oauth::scope::Scopes;
use crate::model::oauth::token::{Kind, Token};
use crate::store::oauth_tokens::{self, Introspected, LiveToken, TokenOwner};

/// What kind of token is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

/// A live token, or `None` for everything else: unknown, expired, revoked, another client's refresh token, malformed.
///
/// # Errors
/// `invalid_client` also for a public client (it has no secret to authenticate with), `invalid_request`; faults.
pub async fn introspect(
    ctx: &Ctx,
    client: &PresentedClient,
    form: &Parameters,
) -> Result<Option<(LiveKind, LiveToken)>, Failure> {
    if client.secret.is_none() {
        return Err(INVALID_CLIENT.into());
    }
    let Some(presented) = form.single("token") else {
        authenticate(ctx, client).await?;
        return Err(invalid_request("token is missing").into());
    };
    // The prefix says what it is; `token_type_hint` may say something else and is not needed.
    let access = Token::parse(Kind::Access, presented).map(|token| (LiveKind::Access, token));
    let known = access.or_else(|| Token::parse(Kind::Refresh, presented).map(|token| (LiveKind::Refresh, token)));
    let Some((kind, token)) = known else {
        authenticate(ctx, client).await?;
        return Ok(None);
    };
    let live = look(ctx, client, kind, &token).await?;
    let wanted = form.single("scope").map(Scopes::parse).transpose()?;
    Ok(live.filter(|live| wanted.is_none_or(|wanted| wanted.is_within(&live.scopes))).map(|live| (kind, live)))
}

async fn look(
    ctx: &Ctx,
    client: &PresentedClient,
    kind: LiveKind,
    token: &Token,
) -> Result<Option<LiveToken>, Failure> {
    let secrets = secret_hashes(ctx, client);
    let asker = TokenOwner { client_id: &client.client_id, secrets: &secrets };
    let (db, day) = (&mut ctx.db(), token.day());
    let label = match kind {
        LiveKind::Access => Lookup::AccessToken,
        LiveKind::Refresh => Lookup::RefreshToken,
    };
    for hash in hashes(ctx, label, token) {
        let found = match kind {
            LiveKind::Access => oauth_tokens::introspect_access(db, asker, day, &hash).await?,
            LiveKind::Refresh => oauth_tokens::introspect_refresh(db, asker, day, &hash).await?,
        };
        match found {
            Introspected::UnknownAsker => return Err(INVALID_CLIENT.into()),
            Introspected::Active(live) => return Ok(Some(*live)),
            Introspected::Inactive => {}
        }
    }
    Ok(None)
}
