//! A notice for the next page: which of a few sentences, carried by a signed cookie for one minute. A person cannot be
//! shown a sentence that we did not choose.

use cookie::{Cookie, SameSite};
use http::HeaderMap;

use super::super::cookies;
use crate::context::Ctx;
use crate::crypto::CookieUse;
use crate::model::instance::Instance;

/// How long a notice waits for its page, in seconds.
const LIFE: i64 = 60;

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashMessage {
    /// The person signed out.
    SignedOut,
    /// The attempt took too long.
    Expired,
}

impl FlashMessage {
    const ALL: [Self; 2] = [Self::SignedOut, Self::Expired];

    fn name(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Expired => "expired",
        }
    }

    /// Its key in the message file.
    pub fn message(self) -> &'static str {
        match self {
            Self::SignedOut => "notice.signed_out",
            Self::Expired => "notice.expired",
        }
    }

    /// `Set-Cookie` that takes the notice to the next page.
    pub fn carry(self, ctx: &Ctx) -> String {
        let at = ctx.now.unix_timestamp().to_string();
        let mac = ctx.app.ring.cookie_mac(CookieUse::Notice, &[ctx.instance.id.as_str(), self.name(), &at]);
        cookie(&ctx.instance, format!("{}.{at}.{mac}", self.name()), LIFE)
    }

    /// The notice that the request carries, if it is ours and fresh.
    pub fn read(ctx: &Ctx, headers: &HeaderMap) -> Option<Self> {
        let value = cookies::read(headers, name(&ctx.instance))?;
        let mut parts = value.splitn(3, '.');
        let (notice, at, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let age = ctx.now.unix_timestamp() - at.parse::<i64>().ok()?;
        let is_ours = ctx.app.ring.is_cookie_mac(CookieUse::Notice, &[ctx.instance.id.as_str(), notice, at], mac);
        let known = Self::ALL.into_iter().find(|known| known.name() == notice)?;
        (is_ours && (0..=LIFE).contains(&age)).then_some(known)
    }

    /// `Set-Cookie` that ends the notice once it was shown.
    pub fn clear(instance: &Instance) -> String {
        cookie(instance, String::new(), 0)
    }
}

/// Over plain http a browser refuses the prefix.
fn name(instance: &Instance) -> &'static str {
    if instance.is_https() { "__Host-vst_notice" } else { "vst_notice" }
}

fn cookie(instance: &Instance, value: String, seconds: i64) -> String {
    let mut cookie = Cookie::new(name(instance), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(instance.is_https());
    cookie.set_max_age(cookie::time::Duration::seconds(seconds));
    cookie.to_string()
}
