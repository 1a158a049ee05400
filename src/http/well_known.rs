//! Public documents under `/.well-known`: the description of the authorization server and the keys it signs with. Sent
//! from memory, also while the database is away.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::problem::Answer;
use super::route::{Route, Rules, get};
use crate::actions::signing_keys;
use crate::context::Ctx;
use crate::model::oauth::discovery;
use crate::model::random::hex;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    let documents = Documents::default();
    let describe = move |ctx: Ctx, headers: HeaderMap| {
        let documents = documents.clone();
        async move { documents.describe(&ctx, &headers).await }
    };
    vec![
        get("/.well-known/openid-configuration", Rules::DOCUMENT, describe.clone()),
        get("/.well-known/oauth-authorization-server", Rules::DOCUMENT, describe),
        get("/.well-known/jwks.json", Rules::DOCUMENT, jwks),
    ]
}

/// Descriptions by issuer, each built once.
#[derive(Clone)]
struct Documents(Arc<moka::future::Cache<String, Bytes>>);

impl Default for Documents {
    fn default() -> Self {
        Self(Arc::new(moka::future::Cache::new(10_000)))
    }
}

impl Documents {
    async fn describe(&self, ctx: &Ctx, headers: &HeaderMap) -> Response {
        let issuer = ctx.instance.origin.as_str();
        let build = async { Bytes::from(discovery::document(issuer).to_string()) };
        let bytes = self.0.get_with_by_ref(issuer, build).await;
        document(bytes, headers)
    }
}

/// `GET /.well-known/jwks.json` (RFC 7517 section 5): every key that may have signed something still valid.
async fn jwks(ctx: Ctx, headers: HeaderMap) -> Answer {
    let keys = signing_keys::shown(&ctx.app, &ctx.instance).await?;
    Ok(document(keys.jwks.clone(), &headers))
}

/// A document with its entity tag, or the news that the caller has it already.
fn document(bytes: Bytes, headers: &HeaderMap) -> Response {
    let hash = digest(&SHA256, &bytes);
    let etag = format!("\"{}\"", hex(hash.as_ref().get(..8).unwrap_or_default()));
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*");
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let mut response = Response::new(Body::from(bytes));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
