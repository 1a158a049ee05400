//! How a simulated provider refreshes: as the real one does, or as a test tells it to (`refresh` of the state call).

use super::shapes::Consent;
use crate::upstream::descriptor::{Descriptor, Rotates};

/// Seconds of grace where none are named.
const GRACE: u32 = 60;
/// Longest grace in seconds.
const LONGEST_GRACE: u32 = 86_400;
/// Life of a token that is prolonged by exchanging it, in seconds: 60 days.
pub(super) const LONG: u32 = 5_184_000;
/// Life of a token where the provider documents none, and the behavior wants one.
const HOUR: u32 = 3600;

/// A behavior that a test chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    /// No refresh tokens.
    None,
    /// The refresh token stays.
    Fixed,
    /// A refresh replaces the refresh token; the old one works for so many seconds more.
    Rotating {
        /// 0: not at all.
        grace: u32,
    },
    /// The same without grace, and the second use of a token ends everything of its approval.
    ReuseDetection,
    /// No refresh tokens: an access token is exchanged for one that lives longer.
    LongLivedExchange,
    /// Access tokens of which nobody knows how long they live.
    ExpiryUnknown,
    /// A refresh token at the first consent alone, which stays.
    FirstConsentOnly,
    /// The person withdrew what they had approved: every refresh is refused.
    Revoked,
}

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It stays.
    Retained,
    Replaced {
        /// Seconds for which it works on.
        grace: u32,
        /// Its second use after that ends everything of its approval.
        ends_family: bool,
    },
}

impl Behavior {
    /// `none`, `fixed`, `rotating`, `rotating_grace[:<seconds>]`, …
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "fixed" => Self::Fixed,
            "rotating" => Self::Rotating { grace: 0 },
            "rotating_grace" => Self::Rotating { grace: GRACE },
            "reuse_detection" => Self::ReuseDetection,
            "long_lived_exchange" => Self::LongLivedExchange,
            "expiry_unknown" => Self::ExpiryUnknown,
            "first_consent_only" => Self::FirstConsentOnly,
            "revoked" => Self::Revoked,
            _ => {
                let grace = text.strip_prefix("rotating_grace:")?.parse().ok()?;
                (grace <= LONGEST_GRACE).then_some(Self::Rotating { grace })?
            }
        })
    }

    /// Whether an approval brings a refresh token.
    pub(super) fn gives_refresh_token(self, consent: Consent) -> bool {
        match self {
            Self::None | Self::LongLivedExchange => false,
            Self::FirstConsentOnly => consent == Consent::Given,
            _ => true,
        }
    }
}

/// What becomes of a used refresh token.
pub(super) fn used(behavior: Option<Behavior>, descriptor: &Descriptor) -> Use {
    match behavior {
        Some(Behavior::Rotating { grace }) => Use::Replaced { grace, ends_family: false },
        Some(Behavior::ReuseDetection) => Use::Replaced { grace: 0, ends_family: true },
        Some(_) => Use::Retained,
        None => match descriptor.refresh.rotates {
            Rotates::Always => Use::Replaced { grace: 0, ends_family: false },
            Rotates::Sometimes | Rotates::Never => Use::Retained,
        },
    }
}

/// Seconds that an access token lives; `None` if nobody knows.
pub(super) fn access_ttl(behavior: Option<Behavior>, descriptor: &Descriptor) -> Option<u32> {
    let documented = descriptor.refresh.access_ttl;
    match behavior {
        None => documented,
        Some(Behavior::ExpiryUnknown) => None,
        Some(_) => documented.or(Some(HOUR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviors_have_names() {
        assert_eq!(Behavior::parse("rotating"), Some(Behavior::Rotating { grace: 0 }));
        assert_eq!(Behavior::parse("rotating_grace"), Some(Behavior::Rotating { grace: GRACE }));
        assert_eq!(Behavior::parse("rotating_grace:5"), Some(Behavior::Rotating { grace: 5 }));
        for nothing in ["", "nope", "rotating_grace:", "rotating_grace:-1", "rotating_grace:86401", "fixed:1"] {
            assert_eq!(Behavior::parse(nothing), None, "{nothing}");
        }
    }
}
