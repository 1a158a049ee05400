//! The one JWT verifier: ID tokens of providers, hints, tickets, assertions and our own tokens.
//!
//! The steps, in this order: form, algorithm, `crit`, key, signature, claims,
//! type, purpose. A missing claim is a refusal. The JWT crate does the signature alone: its claim checks read the
//! operating system's clock and treat absent claims as good.

mod algorithm;
mod claims;
mod keys;
mod refusal;

pub use algorithm::Algorithm;
pub use claims::Claims;
pub use keys::KeySet;
pub use refusal::JwtRefusal;

use super::secret::{ExposeSecret, Secret, same};
use super::signing::TokenType;
use crate::model::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claims::Audiences;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest token that is looked at, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;

/// What is granted to foreign clocks.
pub const FOREIGN_LEEWAY: Duration = Duration::from_secs(60);

/// Where the signature's key comes from. Never from the token.
#[derive(Clone, Copy)]
pub enum Keys<'a> {
    /// The issuer's published keys; HS256 is not possible with them.
    Set(&'a KeySet),
    /// A secret shared with the issuer (LINE: the client secret); HS256 is the only possibility.
    Secret(&'a Secret),
}

/// Who may have issued the token.
#[derive(Clone, Copy, Debug)]
pub enum Issuer<'a> {
    /// Byte for byte this one.
    Exactly(&'a str),
    /// One of several spellings (Google with and without scheme).
    AnyOf(&'a [String]),
    /// `{tid}` stands for the token's `tid`, which must be a UUID (Microsoft's multi-tenant endpoints).
    Tenant(&'a str),
}

/// Whom the token must be for.
#[derive(Clone, Copy, Debug)]
pub enum Audience<'a> {
    /// One of these must be in `aud`; with several `aud`, `azp` must be one of them too.
    OneOf(&'a [&'a str]),
    /// Our own session tokens carry none, and our other tokens are compared with a row by the caller.
    Unchecked,
}

/// The OpenID Connect `nonce`.
#[derive(Clone, Copy)]
pub enum Nonce<'a> {
    /// None was sent, or the provider returns none.
    Unused,
    /// Exactly this text.
    Is(&'a str),
    /// The row holds only a hash: true if this is the nonce.
    Matches(&'a dyn Fn(&str) -> bool),
}

/// Everything a token must be to be believed.
#[derive(Clone, Copy)]
pub struct Expect<'a> {
    /// The algorithms of this use; everything else is refused.
    pub algorithms: &'a [Algorithm],
    /// Who issued it.
    pub issuer: Issuer<'a>,
    /// Whom it is for.
    pub audience: Audience<'a>,
    /// Its kind. [`TokenType::Jwt`] also takes a token without `typ`, as providers send them.
    pub typ: TokenType,
    /// Its nonce.
    pub nonce: Nonce<'a>,
    /// How far the issuer's clock may be off, applied to `exp`, `iat` and `nbf`.
    pub leeway: Duration,
}

/// Verifies a token and returns its claims.
pub fn verify(token: &str, keys: Keys<'_>, expect: &Expect<'_>, now: Timestamp) -> Result<Claims, JwtRefusal> {
    let parts = Parts::split(token)?;
    let algorithm = algorithm(&parts.header, expect.algorithms)?;
    // RFC 7515 section 4.1.11: extensions that must be understood, and none is. `jku`, `jwk`, `x5u` and `x5c` are not
    // looked at: a token may not bring its own key.
    if parts.header.contains_key("crit") {
        return Err(JwtRefusal::Critical);
    }
    check_signature(&parts, keys, algorithm)?;
    let claims = Claims::new(object(&parts.payload)?);
    check_issuer(&claims, expect.issuer)?;
    let audiences = check_audience(&claims, expect.audience)?;
    check_times(&claims, expect.leeway, now)?;
    check_type(&parts.header, expect.typ)?;
    check_nonce(&claims, expect.nonce)?;
    check_authorized_party(&claims, expect.audience, &audiences)?;
    Ok(claims)
}

/// Verifies a token of ours: RS256 by one of `keys`, this issuer and type, not a second past `exp`. The audience,
/// where the kind has one, is the caller's to compare.
pub fn verify_own(
    token: &str,
    keys: &KeySet,
    typ: TokenType,
    issuer: &str,
    now: Timestamp,
) -> Result<Claims, JwtRefusal> {
    let expect = Expect {
        algorithms: &[Algorithm::Rs256],
        issuer: Issuer::Exactly(issuer),
        audience: Audience::Unchecked,
        typ,
        nonce: Nonce::Unused,
        leeway: Duration::ZERO,
    };
    verify(token, Keys::Set(keys), &expect, now)
}

/// A token taken apart; nothing of it is believed yet.
struct Parts<'a> {
    header: Map<String, Value>,
    payload: Vec<u8>,
    /// Header and payload as they were signed.
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, JwtRefusal> {
        if token.len() > MAX_LENGTH {
            return Err(JwtRefusal::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtRefusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtRefusal::Malformed)?;
        // A fourth part would leave a dot here, which is not base64url. Padding and stray bits are refused as well,
        // so that a token has one spelling.
        let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtRefusal::Malformed);
        let (header, payload, _) = (decode(header)?, decode(payload)?, decode(signature)?);
        Ok(Self { header: object(&header)?, payload, signed, signature })
    }
}

