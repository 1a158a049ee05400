//! A refresh family: the chain of refresh tokens that began with one code. At every moment exactly one generation is
//! live; what a consumed one still does is decided here.

use super::error::{ErrorCode, OAuthError, invalid_grant};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

/// What is known of a refresh token that did not rotate, read under the family's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyFacts {
    /// The family belongs to the client that asks.
    pub is_own: bool,
    /// The family was revoked.
    pub is_revoked: bool,
    /// The end of the family, if it has one.
    pub family_expires_at: Option<Timestamp>,
    /// The end of the presented token.
    pub token_expires_at: Timestamp,
    /// Which generation the presented token is.
    pub generation: i32,
    /// Which generation is live.
    pub live_generation: i32,
    /// When the live generation was made: the first use of the one before.
    pub live_since: Timestamp,
    /// The user exists and may sign in.
    pub user_is_active: bool,
    /// The requested scope is within the granted one.
    pub scope_is_granted: bool,
    /// The requested resources are within the granted ones.
    pub resources_are_granted: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A repetition of the rotation whose answer was lost: the same successor again, and a fresh access token.
    SameSuccessor,
    /// Somebody holds a token that was used before: the family ends.
    Reuse,
    /// The request is refused and nothing else happens.
    Refused(OAuthError),
}

/// The error for every refresh token that is not live.
pub const NOT_LIVE: OAuthError =
    invalid_grant("the refresh token is unknown, expired, used or revoked").because(Reason::GrantEnded, "refresh");
/// The same to its holder, for a token that was used before.
pub const REUSED: OAuthError = NOT_LIVE.because(Reason::GrantReused, "refresh");

/// Decides about a refresh token that did not rotate. `grace_seconds` counts from the first use and is not extended.
pub fn verdict(facts: Option<FamilyFacts>, grace_seconds: u32, now: Timestamp) -> Verdict {
    let Some(facts) = facts else { return Verdict::Refused(NOT_LIVE) };
    if !facts.is_own {
        return Verdict::Refused(NOT_LIVE.because(Reason::GrantMismatch, "client"));
    }
    let family_has_ended = facts.is_revoked || facts.family_expires_at.is_some_and(|end| end <= now);
    if family_has_ended || facts.token_expires_at <= now {
        return Verdict::Refused(NOT_LIVE);
    }
    if !facts.user_is_active {
        return Verdict::Refused(NOT_LIVE.because(Reason::GrantEnded, "user"));
    }
    let is_live = facts.generation == facts.live_generation;
    let is_predecessor = facts.generation == facts.live_generation - 1;
    let in_grace = now < facts.live_since + time::Duration::seconds(i64::from(grace_seconds));
    let is_repetition = is_predecessor && in_grace;
    if !is_live && !is_repetition {
        return Verdict::Reuse;
    }
    if !facts.scope_is_granted {
        return Verdict::Refused(OAuthError::new(ErrorCode::InvalidScope, "the scope is more than was granted"));
    }
    if !facts.resources_are_granted {
        return Verdict::Refused(OAuthError::new(ErrorCode::InvalidTarget, "the resource was not granted"));
    }
    if is_live { Verdict::Refused(NOT_LIVE) } else { Verdict::SameSuccessor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reason::Why;
    use proptest::prelude::*;
    use time::Duration;
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-11-21 10:00 UTC);

    /// Generation 3 is live for ten seconds; generation 2 is presented.
    fn facts() -> FamilyFacts {
        FamilyFacts {
            is_own: true,
            is_revoked: false,
            family_expires_at: Some(NOW + Duration::days(80)),
            token_expires_at: NOW + Duration::days(2),
            generation: 2,
            live_generation: 3,
            live_since: NOW - Duration::seconds(10),
            user_is_active: true,
            scope_is_granted: true,
            resources_are_granted: true,
        }
    }

    fn decide(facts: FamilyFacts) -> Verdict {
        verdict(Some(facts), 30, NOW)
    }

    #[test]
    fn the_predecessor_is_forgiven_for_half_a_minute() {
        let after = |seconds| decide(FamilyFacts { live_since: NOW - Duration::seconds(seconds), ..facts() });
        assert_eq!(after(0), Verdict::SameSuccessor);
        assert_eq!(after(29), Verdict::SameSuccessor);
        assert_eq!(after(30), Verdict::Reuse);
        assert_eq!(verdict(Some(facts()), 0, NOW), Verdict::Reuse);
    }

    #[test]
    fn older_generations_are_theft() {
        assert_eq!(decide(FamilyFacts { generation: 1, ..facts() }), Verdict::Reuse);
    }

    #[test]
    fn dead_families_and_strangers_cause_nothing() {
        let ended = NOT_LIVE.why();
        assert_eq!(verdict(None, 30, NOW), Verdict::Refused(NOT_LIVE));
        for (dead, why) in [
            (FamilyFacts { is_own: false, ..facts() }, Some(Why::new(Reason::GrantMismatch, "client"))),
            (FamilyFacts { is_revoked: true, ..facts() }, ended),
            (FamilyFacts { family_expires_at: Some(NOW), ..facts() }, ended),
            (FamilyFacts { token_expires_at: NOW, ..facts() }, ended),
            (FamilyFacts { user_is_active: false, ..facts() }, Some(Why::new(Reason::GrantEnded, "user"))),
        ] {
            for dead in [dead, FamilyFacts { generation: 1, ..dead }] {
                let Verdict::Refused(error) = decide(dead) else { panic!("{dead:?}") };
                assert_eq!((error.code, error.description()), (NOT_LIVE.code, NOT_LIVE.description()), "{dead:?}");
                assert_eq!(error.why(), why, "{dead:?}");
            }
        }
    }

    #[test]
    fn a_live_token_is_refused_for_what_it_asked() {
        let code = |facts| match decide(facts) {
            Verdict::Refused(error) => error.code,
            other => panic!("{other:?}"),
        };
        let live = FamilyFacts { generation: 3, ..facts() };
        assert_eq!(code(FamilyFacts { scope_is_granted: false, ..live }), ErrorCode::InvalidScope);
        assert_eq!(code(FamilyFacts { resources_are_granted: false, ..live }), ErrorCode::InvalidTarget);
        assert_eq!(code(FamilyFacts { scope_is_granted: false, ..facts() }), ErrorCode::InvalidScope);
    }

    /// The reference model: a family as a list of uses.
    struct Reference {
        live: i32,
        live_since: i64,
        is_revoked: bool,
    }

    proptest! {
        #[test]
        fn two_branches_never_live(steps in prop::collection::vec((0i32..4, 0i64..40), 1..30)) {
            let mut family = Reference { live: 1, live_since: 0, is_revoked: false };
            let mut second = 0;
            for (back, wait) in steps {
                second += wait;
                let generation = (family.live - back).max(1);
                if generation == family.live && !family.is_revoked {
                    family = Reference { live: family.live + 1, live_since: second, is_revoked: false };
                    continue;
                }
                let verdict = decide(FamilyFacts {
                    is_revoked: family.is_revoked,
                    generation,
                    live_generation: family.live,
                    live_since: NOW - Duration::seconds(second - family.live_since),
                    ..facts()
                });
                // A consumed token either gives what its successor's holder has already, or ends everything.
                match verdict {
                    Verdict::SameSuccessor => prop_assert_eq!(generation + 1, family.live),
                    Verdict::Reuse => family.is_revoked = true,
                    Verdict::Refused(_) => prop_assert!(family.is_revoked),
                }
            }
        }
    }
}
