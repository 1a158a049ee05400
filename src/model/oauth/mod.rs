//! The rules of the authorization server (RFC 6749, RFC 7636, RFC 8252, RFC 9700, OpenID Connect Core), pure.
//!
//! What a request says is parsed here, in the order the specifications give; what it leads to is decided here
//! ([`interaction`]). Nothing in this module looks anything up: applications, users and sessions are handed in, secrets
//! are compared elsewhere (in SQL, by keyed hash).

pub mod application;
pub mod authorize;
pub mod claims;
pub mod client_auth;
pub mod consent;
pub mod discovery;
pub mod error;
pub mod family;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod grant_request;
pub mod interaction;
pub mod parameters;
pub mod pkce;
pub mod redirect_uri;
pub mod resource;
pub mod scope;
pub mod token;
