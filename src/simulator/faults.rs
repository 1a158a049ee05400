//! Faults that a simulated provider has when it is configured to: `<mode>[:<value>][@<call>]`, chosen on the page, in
//! the query of the authorization request (`fail=`), or for everybody by the state call. A chosen one stays with all
//! that comes of that approval; what the calls make of it is in `wire` and `content`.

use std::time::Duration;

/// Longest wait that can be asked for.
const LONGEST: u64 = 600_000;
/// What the page offers, in its order.
pub(super) const OFFERED: &[&str] = &[
    "deny",
    "error:server_error",
    "error:temporarily_unavailable",
    "error:invalid_scope",
    "error:invalid_client@token",
    "error:redirect_uri_mismatch@token",
    "error:invalid_request@token",
    "error:invalid_request@userinfo",
    "wrong_iss",
    "slow:15000",
    "drip",
    "cut",
    "http_500",
    "rate_limited",
    "redirect",
    "not_json",
    "truncated_body",
    "no_content_type",
    "wrong_types",
    "huge",
    "gzip_bomb",
    "http_500@refresh",
    "cut@refresh",
    "reuse_detected",
    "revoked_refresh",
    "missing_email",
    "unverified_email",
    "no_name",
    "changed_email",
    "no_id",
    "token_for_other_user",
    "wrong_nonce",
    "wrong_audience",
    "bad_signature",
    "kid_rotation",
    "issuer_mismatch",
    "clock:300",
];

/// A call of a provider, as faults name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The way back from the authorization page.
    Authorize,
    /// A code for tokens.
    Token,
    /// A refresh token for tokens.
    Refresh,
    /// A call of the API, the one that tells who somebody is above all.
    Userinfo,
    /// The keys.
    Keys,
    /// The discovery document.
    Discovery,
}

impl Call {
    const ALL: [Self; 6] = [Self::Authorize, Self::Token, Self::Refresh, Self::Userinfo, Self::Keys, Self::Discovery];

    /// As faults and counters spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Refresh => "refresh",
            Self::Userinfo => "userinfo",
            Self::Keys => "keys",
            Self::Discovery => "discovery",
        }
    }

    /// The call of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.name() == name)
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The person refuses.
    Deny,
    /// The callback names another issuer.
    WrongIss,
    /// An OAuth error, in the provider's shape.
    Error(String),
    /// The answer, spoiled on its way.
    TransportFault(TransportFault),
    /// An answer that says something else.
    Content(Content),
}

/// What goes wrong with an answer as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransportFault {
    /// It comes late.
    Slow(Duration),
    /// It comes a byte a second.
    Drip,
    /// The connection ends in the middle of it.
    Cut,
    /// This status instead.
    Status(u16),
    /// 429 with `Retry-After` instead.
    RateLimited,
    /// 302 instead.
    Redirect,
    /// A page instead.
    NotJson,
    /// Half of it, as if it were all.
    TruncatedBody,
    /// It does not say what it is.
    NoContentType,
    /// Every member is of another type.
    WrongTypes,
    /// 1 GiB instead.
    Huge,
    /// Some megabytes that unpack to 1 GiB instead.
    GzipBomb,
}

/// What goes wrong with what an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A refresh is taken for theft: everything of the approval ends.
    ReuseDetected,
    /// The refresh token was revoked.
    RevokedRefresh,
    /// The person shows no address.
    MissingEmail,
    /// The address is not verified.
    UnverifiedEmail,
    /// The person shows no name.
    NoName,
    /// The person has another address than before.
    ChangedEmail,
    /// The person's id is missing.
    NoId,
    /// The API speaks of somebody else.
    TokenForOtherUser,
    /// The id_token repeats another nonce.
    WrongNonce,
    /// The id_token is for another client.
    WrongAudience,
    /// The id_token's signature is not the key's.
    BadSignature,
    /// The provider has a new key from now on. No failure.
    KidRotation,
    /// The id_token, or the discovery document, is of another issuer.
    IssuerMismatch,
    /// The id_token's times are off by so many seconds.
    Clock(i64),
}

/// A fault and where it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What.
    pub mode: Mode,
    /// Where; of what is said about a person, the first place of several.
    pub call: Call,
}

impl Fault {
    /// Reads `<mode>[:<value>][@<call>]`; `None` for what is no fault, or cannot happen at that call.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mode, call) = match text.split_once('@') {
            Some((mode, call)) => (mode, Some(Call::parse(call)?)),
            None => (text, None),
        };
        let mode = match mode.split_once(':') {
            Some((name, value)) => Mode::with_value(name, value)?,
            None => Mode::named(mode)?,
        };
        let places = mode.places();
        let call = call.or(places.first().copied())?;
        places.contains(&call).then_some(Self { mode, call })
    }

    /// True if it shows in the answer of this call.
    pub(super) fn touches(&self, call: Call) -> bool {
        match self.mode {
            Mode::Content(content) if content.is_about_the_person() => {
                matches!(call, Call::Token | Call::Refresh | Call::Userinfo)
            }
            _ => self.call == call,
        }
    }

    /// What answers of this call say wrongly.
    pub(super) fn content(&self) -> Option<Content> {
        match self.mode {
            Mode::Content(content) => Some(content),
            _ => None,
        }
    }
}

