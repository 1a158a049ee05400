//! The handshake: an app's server sends the browser here to learn who it is; the browser goes back with what to set.

use crate::actions::{client, signing_keys};
use crate::context::Ctx;
use crate::crypto::signing::TokenType;
use crate::crypto::{ExposeSecret, Lookup, LookupHash, SealedAt, Secret};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::random;
use crate::model::redirect::RedirectTarget;
use crate::model::signing_key::KeyPurpose;
use crate::store::handshakes;

use super::mint;

/// Who the browser is, for the app at `redirect`.
pub struct Handshake {
    /// The page to go back to.
    pub redirect: RedirectTarget,
    /// `__client_uat`.
    pub uat: i64,
    /// A session token for the app, if somebody is signed in.
    pub session_token: Option<String>,
}

/// Looks up the calling browser for the app whose page is `redirect_url`.
///
/// # Errors
/// `form_param_missing`, and the refusals of redirect addresses: a session token is never sent to a foreign origin.
pub async fn handshake(ctx: &Ctx, token: Option<&LookupHash>, redirect_url: Option<&str>) -> Result<Handshake> {
    let raw = redirect_url.ok_or_else(|| Problem::new(code::FORM_PARAM_MISSING).param("redirect_url"))?;
    let redirect = RedirectTarget::parse(&ctx.instance, raw, None, "redirect_url")?;
    let client = client::read(ctx, token).await?;
    let uat = client.as_ref().map_or(0, |client| client.uat());
    let session_token = match client.as_ref().and_then(|client| client.active_session()) {
        None => None,
        Some(session) => Some(mint::sign(ctx, session, Some(&redirect.origin())).await?),
    };
    Ok(Handshake { redirect, uat, session_token })
}

/// Whom a handshake token is for. The server SDK looks for its directives alone; a verifier of session tokens that demands
/// no subject (Python's package) refuses what is for somebody else, and so takes nobody's handshake for a person.
const AUDIENCE: &str = "handshake";

/// The directives as a signed token, for the transport without a round trip.
///
/// # Errors
/// Faults of the signing key.
pub async fn sign(ctx: &Ctx, directives: &[String]) -> Result<String> {
    let key = signing_keys::active(ctx, KeyPurpose::Session).await?;
    let claims = serde_json::json!({ "handshake": directives, "aud": AUDIENCE, "exp": ctx.now.unix_timestamp() + 60 });
    key.sign(TokenType::Jwt, &claims).map_err(Error::internal)
}

/// Puts the directives behind a nonce, for when they are too long for a cookie or an address.
///
/// # Errors
/// Storage faults.
pub async fn keep(ctx: &Ctx, directives: &[String]) -> Result<Secret> {
    let nonce = random::token(ctx.rng());
    let hash = ctx.app.ring.lookup_hash(Lookup::Handshake, &nonce);
    let plain = serde_json::to_vec(directives).map_err(Error::internal)?;
    let row = row(&hash);
    let sealed = ctx.app.ring.seal(ctx.rng(), &sealed_at(ctx, &row), &plain).map_err(Error::internal)?;
    handshakes::put(&mut ctx.db(), &hash, &sealed).await?;
    Ok(Secret::from(nonce))
}

/// The directives behind a nonce; usable until it ends, because a page and its prefetch may both ask.
///
/// # Errors
/// `resource_not_found` for an unknown nonce, one that has ended, or another instance's.
pub async fn fetch(ctx: &Ctx, nonce: &Secret) -> Result<Vec<String>> {
    for hash in ctx.app.ring.lookup_hashes(Lookup::Handshake, nonce.expose_secret()) {
        let Some(sealed) = handshakes::get(&mut ctx.db(), &hash).await? else {
            continue;
        };
        let row = row(&hash);
        let opened = ctx.app.ring.open(&sealed_at(ctx, &row), &sealed).map_err(Error::internal)?;
        return serde_json::from_slice(&opened).map_err(Error::internal);
    }
    Err(code::RESOURCE_NOT_FOUND.into())
}

/// A handshake has no id; the hex of its hash names its row.
fn row(hash: &LookupHash) -> String {
    random::hex(hash.as_bytes())
}

fn sealed_at<'a>(ctx: &'a Ctx, row: &'a str) -> SealedAt<'a> {
    SealedAt { table: "handshakes", column: "directives_sealed", row, instance: ctx.instance_id().as_str() }
}
