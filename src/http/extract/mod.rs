//! Typed views of a request: [`Ctx`], [`Browser`], [`Backend`], and the parameters of query and body ([`Params`]). The
//! guard has already found the instance and authenticated the caller; these read what it left. Never queries the
//! database.

mod json;
mod params;

pub use params::{Body, Params, Query};

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use super::cookies;
use super::native;
use super::problem::Failure;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::problem::Error;
use crate::model::provider_authorization::Transport;
use crate::store::directory::KeyHolder;

impl<S: Sync> FromRequestParts<S> for Ctx {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let missing = || Failure(Error::internal("a route without a guard"));
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// A caller authenticated by its secret key.
pub struct Backend(pub KeyHolder);

impl<S: Sync> FromRequestParts<S> for Backend {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let missing = || Failure(Error::internal("a backend route without the secret key rule"));
        parts.extensions.get::<KeyHolder>().cloned().map(Self).ok_or_else(missing)
    }
}

/// The client token that a browser presents, if any: in the cookie, or, from native apps, in `Authorization`.
pub struct Browser {
    /// What the token is looked up by. The guard computed it; nothing in the request computes it again.
    pub hash: Option<LookupHash>,
    /// The `__client_uat` cookie as the browser holds it.
    pub client_uat: Option<String>,
    /// A native application: its tokens travel in headers, and it neither sends nor gets a cookie.
    pub is_native: bool,
}

/// What the client token that the guard found is looked up by.
#[derive(Clone, Copy)]
pub struct PresentedToken(pub LookupHash);

/// The client token in a request's cookie, or a native application's in `Authorization`.
pub fn client_token(query: Option<&str>, headers: &HeaderMap) -> Option<String> {
    match native::is_native(query, headers) {
        true => native::token(headers),
        false => cookies::read(headers, cookies::CLIENT).filter(|token| !token.is_empty()),
    }
}

impl Browser {
    /// What binds the browser that comes back from a provider.
    pub fn transport(&self) -> Transport {
        if self.is_native { Transport::Nonce } else { Transport::Cookie }
    }
}

impl<S: Sync> FromRequestParts<S> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let is_native = native::is_native(parts.uri.query(), &parts.headers);
        let client_uat = cookies::read(&parts.headers, cookies::CLIENT_UAT).filter(|_| !is_native);
        let hash = parts.extensions.get::<PresentedToken>().map(|presented| presented.0);
        Ok(Self { hash, client_uat, is_native })
    }
}
