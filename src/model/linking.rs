//! What a proven identity means for an instance: the decision table of social sign-in and sign-up (behaviour.md
//! section 2.5) as one pure function.
//!
//! Rows 7 to 11, where the provider's address belongs to somebody already, are refused here until linking is built: an
//! account is never joined, and never created twice, on the strength of an address alone.

use super::id::{ExternalAccountId, SessionId, UserId};
use super::profile::EmailTrust;
use super::user::IdentificationStatus;

/// How the person began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// As a sign-in.
    SignIn,
    /// As a sign-up.
    SignUp,
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Good,
    /// Banned by an operator.
    Banned,
    /// Locked.
    Locked,
}

/// The user behind an identity that is known already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    /// The external account.
    pub account: ExternalAccountId,
    /// Its user.
    pub user: UserId,
    /// Whether that user may sign in.
    pub standing: Standing,
    /// That user's active session on this client.
    pub session: Option<SessionId>,
}

/// The user who has the provider's address among his own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressOwner {
    /// The user.
    pub user: UserId,
    /// How far the address is his.
    pub status: IdentificationStatus,
    /// Whether that user may sign in.
    pub standing: Standing,
}

/// What we know about an identity, before deciding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The external account with this (provider, id).
    pub account: Option<KnownAccount>,
    /// Who has the address.
    pub owner: Option<AddressOwner>,
}

/// What an identity means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Row 1: the account's user signs in.
    SignIn {
        /// The user.
        user: UserId,
        /// The account to bring up to date.
        account: ExternalAccountId,
    },
    /// Rows 4 to 6 as sign-up: a new user; the address counts as the trust says.
    Create,
    /// The other attempt can take over: `external_account_not_found` or `external_account_exists`.
    Transfer,
    /// Row 2: that user has an active session here.
    AlreadySignedIn(SessionId),
    /// Rows 3 and 12: the account's or the address's user may not sign in.
    Closed(Standing, UserId),
    /// Rows 7 to 11: the address belongs to this user, who has not connected this provider.
    AddressTaken(UserId),
}

/// Decides. `trust` is `None` when the provider gave no address.
pub fn decide(started: Started, trust: Option<EmailTrust>, known: &Known) -> Decision {
    if let Some(account) = &known.account {
        if account.standing != Standing::Good {
            return Decision::Closed(account.standing, account.user.clone());
        }
        if let Some(session) = &account.session {
            return Decision::AlreadySignedIn(session.clone());
        }
        return match started {
            Started::SignIn => Decision::SignIn { user: account.user.clone(), account: account.account.clone() },
            Started::SignUp => Decision::Transfer,
        };
    }
    if let (Some(_), Some(owner)) = (trust, &known.owner) {
        if owner.standing != Standing::Good {
            return Decision::Closed(owner.standing, owner.user.clone());
        }
        // An unproven claim of somebody else neither blocks nor joins: the new user is made beside it (security.md
        // section 3), and whoever proves the address first has it.
        if owner.status != IdentificationStatus::Unverified {
            return Decision::AddressTaken(owner.user.clone());
        }
    }
    match started {
        Started::SignIn => Decision::Transfer,
        Started::SignUp => Decision::Create,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::Rng;
    use time::macros::datetime;

    struct Zero;
    impl Rng for Zero {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    fn user() -> UserId {
        UserId::new(datetime!(2026-11-21 12:00 UTC), &Zero)
    }

    fn account(standing: Standing, session: Option<SessionId>) -> Known {
        let account = ExternalAccountId::new(datetime!(2026-11-21 12:00 UTC), &Zero);
        Known { account: Some(KnownAccount { account, user: user(), standing, session }), owner: None }
    }

    fn owner(status: IdentificationStatus, standing: Standing) -> Known {
        Known { account: None, owner: Some(AddressOwner { user: user(), status, standing }) }
    }

    #[test]
    fn row_1_a_known_identity_signs_in_and_a_sign_up_of_it_transfers() {
        let known = account(Standing::Good, None);
        assert!(matches!(decide(Started::SignIn, None, &known), Decision::SignIn { .. }));
        assert_eq!(decide(Started::SignUp, Some(EmailTrust::Verified), &known), Decision::Transfer);
    }

    #[test]
    fn row_2_an_open_session_on_this_client_is_named() {
        let session = SessionId::new(datetime!(2026-11-21 12:00 UTC), &Zero);
        let known = account(Standing::Good, Some(session.clone()));
        for started in [Started::SignIn, Started::SignUp] {
            assert_eq!(decide(started, None, &known), Decision::AlreadySignedIn(session.clone()));
        }
    }

    #[test]
    fn rows_3_and_12_closed_accounts_come_before_everything() {
        let session = SessionId::new(datetime!(2026-11-21 12:00 UTC), &Zero);
        for standing in [Standing::Banned, Standing::Locked] {
            for started in [Started::SignIn, Started::SignUp] {
                let known = account(standing, Some(session.clone()));
                assert_eq!(decide(started, None, &known), Decision::Closed(standing, user()));
                let known = owner(IdentificationStatus::Verified, standing);
                assert_eq!(decide(started, Some(EmailTrust::Verified), &known), Decision::Closed(standing, user()));
            }
        }
    }

    #[test]
    fn rows_4_to_6_a_stranger_is_transferred_or_created() {
        for trust in [None, Some(EmailTrust::Verified), Some(EmailTrust::Unverified), Some(EmailTrust::ProviderPolicy)]
        {
            assert_eq!(decide(Started::SignIn, trust, &Known::default()), Decision::Transfer);
            assert_eq!(decide(Started::SignUp, trust, &Known::default()), Decision::Create);
        }
    }

    #[test]
    fn rows_7_to_9_an_address_alone_joins_nobody() {
        for status in [IdentificationStatus::Verified, IdentificationStatus::Reserved] {
            for trust in [EmailTrust::Verified, EmailTrust::Unverified, EmailTrust::ProviderPolicy] {
                for started in [Started::SignIn, Started::SignUp] {
                    let known = owner(status, Standing::Good);
                    assert_eq!(decide(started, Some(trust), &known), Decision::AddressTaken(user()));
                }
            }
        }
    }

    #[test]
    fn an_unproven_claim_of_somebody_else_does_not_block_the_owner() {
        let known = owner(IdentificationStatus::Unverified, Standing::Good);
        assert_eq!(decide(Started::SignUp, Some(EmailTrust::Verified), &known), Decision::Create);
    }
}
