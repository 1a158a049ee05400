//! Style and scripts of our pages, compiled in. Their address holds their content's hash, so a browser may keep them
//! for ever; an address of another release answers 404, which is not stored.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::super::problem::Failure;
use super::super::route::{Cache, Caller, Cors, Limit, Outage, Route, Rules, get};
use crate::model::problem::code;
use crate::model::random::hex;

/// Assets belong to no instance: an error page under an unknown host looks like the others, and a page that says
/// that the database is away needs none for its style.
const ASSET: Rules = Rules {
    caller: Caller::Operator,
    limit: Limit::Unlimited,
    cors: Cors::Closed,
    cache: Cache::Immutable,
    outage: Outage::Refuse,
};

/// A file that pages name.
pub struct Asset {
    /// Its address.
    pub path: String,
    content_type: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let hash = hex(digest(&SHA256, bytes).as_ref().get(..8).unwrap_or_default());
        Self { path: format!("/assets/{name}.{hash}.{extension}"), content_type, bytes }
    }
}

/// The stylesheet of every page.
pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_bytes!("assets/style.css")));
/// What pages do better with script.
pub static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "js", "text/javascript; charset=utf-8", include_bytes!("assets/page.js")));
/// Sends the form of the form_post page on.
pub static FORM_POST: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("form-post", "js", "text/javascript; charset=utf-8", include_bytes!("assets/form-post.js"))
});

/// Tells the opener of a popup how the sign-in in it ended.
pub static POPUP: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("popup", "js", "text/javascript; charset=utf-8", include_bytes!("assets/popup.js")));

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get("/assets/{file}", ASSET, asset)]
}

/// `GET /assets/{file}`.
async fn asset(Path(file): Path<String>) -> Response {
    let mut assets = [&STYLE, &SCRIPT, &FORM_POST, &POPUP].into_iter();
    let found = assets.find(|asset| asset.path.strip_prefix("/assets/") == Some(&file));
    let Some(asset) = found else { return Failure::from(code::RESOURCE_NOT_FOUND).into_response() };
    ([(CONTENT_TYPE, asset.content_type)], asset.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_sixteen_hex_digits_of_the_content() {
        let hash = STYLE.path.strip_prefix("/assets/style.").unwrap().strip_suffix(".css").unwrap();
        assert_eq!(hash.len(), 16);
        assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn the_portal_stays_within_its_budget() {
        assert!(STYLE.bytes.len() < 12 * 1024);
        assert!(SCRIPT.bytes.len() + FORM_POST.bytes.len() + POPUP.bytes.len() < 20 * 1024);
    }
}
