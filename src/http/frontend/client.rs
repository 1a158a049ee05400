//! `/v1/client`: the browser itself.

use axum::response::Response;
use serde_json::json;

use super::super::answer::{self, Resource};
use super::super::cookies;
use super::super::extract::{Browser, Query};
use super::super::problem::Answer;
use super::nonce;
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::session::end;
use crate::context::Ctx;

/// `GET /v1/client`: the client, or null for a visitor without one (never a refusal: the SDK would not load).
pub async fn show(ctx: Ctx, browser: Browser, Query(query): Query) -> Answer {
    let (token, issued) = nonce::present(&ctx, &browser, &query).await?;
    let Some(client) = actions::client::read(&ctx, token.as_ref()).await? else {
        return nobody(&ctx, &browser);
    };
    answer::respond(&ctx, &browser, &ClientUpdate { client, issued }, Resource::Client).await
}

/// `POST` or `PUT /v1/client`: the client; one is issued if there is none, and stored once it does something.
pub async fn create(ctx: Ctx, browser: Browser) -> Answer {
    let updated = actions::client::ensure(&ctx, browser.hash.as_ref()).await?;
    answer::respond(&ctx, &browser, &updated, Resource::Client).await
}

/// `DELETE /v1/client`: signs out of everything and forgets the client.
pub async fn forget(ctx: Ctx, browser: Browser) -> Answer {
    end::forget_client(&ctx, browser.hash.as_ref()).await?;
    nobody(&ctx, &browser)
}

/// The answer for a browser that has no client; what it believes about itself is corrected.
pub fn nobody(ctx: &Ctx, browser: &Browser) -> Answer {
    let mut response: Response = answer::json(&json!({ "response": null, "client": null }));
    if browser.client_uat.as_deref().is_some_and(|uat| uat != "0") {
        for line in cookies::client_uat(&ctx.instance, 0) {
            cookies::set(response.headers_mut(), &line)?;
        }
    }
    Ok(response)
}
