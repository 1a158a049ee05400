//! Session tokens: RS256, sixty seconds, claims version 2. One read, one signature.

use serde_json::{Map, Value, json};

use crate::actions::signing_keys;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::crypto::signing::TokenType;
use crate::model::client::Session;
use crate::model::id::SessionId;
use crate::model::problem::{Result, code};
use crate::model::random;
use crate::model::signing_key::KeyPurpose;
use crate::store::sessions;

/// Seconds a session token lives.
pub const LIFE: i64 = 60;
/// How far back `nbf` lies, for verifiers whose clock is behind.
const SKEW: i64 = 10;

/// A token for a session of the calling client, read fresh: a revoked session gets none.
///
/// # Errors
/// `resource_not_found` for another client's or an unknown session; `signed_out` without a client.
pub async fn mint(ctx: &Ctx, token: Option<&LookupHash>, session: &SessionId) -> Result<String> {
    let token = token.ok_or(code::SIGNED_OUT)?;
    let session = sessions::open(&mut ctx.db(), token, session).await?;
    sign(ctx, &session.ok_or(code::RESOURCE_NOT_FOUND)?, ctx.from.origin.as_deref()).await
}

/// Signs a token for `session`; `azp` is the origin it is for.
///
/// # Errors
/// Faults of the signing key.
pub async fn sign(ctx: &Ctx, session: &Session, azp: Option<&str>) -> Result<String> {
    let key = signing_keys::active(ctx, KeyPurpose::Session).await?;
    key.sign(TokenType::Jwt, &claims(ctx, session, azp)).map_err(crate::model::problem::Error::internal)
}

/// The claims of now: `iat` must not lie before the client's last change, or an app's server would ask again.
fn claims(ctx: &Ctx, session: &Session, azp: Option<&str>) -> Map<String, Value> {
    let moment = ctx.moment();
    let now = moment.unix_timestamp();
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(ctx.instance.session_issuer())),
        ("sub".to_owned(), json!(session.user.id)),
        ("sid".to_owned(), json!(session.id)),
        ("iat".to_owned(), json!(now)),
        ("exp".to_owned(), json!(now + LIFE)),
        ("nbf".to_owned(), json!(now - SKEW)),
        ("jti".to_owned(), json!(random::base62(ctx.rng(), 20))),
        ("fva".to_owned(), json!(session.factor_ages(moment))),
        ("sts".to_owned(), json!(session.status)),
        ("v".to_owned(), json!(2)),
    ]);
    if let Some(azp) = azp {
        claims.insert("azp".to_owned(), json!(azp));
    }
    if let Some(actor) = &session.actor {
        claims.insert("act".to_owned(), actor.clone());
    }
    claims
}
