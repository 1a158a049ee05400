//! The second journey: a backend reads the user and calls the provider's API with the user's token.

use reqwest::Method;

use super::frontend::{approve, begin};
use super::{Failed, Walk, want};
use crate::crypto::ExposeSecret;

/// The backend API shows the user.
pub(super) async fn user(walk: &mut Walk<'_>, user: &str) -> Result<(), Failed> {
    let step = "backend API";
    let browser = walk.browser()?;
    let request = browser.raw(Method::GET, &walk.url(&format!("/v1/users/{user}")));
    let answer = browser.send(step, request.bearer_auth(walk.target.secret_key.expose_secret())).await?;
    want(step, answer.has_text("/id", user), "the user", &answer)?;
    walk.done("a backend reads the user with its secret key");
    Ok(())
}

/// A user of Notion: the backend fetches the token and uses it at Notion's (simulated) API.
pub(super) async fn notion_token(walk: &mut Walk<'_>) -> Result<(), Failed> {
    let step = "sign up with Notion";
    let browser = walk.browser()?;
    let provider = begin(walk, &browser, step, "sign_ups", "oauth_notion").await?;
    approve(&browser, step, provider, "grace@example.com").await?;
    let client = browser.get(step, &walk.url("/v1/client")).await?;
    let user = want(step, client.at("/response/sessions/0/user/id"), "a signed-in user", &client)?;
    walk.done("somebody signs up with simulated Notion");
    let step = "provider token";
    let path = walk.url(&format!("/v1/users/{user}/oauth_access_tokens/notion"));
    let request = browser.raw(Method::GET, &path).bearer_auth(walk.target.secret_key.expose_secret());
    let answer = browser.send(step, request).await?;
    let token = want(step, answer.at("/0/token"), "a token", &answer)?;
    let request = browser.raw(Method::GET, &walk.url("/_dev/providers/notion/v1/users")).bearer_auth(token);
    let answer = browser.send(step, request.header("Notion-Version", "2022-06-28")).await?;
    want(step, answer.has_text("/object", "list"), "Notion's list of users", &answer)?;
    walk.done("a backend fetches the Notion token and calls Notion with it");
    Ok(())
}
