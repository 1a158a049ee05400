//! The frontend API (`/v1/client…`, `/v1/me`, `/v1/environment`): what the browser SDK calls, one file per resource.
//! Answers carry the whole client ([`answer::respond`](super::answer::respond)). The browser's cookie says who calls, the
//! guard has checked its origin. `handshake` and `oauth_callback` are navigations: they answer with redirects.

mod client;
mod environment;
mod external_accounts;
mod handshake;
mod me;
mod nonce;
mod oauth_callback;
mod reverification;
mod sessions;
mod sign_ins;
pub mod sign_ups;
mod verify;

use super::route::{Cache, Caller, Cors, Limit, Outage, Route, Rules, delete, get, patch, post, put};

/// A navigation of the browser: its cookie says who it is, and a token of its own why it is here.
const NAVIGATION: Rules = Rules {
    caller: Caller::Anyone,
    limit: Limit::Unlimited,
    cors: Cors::Closed,
    cache: Cache::NoStore,
    outage: Outage::Refuse,
};
const PROVE: Rules = Rules::FRONTEND.limited(Limit::AttemptProof);
const BEGIN: Rules = Rules::FRONTEND.limited(Limit::CreateAttempt);

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    vec![
        get("/v1/environment", Rules::FRONTEND.last_known(), environment::show),
        patch("/v1/environment", Rules::FRONTEND.last_known(), environment::show),
        get("/v1/client", Rules::FRONTEND, client::show),
        post("/v1/client", Rules::FRONTEND, client::create),
        put("/v1/client", Rules::FRONTEND, client::create),
        delete("/v1/client", Rules::FRONTEND, client::forget),
        post("/v1/client/sign_ins", BEGIN, sign_ins::create),
        get("/v1/client/sign_ins/{id}", Rules::FRONTEND, sign_ins::show),
        post("/v1/client/sign_ins/{id}/prepare_first_factor", Rules::FRONTEND, sign_ins::prepare_first_factor),
        post("/v1/client/sign_ins/{id}/attempt_first_factor", PROVE, sign_ins::attempt_first_factor),
        post("/v1/client/sign_ins/{id}/reset_password", PROVE, sign_ins::reset_password),
        post("/v1/client/sign_ups", BEGIN, sign_ups::create),
        get("/v1/client/sign_ups/{id}", Rules::FRONTEND, sign_ups::show),
        patch("/v1/client/sign_ups/{id}", BEGIN, sign_ups::update),
        post("/v1/client/sign_ups/{id}/prepare_verification", Rules::FRONTEND, sign_ups::prepare_verification),
        post("/v1/client/sign_ups/{id}/attempt_verification", PROVE, sign_ups::attempt_verification),
        delete("/v1/client/sessions", Rules::FRONTEND, sessions::end_all),
        post("/v1/client/sessions/{id}/touch", Rules::FRONTEND, sessions::touch),
        post("/v1/client/sessions/{id}/tokens", Rules::FRONTEND, sessions::token),
        post("/v1/client/sessions/{id}/end", Rules::FRONTEND, sessions::end),
        post("/v1/client/sessions/{id}/remove", Rules::FRONTEND, sessions::remove),
        post("/v1/client/sessions/{id}/verify", Rules::FRONTEND, reverification::begin),
        post("/v1/client/sessions/{id}/verify/prepare_first_factor", Rules::FRONTEND, reverification::prepare),
        post("/v1/client/sessions/{id}/verify/attempt_first_factor", PROVE, reverification::attempt),
        get("/v1/me", Rules::FRONTEND, me::show),
        post("/v1/me/external_accounts", BEGIN, external_accounts::create),
        delete("/v1/me/external_accounts/{id}", Rules::FRONTEND, external_accounts::remove),
        patch("/v1/me/external_accounts/{id}/reauthorize", BEGIN, external_accounts::reauthorize),
        delete("/v1/me/external_accounts/{id}/tokens", Rules::FRONTEND, external_accounts::forget_tokens),
        get("/v1/client/handshake", NAVIGATION, handshake::show),
        get("/v1/oauth_callback", NAVIGATION, oauth_callback::show),
        get("/v1/verify", Rules::PAGE, verify::show),
        post("/v1/verify", Rules::PAGE.limited(Limit::AttemptProof), verify::confirm),
    ]
}
