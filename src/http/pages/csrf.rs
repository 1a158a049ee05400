//! Whether a form was ours: the request comes from a page of our origin, and its hidden field was made for this
//! browser, this form and this hour. The browser has a client before it has the form (one that no row
//! stands for until it is sent), so login forgery is covered too.

use http::HeaderMap;

use super::super::cors;
use super::super::extract::Params;
use crate::context::Ctx;
use crate::crypto::CookieUse;
use crate::crypto::ring::KeyRing;
use crate::model::id::ClientId;
use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};

/// The hidden field's name.
pub const FIELD: &str = "csrf";

const HOUR: i64 = 3600;

/// The value of the hidden field for `form` on `client`'s page.
pub fn field(ctx: &Ctx, client: &ClientId, form: &str) -> String {
    let hour = ctx.now.unix_timestamp().div_euclid(HOUR);
    PageForm { instance: &ctx.instance, client, form }.value(&ctx.app.ring, hour)
}

/// Refuses a post that did not come from `form` on a page of ours.
///
/// # Errors
/// `vestibule_form_invalid` (403).
pub fn check(
    ctx: &Ctx,
    client: Option<&ClientId>,
    form: &str,
    headers: &HeaderMap,
    params: &Params,
) -> Result<(), Problem> {
    let refused = || Problem::from(code::FORM_INVALID);
    let (client, presented) = client.zip(params.text(FIELD)).ok_or_else(refused)?;
    let hour = ctx.now.unix_timestamp().div_euclid(HOUR);
    let form = PageForm { instance: &ctx.instance, client, form };
    let is_ours = is_same_origin(&ctx.instance, headers)
        && [hour, hour - 1].iter().any(|hour| form.is_value(&ctx.app.ring, *hour, presented));
    is_ours.then_some(()).ok_or_else(refused)
}

/// True if the browser says that the request was made by a page of the issuer's origin. `Sec-Fetch-Site` decides where
/// it is sent; browsers leave it out over plain http to other names than loopback, and then `Origin` decides.
fn is_same_origin(instance: &Instance, headers: &HeaderMap) -> bool {
    let Ok(origin) = cors::origin(headers) else { return false };
    match headers.get("sec-fetch-site") {
        None => origin == Some(&instance.origin),
        Some(site) => {
            site == "same-origin" && origin.is_none_or(|origin| origin == "null" || origin == instance.origin)
        }
    }
}

/// What a value of the hidden field is good for: one form, shown to one browser.
struct PageForm<'a> {
    instance: &'a Instance,
    client: &'a ClientId,
    form: &'a str,
}

impl PageForm<'_> {
    fn parts<'a>(&'a self, hour: &'a str) -> [&'a str; 4] {
        [self.instance.id.as_str(), self.client.as_str(), self.form, hour]
    }

    /// The value of this hour.
    fn value(&self, ring: &KeyRing, hour: i64) -> String {
        ring.cookie_mac(CookieUse::Csrf, &self.parts(&hour.to_string()))
    }

    /// Whether `presented` is that.
    fn is_value(&self, ring: &KeyRing, hour: i64, presented: &str) -> bool {
        ring.is_cookie_mac(CookieUse::Csrf, &self.parts(&hour.to_string()), presented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::fixtures::{Fixed, production};
    use crate::model::time::Timestamp;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_pages_may_post() {
        let instance = production();
        let ours = [
            vec![("sec-fetch-site", "same-origin"), ("origin", "https://id.example")],
            vec![("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "same-origin"), ("origin", "null")],
            vec![("origin", "https://id.example")],
        ];
        for pairs in ours {
            assert!(is_same_origin(&instance, &headers(&pairs)), "{pairs:?}");
        }
        let foreign = [
            vec![],
            vec![("origin", "null")],
            vec![("origin", "https://evil.example")],
            vec![("origin", "https://id.example.evil.example")],
            vec![("origin", "https://app.example")],
            vec![("sec-fetch-site", "same-site"), ("origin", "https://id.example")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "none")],
            vec![("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        ];
        for pairs in foreign {
            assert!(!is_same_origin(&instance, &headers(&pairs)), "{pairs:?}");
        }
    }

    #[test]
    fn the_field_is_good_for_one_browser_one_form_and_its_hour() {
        let rng = Fixed(3);
        let ring = KeyRing::generate(&rng).unwrap();
        let client = ClientId::new(Timestamp::UNIX_EPOCH, &rng);
        let other = ClientId::new(Timestamp::UNIX_EPOCH, &Fixed(4));
        let instance = production();
        let form = |client, form| PageForm { instance: &instance, client, form };
        let value = form(&client, "sign-in").value(&ring, 9);
        assert!(form(&client, "sign-in").is_value(&ring, 9, &value));
        assert!(!form(&other, "sign-in").is_value(&ring, 9, &value));
        assert!(!form(&client, "sign-out").is_value(&ring, 9, &value));
        assert!(!form(&client, "sign-in").is_value(&ring, 10, &value));
        assert!(!form(&client, "sign-in").is_value(&ring, 9, ""));
    }
}
