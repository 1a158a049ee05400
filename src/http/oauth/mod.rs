//! `/oauth/*`: the authorization server's endpoints, one file each, with the consent page's two entry points. `client`
//! and `form` read what the client endpoints share.
//!
//! Errors here are OAuth's ([`error`]), not the envelope of the two APIs, and never a redirect to an address that was
//! not registered. Parameters are parsed by `model::oauth`; nothing is decided here.

mod authorize;
mod client;
mod consent;
pub mod error;
mod form;
mod introspect;
mod revoke;
mod token;
mod userinfo;

use super::route::{Cache, Caller, Cors, Limit, Outage, Route, Rules, get, post};

/// A client endpoint that scripts of any page may call.
const CLIENT: Rules = Rules {
    caller: Caller::OAuthClient,
    limit: Limit::OAuthClient,
    cors: Cors::Anyone,
    cache: Cache::NoStore,
    outage: Outage::Refuse,
};
/// A client endpoint for servers.
const SERVER: Rules = Rules { cors: Cors::Closed, ..CLIENT };
/// Userinfo.
const BEARER: Rules = Rules { caller: Caller::AccessToken, ..CLIENT };

/// The authorization endpoint: a browser navigates, no script reads the answer (RFC 9700 section 2.6).
const AUTHORIZE: Rules = Rules::PAGE.limited(Limit::Authorize);
/// The answer to the consent question: checks where it comes from by its own, narrower rule.
const ANSWER: Rules = Rules { caller: Caller::Anyone, ..Rules::FRONTEND };

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    vec![
        get("/oauth/authorize", AUTHORIZE, authorize::begin),
        post("/oauth/authorize", AUTHORIZE, authorize::begin),
        // The browser SDK knows this second name of the same endpoint as a place to come back to.
        get("/oauth/authorize-with-immediate-redirect", AUTHORIZE, authorize::begin),
        post("/oauth/authorize-with-immediate-redirect", AUTHORIZE, authorize::begin),
        get(consent::PAGE, Rules::PAGE, consent::ask),
        post(consent::PAGE, Rules::PAGE, consent::answer),
        get("/v1/me/oauth/consent/{client_id}", Rules::FRONTEND, consent::describe),
        post("/v1/me/oauth/consent/{client_id}", ANSWER, consent::submit),
        post("/oauth/token", CLIENT, token::exchange),
        post("/oauth/token/revoke", CLIENT, revoke::end),
        post("/oauth/token_info", SERVER, introspect::show),
        get("/oauth/userinfo", BEARER, userinfo::show),
        post("/oauth/userinfo", BEARER, userinfo::show),
    ]
}
