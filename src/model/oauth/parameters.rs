//! The parameters of an OAuth request, decoded once and strictly.
//!
//! Two layers that read a doubled or oddly encoded parameter differently are a classic hole (Keycloak CVE-2026-9689), so
//! there is one reader: bad percent-encoding, bad UTF-8 and control characters are refused, and a recognised parameter
//! that occurs twice is noticed before its value is believed.

use super::error::{OAuthError, invalid_request};

/// The most fields a query or form may have.
pub const MAX_FIELDS: usize = 100;

const MALFORMED: OAuthError = invalid_request("the parameters are not valid percent-encoded UTF-8");
const TOO_MANY: OAuthError = invalid_request("too many parameters");

/// The decoded parameters of one request, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

/// A recognised parameter occurred twice (RFC 6749 sections 3.1 and 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl From<Repeated> for OAuthError {
    fn from(_: Repeated) -> Self {
        invalid_request("a parameter occurs more than once")
    }
}

impl Parameters {
    /// Reads a query string or a form body.
    ///
    /// # Errors
    /// `invalid_request` when a field is not valid percent-encoded UTF-8, holds a control character, or there are more
    /// than [`MAX_FIELDS`].
    pub fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let mut fields = Vec::new();
        for field in encoded.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return Err(TOO_MANY);
            }
            let mut halves = field.splitn(2, |byte| *byte == b'=');
            let name = form_decode(halves.next().unwrap_or_default()).ok_or(MALFORMED)?;
            let value = form_decode(halves.next().unwrap_or_default()).ok_or(MALFORMED)?;
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// The value of `name`, if it is there and not empty (RFC 6749 section 3.1: empty counts as absent).
    ///
    /// # Errors
    /// [`Repeated`] if the parameter occurs more than once, empty or not.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated);
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// The value of `name` if it is there exactly once and not empty; for parameters whose repetition was already
    /// refused, or must not stop an error from being delivered.
    pub fn single(&self, name: &str) -> Option<&str> {
        self.one(name).ok().flatten()
    }

    /// All values of a parameter that may repeat (`resource`), empty ones left out.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same parameters with every occurrence of `name` replaced by one with `value`.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut fields = self.without(name).0;
        fields.push((name.to_owned(), value.to_owned()));
        Self(fields)
    }

    /// The same parameters without `name`.
    pub fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(key, _)| key != name).cloned().collect())
    }

    /// The parameters in form encoding.
    pub fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.iter()).finish()
    }
}

/// Decodes one form-encoded name or value (`+` is a space, `%xx` a byte); `None` unless the result is UTF-8 without
/// control characters. Also the decoding of Basic credentials (RFC 6749 section 2.3.1).
pub fn form_decode(encoded: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    loop {
        match rest {
            [] => break,
            [b'%', high, low, tail @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
                decoded.push(digit(high)? * 16 + digit(low)?);
                rest = tail;
            }
            [b'%', ..] => return None,
            [b'+', tail @ ..] => {
                decoded.push(b' ');
                rest = tail;
            }
            [byte, tail @ ..] => {
                decoded.push(*byte);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8(decoded).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_control())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Parameters {
        Parameters::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn decodes_once() {
        let parameters = parse("a=b%2526&c+d=%C3%A9&&empty=&flag");
        let fields: Vec<_> = parameters.iter().collect();
        assert_eq!(fields, [("a", "b%26"), ("c d", "é"), ("empty", ""), ("flag", "")]);
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "a=%00", "%0a=b", "a=b%7f", "a=\u{1}", "a=%C0%AF"] {
            assert!(Parameters::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Parameters::parse(b"a=\xff").is_err());
    }

    #[test]
    fn counts_fields() {
        assert!(Parameters::parse("a=b&".repeat(MAX_FIELDS).as_bytes()).is_ok());
        assert!(Parameters::parse("a=b&".repeat(MAX_FIELDS + 1).as_bytes()).is_err());
    }

    #[test]
    fn a_second_occurrence_is_noticed_even_if_empty() {
        assert_eq!(parse("a=1&a=").one("a"), Err(Repeated));
        assert_eq!(parse("a=&a=").one("a"), Err(Repeated));
        assert_eq!(parse("a=&b=1").one("a"), Ok(None));
        assert_eq!(parse("a=1&b=1").one("a"), Ok(Some("1")));
        assert_eq!(parse("r=1&r=2&r=").all("r").collect::<Vec<_>>(), ["1", "2"]);
    }

    proptest! {
        #[test]
        fn encoding_and_parsing_agree(fields in prop::collection::vec(("[^\\x00-\\x1f\\x7f]{1,8}", "[^\\x00-\\x1f\\x7f]{0,12}"), 0..8)) {
            let parameters = Parameters(fields);
            prop_assert_eq!(Parameters::parse(parameters.encode().as_bytes()).unwrap(), parameters);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Parameters::parse(&bytes);
        }
    }
}
