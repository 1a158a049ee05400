//! The backend API (`/v1/users`, `/v1/oauth_applications`, …): secret key in, bare JSON resources out, one file per
//! resource. The guard has checked the key before a handler runs; the instance is the key's, never the host's. No
//! cookie is read or set here, and no secret of an application is shown but when it was made.

mod external_accounts;
mod handshake_payload;
mod jwks;
mod oauth_access_tokens;
mod oauth_applications;
pub mod pagination;
mod provider_token;
mod providers;
mod redirect_urls;
mod users;

use super::route::{Route, Rules, delete, get, patch, post};

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    vec![
        get("/v1/users", Rules::BACKEND, users::list),
        get("/v1/users/count", Rules::BACKEND, users::count),
        get("/v1/users/{id}", Rules::BACKEND, users::show),
        post("/v1/users/{id}/ban", Rules::BACKEND, users::ban),
        post("/v1/users/{id}/unban", Rules::BACKEND, users::unban),
        post("/v1/users/{id}/lock", Rules::BACKEND, users::lock),
        post("/v1/users/{id}/unlock", Rules::BACKEND, users::unlock),
        delete("/v1/users/{id}/external_accounts/{account}", Rules::BACKEND, external_accounts::remove),
        get("/v1/users/{id}/oauth_access_tokens/{provider}", Rules::BACKEND, oauth_access_tokens::list),
        get("/v1/vestibule/users/{user_id}/external_accounts/{id}/token", Rules::BACKEND, provider_token::show),
        get("/v1/redirect_urls", Rules::BACKEND, redirect_urls::list),
        post("/v1/redirect_urls", Rules::BACKEND, redirect_urls::create),
        get("/v1/redirect_urls/{id}", Rules::BACKEND, redirect_urls::get),
        delete("/v1/redirect_urls/{id}", Rules::BACKEND, redirect_urls::remove),
        post("/v1/oauth_applications", Rules::BACKEND, oauth_applications::create),
        get("/v1/oauth_applications", Rules::BACKEND, oauth_applications::list),
        get("/v1/oauth_applications/{id}", Rules::BACKEND, oauth_applications::show),
        get("/v1/vestibule/providers", Rules::BACKEND, providers::list),
        post("/v1/vestibule/providers", Rules::BACKEND, providers::create),
        get("/v1/vestibule/providers/{key}", Rules::BACKEND, providers::show),
        patch("/v1/vestibule/providers/{key}", Rules::BACKEND, providers::update),
        delete("/v1/vestibule/providers/{key}", Rules::BACKEND, providers::delete),
        get("/v1/jwks", Rules::BACKEND.last_known(), jwks::show),
        get("/v1/clients/handshake_payload", Rules::BACKEND, handshake_payload::show),
    ]
}
