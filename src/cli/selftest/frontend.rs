//! The first journey: somebody signs up with a simulated provider, and an app gets a session token that verifies.

use serde_json::Value;
use url::Url;

use super::browser::{Answer, Browser};
use super::{Failed, Walk, want};
use crate::crypto::jwt::{self, KeySet};
use crate::crypto::signing::TokenType;
use crate::model::time::Timestamp;

/// A stranger signs in with Google and becomes a user by transfer; returns the user's id.
pub(super) async fn sign_up_with_google(walk: &mut Walk<'_>, browser: &Browser) -> Result<String, Failed> {
    let step = "sign in with Google";
    let provider = begin(walk, browser, step, "sign_ins", "oauth_google").await?;
    approve(browser, step, provider, "ada@example.com").await?;
    let client = browser.get(step, &walk.url("/v1/client")).await?;
    let status = "/response/sign_in/first_factor_verification/status";
    want(step, client.has_text(status, "transferable"), "a transferable sign-in", &client)?;
    walk.done("a stranger signs in with simulated Google");
    let step = "transfer to sign-up";
    let done = browser.post(step, &walk.url("/v1/client/sign_ups"), &[("transfer", "true")]).await?;
    let user = "/client/sessions/0/user";
    let is_verified = done.has_text(&format!("{user}/email_addresses/0/verification/status"), "verified");
    let id = is_verified.and(done.has_text("/response/status", "complete")).and(done.at(&format!("{user}/id")));
    let id = want(step, id, "a user with a verified address", &done)?;
    walk.done("and becomes a user, signed in, with a verified address");
    Ok(id)
}

/// Begins with a provider: its address.
pub(super) async fn begin(
    walk: &Walk<'_>,
    browser: &Browser,
    step: &'static str,
    kind: &str,
    strategy: &str,
) -> Result<Url, Failed> {
    let form = [("strategy", strategy), ("redirect_url", "/user"), ("action_complete_redirect_url", "/user")];
    let begun = browser.post(step, &walk.url(&format!("/v1/client/{kind}")), &form).await?;
    let proof = match kind {
        "sign_ups" => "/response/verifications/external_account",
        _ => "/response/first_factor_verification",
    };
    let url = begun.at(&format!("{proof}/external_verification_redirect_url"));
    let url = url.and_then(|url| Url::parse(&url).ok());
    want(step, url, "the provider's address", &begun)
}

/// Approves at a simulated provider as `person`, and comes back.
pub(super) async fn approve(
    browser: &Browser,
    step: &'static str,
    mut url: Url,
    person: &str,
) -> Result<Answer, Failed> {
    url.query_pairs_mut().append_pair("login_hint", person).append_pair("auto", "1");
    let mut answer = browser.get(step, url.as_str()).await?;
    for _ in 0..3 {
        let Some(next) = answer.location.as_deref().and_then(|location| url.join(location).ok()) else { break };
        if !next.path().starts_with("/_dev/") && !next.path().starts_with("/v1/oauth_callback") {
            break;
        }
        answer = browser.get(step, next.as_str()).await?;
    }
    let is_back = answer.status == 303;
    want(step, is_back.then_some(()), "a redirect to the app", &answer)?;
    Ok(answer)
}

/// An app's session token verifies against the published keys.
pub(super) async fn session_token(walk: &mut Walk<'_>, browser: &Browser) -> Result<(), Failed> {
    let step = "session token";
    let client = browser.get(step, &walk.url("/v1/client")).await?;
    let session = want(step, client.at("/response/last_active_session_id"), "an active session", &client)?;
    let minted = browser.post(step, &walk.url(&format!("/v1/client/sessions/{session}/tokens")), &[]).await?;
    let jwt = want(step, minted.at("/jwt"), "a token", &minted)?;
    let jwks = browser.get(step, &walk.url("/.well-known/jwks.json")).await?;
    let keys = want(step, KeySet::parse(jwks.body.as_bytes()), "a key set", &jwks)?;
    let claims = unverified(&jwt);
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let issued_at = claims.get("iat").and_then(Value::as_i64).unwrap_or_default();
    let now = Timestamp::from_unix_timestamp(issued_at).unwrap_or(Timestamp::UNIX_EPOCH);
    let verified = jwt::verify_own(&jwt, &keys, TokenType::Jwt, text("iss"), now);
    let is_own = verified.is_ok() && text("sid") == session;
    want(step, is_own.then_some(()), "a token that verifies for this session", &minted)?;
    walk.done("an app's session token verifies against the published keys");
    Ok(())
}

/// The claims of a token, before it is verified.
fn unverified(jwt: &str) -> Value {
    use base64::Engine;
    let part = jwt.split('.').nth(1).unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The portal shows who is signed in.
pub(super) async fn portal(walk: &mut Walk<'_>, browser: &Browser) -> Result<(), Failed> {
    let step = "portal";
    let page = browser.get(step, &walk.url("/user")).await?;
    want(step, page.body.contains("ada@example.com").then_some(()), "the profile page", &page)?;
    walk.done("the portal shows the profile");
    Ok(())
}