fn object(json: &[u8]) -> Result<Map<String, Value>, JwtRefusal> {
    serde_json::from_slice(json).map_err(|_| JwtRefusal::Malformed)
}

fn algorithm(header: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Algorithm, JwtRefusal> {
    let name = header.get("alg").and_then(Value::as_str).ok_or(JwtRefusal::Malformed)?;
    Algorithm::from_name(name)
        .filter(|algorithm| allowed.contains(algorithm))
        .ok_or_else(|| JwtRefusal::Algorithm { found: refusal::shown(name) })
}

fn check_signature(parts: &Parts<'_>, keys: Keys<'_>, algorithm: Algorithm) -> Result<(), JwtRefusal> {
    let kid = match parts.header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str()),
        Some(_) => return Err(JwtRefusal::Malformed),
    };
    let no_key = || JwtRefusal::Key { kid: kid.map(refusal::shown) };
    let shared;
    let key = match keys {
        Keys::Set(set) => set.find(kid, algorithm).ok_or_else(no_key)?,
        // An empty secret would be everybody's; and a public key must never serve as an HMAC secret.
        Keys::Secret(secret) if algorithm == Algorithm::Hs256 && !secret.expose_secret().is_empty() => {
            shared = jsonwebtoken::DecodingKey::from_secret(secret.expose_secret().as_bytes());
            &shared
        }
        Keys::Secret(_) => return Err(no_key()),
    };
    let is_good = jsonwebtoken::crypto::verify(parts.signature, parts.signed.as_bytes(), key, algorithm.library_name());
    if !is_good.unwrap_or(false) {
        return Err(JwtRefusal::Signature);
    }
    Ok(())
}

fn check_issuer(claims: &Claims, issuer: Issuer<'_>) -> Result<(), JwtRefusal> {
    let found = claims.required_text("iss")?;
    let differs = |expected: String| JwtRefusal::Issuer { expected, found: refusal::shown(found) };
    match issuer {
        Issuer::Exactly(expected) if expected == found => Ok(()),
        Issuer::Exactly(expected) => Err(differs(expected.to_owned())),
        Issuer::AnyOf(expected) if expected.iter().any(|one| one == found) => Ok(()),
        Issuer::AnyOf(expected) => Err(differs(expected.join(" or "))),
        Issuer::Tenant(template) => {
            let tenant = claims.required_text("tid")?;
            if !is_tenant(tenant) {
                return Err(JwtRefusal::WrongClaimType("tid"));
            }
            let expected = template.replace("{tid}", tenant);
            if expected == found { Ok(()) } else { Err(differs(expected)) }
        }
    }
}

