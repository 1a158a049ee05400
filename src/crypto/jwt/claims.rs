//! The claims of a verified token.

use super::refusal::JwtRefusal;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Longest `sub`, in bytes (OpenID Connect Core section 2).
const SUBJECT_LENGTH: usize = 255;

/// The values of `aud`.
pub(super) type Audiences<'a> = Vec<&'a str>;

/// Claims whose token [`verify`](super::verify) has believed. There is no other way to get one.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    pub(super) const fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// A claim of any type.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Whom the token is about; `None` if `sub` is absent, not text, empty or above 255 bytes.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub").filter(|subject| !subject.is_empty() && subject.len() <= SUBJECT_LENGTH)
    }

    /// A point in time in seconds since 1970, fractions cut off; `None` if absent (RFC 7519 section 2, NumericDate).
    pub fn time(&self, name: &'static str) -> Result<Option<i64>, JwtRefusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        // A number as text is refused: the crate we verify with once took such an `exp` for an absent one.
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
        seconds.map(Some).ok_or(JwtRefusal::WrongClaimType(name))
    }

    /// All claims as a JSON object, for profile mapping.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The claims as a typed struct.
    pub fn read<T: DeserializeOwned>(self) -> serde_json::Result<T> {
        serde_json::from_value(self.into_value())
    }

    pub(super) fn required_text(&self, name: &'static str) -> Result<&str, JwtRefusal> {
        let value = self.get(name).ok_or(JwtRefusal::MissingClaim(name))?;
        value.as_str().ok_or(JwtRefusal::WrongClaimType(name))
    }

    pub(super) fn required_time(&self, name: &'static str) -> Result<i64, JwtRefusal> {
        self.time(name)?.ok_or(JwtRefusal::MissingClaim(name))
    }

    /// `aud`, which is one text or a list of texts (RFC 7519 section 4.1.3).
    pub(super) fn audiences(&self) -> Result<Audiences<'_>, JwtRefusal> {
        match self.get("aud") {
            None => Err(JwtRefusal::MissingClaim("aud")),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(several)) => {
                several.iter().map(|one| one.as_str().ok_or(JwtRefusal::WrongClaimType("aud"))).collect()
            }
            Some(_) => Err(JwtRefusal::WrongClaimType("aud")),
        }
    }
}

impl std::fmt::Debug for Claims {
    /// Names only: the values are somebody's e-mail address, name and picture.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
