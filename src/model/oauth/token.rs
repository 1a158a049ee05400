//! The form of codes, access tokens and refresh tokens: prefix, the day of expiry in three base62 characters, and 43
//! base64url characters (256 bits). The day lets a lookup read one partition; the keyed hash covers the whole text.

use zeroize::Zeroize;

use crate::model::random::{self, BASE62, Rng};
use crate::model::time::{Timestamp, epoch_day};

/// Characters after the prefix.
const LENGTH: usize = 46;
/// Characters of the day.
const DAY_LENGTH: usize = 3;

/// What an opaque value of ours is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An authorization code: no prefix.
    Code,
    /// An opaque access token: `oat_`.
    Access,
    /// A refresh token: `ort_`.
    Refresh,
}

impl Kind {
    /// The letters a value of this kind begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Code => "",
            Self::Access => "oat_",
            Self::Refresh => "ort_",
        }
    }
}

/// A code or token in the clear, on its way from or to its holder. Never logged, never stored; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    kind: Kind,
    text: String,
    day: i32,
}

impl Token {
    /// A new value of `kind` that expires at `expires_at`.
    pub fn new(kind: Kind, expires_at: Timestamp, rng: &dyn Rng) -> Self {
        Self::with_tail(kind, epoch_day(expires_at), &random::token(rng))
    }

    /// The value of `kind` whose day and 43 last characters are known: a refresh token derived from its predecessor.
    pub fn with_tail(kind: Kind, day: i32, tail: &str) -> Self {
        Self { kind, text: format!("{}{}{tail}", kind.prefix(), encode_day(day)), day }
    }

    /// Reads a presented value; `None` if it cannot be one of `kind` (answered like an unknown one).
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(kind.prefix())?;
        let (day, tail) = rest.split_at_checked(DAY_LENGTH)?;
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let well_formed = rest.len() == LENGTH && tail.bytes().all(base64url);
        let day = read(day)?;
        well_formed.then(|| Self { kind, text: text.to_owned(), day })
    }

    /// What the value is good for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The day it names (days since 1970): the day its row is filed under.
    pub fn day(&self) -> i32 {
        self.day
    }

    /// The value itself, for hashing it or handing it to its holder.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} token of day {}", self.kind, self.day)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// The day in base62, most significant first: enough until the year 2622.
fn encode_day(day: i32) -> String {
    let day = usize::try_from(day).unwrap_or_default();
    let digit = |value: usize| BASE62.get(value % BASE62.len()).map_or('0', |byte| char::from(*byte));
    [digit(day / (62 * 62)), digit(day / 62), digit(day)].iter().collect()
}

/// The day that three base62 characters spell.
fn read(day: &str) -> Option<i32> {
    day.bytes().try_fold(0i32, |sum, byte| {
        let digit = BASE62.iter().position(|known| *known == byte)?;
        Some(sum * 62 + i32::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::Rng;
    use proptest::prelude::*;
    use time::macros::datetime;

    struct Counting;
    impl Rng for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            (0u8..).zip(buffer).for_each(|(number, byte)| *byte = number);
        }
    }

    const MOMENT: Timestamp = datetime!(2026-11-21 10:00 UTC);

    #[test]
    fn has_the_promised_form() {
        for (kind, length) in [(Kind::Code, 46), (Kind::Access, 50), (Kind::Refresh, 50)] {
            let token = Token::new(kind, MOMENT, &Counting);
            assert_eq!((token.reveal().len(), token.day()), (length, epoch_day(MOMENT)));
            assert!(token.reveal().starts_with(kind.prefix()));
            assert_eq!(Token::parse(kind, token.reveal()), Some(token));
        }
    }

    #[test]
    fn is_not_shown_by_debug() {
        let token = Token::new(Kind::Access, MOMENT, &Counting);
        assert_eq!(format!("{token:?}"), "Access token of day 20778");
    }

    #[test]
    fn refuses_every_other_form() {
        let token = Token::new(Kind::Access, MOMENT, &Counting);
        let text = token.reveal();
        for length in 0..text.len() {
            assert_eq!(Token::parse(Kind::Access, &text[..length]), None, "{length}");
        }
        for other in [&format!("{text}0"), &text.replace("oat_", "ort_"), &text[4..], &format!(" {text}"), "oat_é"] {
            assert_eq!(Token::parse(Kind::Access, other), None, "{other}");
        }
        assert_eq!(Token::parse(Kind::Refresh, text), None);
        assert_eq!(Token::parse(Kind::Access, &text.replacen('5', "=", 1)), None);
    }

    proptest! {
        #[test]
        fn days_survive(day in 0i32..62 * 62 * 62) {
            prop_assert_eq!(read(&encode_day(day)), Some(day));
        }

        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = Token::parse(Kind::Code, &text);
        }
    }
}