/// A UUID in its usual spelling: without this a `tid` with slashes could steer the issuer to another path.
fn is_tenant(tid: &str) -> bool {
    let is_at_hyphen = |position| matches!(position, 8 | 13 | 18 | 23);
    let fits = |(position, byte): (usize, u8)| {
        if is_at_hyphen(position) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    tid.len() == 36 && tid.bytes().enumerate().all(fits)
}

fn check_audience<'a>(claims: &'a Claims, audience: Audience<'_>) -> Result<Audiences<'a>, JwtRefusal> {
    let Audience::OneOf(wanted) = audience else {
        return Ok(Audiences::default());
    };
    let found = claims.audiences()?;
    if !found.iter().any(|one| wanted.contains(one)) {
        return Err(JwtRefusal::Audience { found: refusal::shown(&found.join(" ")) });
    }
    Ok(found)
}

fn check_times(claims: &Claims, leeway: Duration, now: Timestamp) -> Result<(), JwtRefusal> {
    let leeway = i64::try_from(leeway.as_secs()).unwrap_or(i64::MAX);
    let now = now.unix_timestamp();
    let expiry = claims.required_time("exp")?;
    let issued = claims.required_time("iat")?;
    // RFC 7519 section 4.1.4: not accepted on or after `exp`.
    if now >= expiry.saturating_add(leeway) {
        return Err(JwtRefusal::Expired { by: now.saturating_sub(expiry) });
    }
    if issued > now.saturating_add(leeway) {
        return Err(JwtRefusal::IssuedInFuture { by: issued.saturating_sub(now) });
    }
    match claims.time("nbf")? {
        Some(from) if from > now.saturating_add(leeway) => {
            Err(JwtRefusal::NotYetValid { by: from.saturating_sub(now) })
        }
        _ => Ok(()),
    }
}

fn check_type(header: &Map<String, Value>, wanted: TokenType) -> Result<(), JwtRefusal> {
    let found = match header.get("typ") {
        None if wanted == TokenType::Jwt => return Ok(()),
        None => return Err(JwtRefusal::Type { found: None }),
        Some(Value::String(found)) => found,
        Some(_) => return Err(JwtRefusal::Malformed),
    };
    // Media types are compared without case, and `application/` may be left out (RFC 7515 section 4.1.9).
    let lower = found.to_ascii_lowercase();
    let short = lower.strip_prefix("application/").unwrap_or(&lower);
    if short != wanted.as_str().to_ascii_lowercase() {
        return Err(JwtRefusal::Type { found: Some(refusal::shown(found)) });
    }
    Ok(())
}

fn check_nonce(claims: &Claims, nonce: Nonce<'_>) -> Result<(), JwtRefusal> {
    if matches!(nonce, Nonce::Unused) {
        return Ok(());
    }
    let found = claims.required_text("nonce")?;
    let is_ours = match nonce {
        Nonce::Unused => true,
        Nonce::Is(expected) => same(expected.as_bytes(), found.as_bytes()),
        Nonce::Matches(is_ours) => is_ours(found),
    };
    if is_ours { Ok(()) } else { Err(JwtRefusal::Nonce) }
}

/// OpenID Connect Core section 3.1.3.7, steps 4 and 5: of several audiences one asked for the token, and that was us.
fn check_authorized_party(
    claims: &Claims,
    audience: Audience<'_>,
    audiences: &Audiences<'_>,
) -> Result<(), JwtRefusal> {
    let Audience::OneOf(wanted) = audience else {
        return Ok(());
    };
    if audiences.len() < 2 {
        return Ok(());
    }
    let party = claims.required_text("azp")?;
    if !wanted.contains(&party) {
        return Err(JwtRefusal::AuthorizedParty { found: refusal::shown(party) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
