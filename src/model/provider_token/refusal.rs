//! Why there is no fresh token, and what that leaves behind.

use std::borrow::Cow;

use super::TokenState;
use crate::model::problem::{Problem, code};
use crate::model::reason::Reason;

/// After how many seconds it is worth asking again where that may help.
const RETRY_AFTER: u32 = 5;

/// A reason and its detail, as stored and shown: `refresh_refused:lost`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The row of the list of reasons.
    pub reason: Reason,
    /// Which of the row's conditions; empty where there is only one.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    /// A refusal.
    pub const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail: Cow::Borrowed(detail) }
    }

    /// From what is stored; `None` for what is no reason.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, detail) = text.split_once(':').unwrap_or((text, ""));
        Some(Self { reason: Reason::parse(name)?, detail: Cow::Owned(detail.to_owned()) })
    }

    /// The person has to connect the account again.
    pub fn needs_person(&self) -> bool {
        matches!(self.reason, Reason::TokenMissing | Reason::RefreshRefused)
    }

    /// The same call may go well in a moment.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.reason,
            Reason::ProviderTimeout
                | Reason::ProviderUnreachable
                | Reason::Provider5xx
                | Reason::ProviderRateLimited
                | Reason::ProviderUnreadable
        )
    }

    /// As the backend sees it.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(match (self.reason, self.detail.as_ref()) {
            (Reason::TokenMissing, "refresh") => code::OAUTH_MISSING_REFRESH_TOKEN,
            (Reason::TokenMissing, _) => code::OAUTH_MISSING_ACCESS_TOKEN,
            _ => code::OAUTH_TOKEN_RETRIEVAL_ERROR,
        });
        if self.is_retryable() { problem.meta("retryable", true).retry_after(RETRY_AFTER) } else { problem }
    }
}

impl sqlx::Type<sqlx::Postgres> for Refusal {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <str as sqlx::Type<sqlx::Postgres>>::type_info()
    }

    fn compatible(found: &sqlx::postgres::PgTypeInfo) -> bool {
        <str as sqlx::Type<sqlx::Postgres>>::compatible(found)
    }
}

impl<'r> sqlx::Decode<'r, sqlx::Postgres> for Refusal {
    fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        let text = <&str as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?;
        Self::parse(text).ok_or_else(|| format!("{text:?} is no reason").into())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason.name())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ":{}", self.detail) }
    }
}

/// What a failed refresh leaves in the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why, in the row and to the caller.
    pub refusal: Refusal,
    /// The state from now on.
    pub state: TokenState,
    /// The refresh token is dead.
    pub drops_refresh_token: bool,
    /// The provider may have used the refresh token up without our knowing: the lease is left, not given back.
    pub is_unanswered: bool,
}

/// Judges a failed refresh; `was_unanswered` if an earlier one under the same tokens was never answered.
pub fn judge(failed: Refusal, was_unanswered: bool) -> Verdict {
    let is_dead = failed.reason == Reason::RefreshRefused && failed.detail == "invalid_grant";
    if is_dead {
        let refusal = if was_unanswered { Refusal::new(Reason::RefreshRefused, "lost") } else { failed };
        return Verdict { refusal, state: TokenState::NeedsReconnect, drops_refresh_token: true, is_unanswered: false };
    }
    let is_unanswered = was_unanswered || may_have_worked(&failed);
    Verdict { refusal: failed, state: TokenState::Refused, drops_refresh_token: false, is_unanswered }
}

/// True if the provider may have answered with tokens that we do not have: the request was sent, and what came back
/// was late, cut, unreadable or a fault of somebody in between.
fn may_have_worked(failed: &Refusal) -> bool {
    match failed.reason {
        Reason::ProviderTimeout | Reason::Provider5xx | Reason::ProviderUnreadable | Reason::ProviderWrongType => true,
        Reason::ProviderUnreachable => failed.detail == "cut",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_refresh_token_is_dropped_and_a_lost_one_named() {
        let dead = || Refusal::new(Reason::RefreshRefused, "invalid_grant");
        let verdict = judge(dead(), false);
        assert_eq!((verdict.refusal, verdict.state), (dead(), TokenState::NeedsReconnect));
        assert!(verdict.drops_refresh_token && !verdict.is_unanswered);
        assert_eq!(judge(dead(), true).refusal, Refusal::new(Reason::RefreshRefused, "lost"));
    }

    #[test]
    fn what_may_have_worked_is_remembered_until_an_answer_comes() {
        for (reason, detail, is_unanswered) in [
            (Reason::ProviderTimeout, "", true),
            (Reason::ProviderUnreachable, "cut", true),
            (Reason::ProviderUnreachable, "refused", false),
            (Reason::Provider5xx, "", true),
            (Reason::ProviderUnreadable, "json", true),
            (Reason::ProviderRateLimited, "", false),
            (Reason::RefreshRefused, "other", false),
            (Reason::TokenInvalidClient, "", false),
        ] {
            let verdict = judge(Refusal::new(reason, detail), false);
            assert_eq!(
                (verdict.state, verdict.is_unanswered),
                (TokenState::Refused, is_unanswered),
                "{reason} {detail}"
            );
            assert!(judge(Refusal::new(reason, detail), true).is_unanswered && !verdict.drops_refresh_token);
        }
    }

    #[test]
    fn refusals_are_reported_with_the_published_codes() {
        for (text, code, is_retryable) in [
            ("token_missing:refresh", "oauth_missing_refresh_token", false),
            ("token_missing:access", "oauth_missing_access_token", false),
            ("refresh_refused:lost", "oauth_token_retrieval_error", false),
            ("refresh_refused:other", "oauth_token_retrieval_error", false),
            ("provider_timeout", "oauth_token_retrieval_error", true),
            ("provider_unreadable:json", "oauth_token_retrieval_error", true),
            ("token_invalid_client", "oauth_token_retrieval_error", false),
            ("provider_wrong_type:access_token", "oauth_token_retrieval_error", false),
        ] {
            let refusal = Refusal::parse(text).unwrap();
            assert_eq!(refusal.to_string(), text);
            let problem = refusal.problem();
            assert_eq!(problem.code().name, code, "{text}");
            assert_eq!(problem.retry_after, is_retryable.then_some(5), "{text}");
            assert_eq!(problem.errors[0].meta.get("retryable").is_some(), is_retryable, "{text}");
        }
        assert_eq!(Refusal::parse("tomorrow:x"), None);
    }
}