impl Mode {
    fn named(name: &str) -> Option<Self> {
        use Content::{
            BadSignature, ChangedEmail, IssuerMismatch, KidRotation, MissingEmail, NoId, NoName, ReuseDetected,
            RevokedRefresh, TokenForOtherUser, UnverifiedEmail, WrongAudience, WrongNonce,
        };
        use TransportFault::{
            Cut, Drip, GzipBomb, Huge, NoContentType, NotJson, RateLimited, Redirect, TruncatedBody, WrongTypes,
        };
        Some(match name {
            "deny" => Self::Deny,
            "wrong_iss" => Self::WrongIss,
            "drip" => Self::TransportFault(Drip),
            "cut" => Self::TransportFault(Cut),
            "rate_limited" => Self::TransportFault(RateLimited),
            "redirect" => Self::TransportFault(Redirect),
            "not_json" => Self::TransportFault(NotJson),
            "truncated_body" => Self::TransportFault(TruncatedBody),
            "no_content_type" => Self::TransportFault(NoContentType),
            "wrong_types" => Self::TransportFault(WrongTypes),
            "huge" => Self::TransportFault(Huge),
            "gzip_bomb" => Self::TransportFault(GzipBomb),
            "reuse_detected" => Self::Content(ReuseDetected),
            "revoked_refresh" => Self::Content(RevokedRefresh),
            "missing_email" => Self::Content(MissingEmail),
            "unverified_email" => Self::Content(UnverifiedEmail),
            "no_name" => Self::Content(NoName),
            "changed_email" => Self::Content(ChangedEmail),
            "no_id" => Self::Content(NoId),
            "token_for_other_user" => Self::Content(TokenForOtherUser),
            "wrong_nonce" => Self::Content(WrongNonce),
            "wrong_audience" => Self::Content(WrongAudience),
            "bad_signature" => Self::Content(BadSignature),
            "kid_rotation" => Self::Content(KidRotation),
            "issuer_mismatch" => Self::Content(IssuerMismatch),
            _ => {
                let status = name.strip_prefix("http_")?.parse().ok()?;
                (400..=599).contains(&status).then_some(Self::TransportFault(TransportFault::Status(status)))?
            }
        })
    }

    fn with_value(name: &str, value: &str) -> Option<Self> {
        Some(match name {
            "error" => {
                let is_code = (1..=64).contains(&value.len())
                    && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                is_code.then(|| Self::Error(value.to_owned()))?
            }
            "slow" => {
                let milliseconds = value.parse().ok().filter(|milliseconds| *milliseconds <= LONGEST)?;
                Self::TransportFault(TransportFault::Slow(Duration::from_millis(milliseconds)))
            }
            // More than a year either way would tell no more.
            "clock" => {
                let seconds = value.parse().ok().filter(|seconds: &i64| seconds.abs() <= 31_536_000)?;
                Self::Content(Content::Clock(seconds))
            }
            _ => return None,
        })
    }

    /// The calls at which it can happen, first the one where it does unless another is named.
    fn places(&self) -> &'static [Call] {
        use Call::{Authorize, Discovery, Keys, Refresh, Token, Userinfo};
        match self {
            Self::Deny | Self::WrongIss => &[Authorize],
            Self::Error(_) => &Call::ALL,
            Self::TransportFault(_) => &[Token, Refresh, Userinfo, Keys, Discovery],
            Self::Content(content) => match content {
                Content::ReuseDetected | Content::RevokedRefresh => &[Refresh],
                Content::TokenForOtherUser => &[Userinfo],
                Content::IssuerMismatch => &[Token, Refresh, Discovery],
                Content::WrongNonce
                | Content::WrongAudience
                | Content::BadSignature
                | Content::KidRotation
                | Content::Clock(_) => &[Token, Refresh],
                _ => &[Token],
            },
        }
    }
}

impl Content {
    fn is_about_the_person(self) -> bool {
        matches!(self, Self::MissingEmail | Self::UnverifiedEmail | Self::NoName | Self::ChangedEmail | Self::NoId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Option<Call> {
        Fault::parse(text).map(|fault| fault.call)
    }

    #[test]
    fn a_fault_happens_where_it_says_or_where_it_must() {
        for (text, expected) in [
            ("deny", Call::Authorize),
            ("error:server_error", Call::Authorize),
            ("error:invalid_client@token", Call::Token),
            ("slow:60000", Call::Token),
            ("drip@userinfo", Call::Userinfo),
            ("http_503@keys", Call::Keys),
            ("issuer_mismatch", Call::Token),
            ("issuer_mismatch@discovery", Call::Discovery),
            ("revoked_refresh", Call::Refresh),
            ("token_for_other_user", Call::Userinfo),
            ("clock:-300", Call::Token),
        ] {
            assert_eq!(call(text), Some(expected), "{text}");
        }
        let missing = Fault::parse("missing_email").unwrap();
        assert!([Call::Token, Call::Refresh, Call::Userinfo].into_iter().all(|call| missing.touches(call)));
        assert!(!missing.touches(Call::Keys) && !Fault::parse("cut").unwrap().touches(Call::Userinfo));
    }

    #[test]
    fn what_is_no_fault_is_none() {
        for text in [
            "",
            "nope",
            "slow",
            "slow:",
            "slow:-1",
            "slow:600001",
            "error",
            "error:",
            "error:a b",
            "clock:x",
            "http_200",
            "http_x",
            "deny@token",
            "drip@authorize",
            "drip@nowhere",
            "missing_email@keys",
            "cut:1",
        ] {
            assert_eq!(Fault::parse(text), None, "{text}");
        }
        assert!(OFFERED.iter().all(|text| Fault::parse(text).is_some()));
    }
}
