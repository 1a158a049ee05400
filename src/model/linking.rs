//! What a verified identity means for an instance: the decision table of social sign-in and sign-up as one pure
//! function.
//!
//! An address is a contact, never an identity: alone it joins nobody. It leads to an existing user only where both
//! sides have verified it, or once the person verifies it now.

use super::defences::Defences;
use super::id::{ExternalAccountId, IdentificationId, SessionId, UserId};
use super::profile::EmailTrust;
use super::settings::{EnumerationProtection, Linking};
use super::user::IdentificationStatus;

/// How the person began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// As a sign-in.
    SignIn,
    /// As a sign-up.
    SignUp,
}

impl AttemptKind {
    /// The kind that what belongs in the other attempt is transferred to, and comes from.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::SignIn => Self::SignUp,
            Self::SignUp => Self::SignIn,
        }
    }
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// Yes.
    Active,
    /// Banned by an operator.
    Banned,
    /// Locked.
    Locked,
}

impl UserStatus {
    /// A ban weighs more than a lock.
    pub fn of(is_banned: bool, is_locked: bool) -> Self {
        match (is_banned, is_locked) {
            (true, _) => Self::Banned,
            (false, true) => Self::Locked,
            (false, false) => Self::Active,
        }
    }
}

/// The user behind an identity that is known already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    /// The external account.
    pub account: ExternalAccountId,
    /// Its user.
    pub user: UserId,
    /// Whether that user may sign in.
    pub user_status: UserStatus,
    /// That user's active session on this client.
    pub session: Option<SessionId>,
}

/// The user who has the provider's address among their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressOwner {
    /// The user.
    pub user: UserId,
    /// The address among the user's.
    pub identification: IdentificationId,
    /// How far the address is theirs.
    pub status: IdentificationStatus,
    /// They have another address that is verified or reserved for them: then they are somebody else than the owner of this
    /// unverified one.
    pub is_somebody_else: bool,
    /// Whether that user may sign in.
    pub user_status: UserStatus,
    /// That user's active session on this client.
    pub session: Option<SessionId>,
}

/// What we know about an identity, before deciding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The external account with this (provider, id).
    pub account: Option<KnownAccount>,
    /// Who has the address: whoever has verified it or has it reserved, else the first who claims it.
    pub owner: Option<AddressOwner>,
}

/// What the instance allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether an address may lead to an existing user at all.
    pub linking: Linking,
    /// In strict mode an unverified claim learns nothing about who has the address.
    pub enumeration: EnumerationProtection,
    /// The instance can have an address verified by code or link.
    pub can_verify: bool,
    /// All of them, outside of tests of the rules.
    pub defences: Defences,
}

/// What an identity means.
///
/// The table that [`decide`] follows. *Account* is an external account with this provider and id; *vouched* says that
/// the provider has verified the address and is believed in that; *owner* is the user who has the address among their
/// own, *verified*, *reserved* (made for them by the backend API) or merely *claimed*. Checked from above: the first row
/// that fits is the answer.
///
/// | row | account | address, and its owner | begun as a sign-in | begun as a sign-up |
/// |---|---|---|---|---|
/// | 3 | of a user who is banned or locked | any | [`Closed`](Self::Closed) | the same |
/// | 2 | of a user with an active session on this client | any | [`AlreadySignedIn`](Self::AlreadySignedIn) | the same |
/// | 1 | of any other user | any | [`SignIn`](Self::SignIn) | [`Transfer`](Self::Transfer) |
/// | 4 | none | no address | [`Transfer`](Self::Transfer) | [`Create`](Self::Create): the address is still missing |
/// | 5 | none | vouched, no owner | [`Transfer`](Self::Transfer) | [`Create`](Self::Create): the address is verified |
/// | 6 | none | not vouched, no owner | [`Transfer`](Self::Transfer) | [`Create`](Self::Create): the address is not verified |
/// | 12 | none | the owner is banned or locked | [`Closed`](Self::Closed) | the same |
/// | 7-11 | none | any owner, and the instance never links | [`LinkingOff`](Self::LinkingOff) | the same |
/// | 7-11 | none | the owner has an active session on this client | [`AlreadySignedIn`](Self::AlreadySignedIn) | the same |
/// | 7 | none | vouched, verified by its owner | [`Link`](Self::Link) | [`Transfer`](Self::Transfer) |
/// | 8 | none | not vouched, verified by its owner | [`VerifyFirst`](Self::VerifyFirst) | [`Transfer`](Self::Transfer) |
/// | 9 | none | vouched, reserved for its owner | [`Link`](Self::Link) | [`Transfer`](Self::Transfer) |
/// | 9 | none | not vouched, reserved for its owner | [`VerifyFirst`](Self::VerifyFirst) | [`Transfer`](Self::Transfer) |
/// | 10 | none | vouched, claimed by its owner | [`VerifyFirst`](Self::VerifyFirst): hostile until verified | [`Transfer`](Self::Transfer) |
/// | 11 | none | not vouched, claimed by its owner | [`VerifyFirst`](Self::VerifyFirst) | [`Transfer`](Self::Transfer) |
///
/// What bends a row:
///
/// - Where the instance cannot have an address verified, rows 8, 9 and 11 end in [`Unprovable`](Self::Unprovable)
///   instead of `VerifyFirst`, and row 10 in row 5: nobody can be asked who the claim is of.
/// - A claim is no owner (rows 5 and 6) when its user may not sign in, or has shown to be somebody else by another
///   address that is verified or reserved for them.
/// - In strict mode an address that is not vouched has no owner (row 6): the answer must not tell whether it has one.
/// - A provider that vouches by its policy alone counts as vouching in row 5, outside of strict mode
///   ([`is_enough`]), and as not vouching in rows 7 to 11.
/// - Row 13, an address under an enterprise connection, does not exist here: there are no such connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Row 1: the account's user signs in.
    SignIn {
        /// The user.
        user: UserId,
        /// The account to bring up to date.
        account: ExternalAccountId,
    },
    /// Rows 4 to 6 as sign-up: a new user.
    Create,
    /// The other attempt can take its place: `external_account_not_found` or `external_account_exists`.
    Transfer,
    /// Row 7, and row 9 where the provider vouches: the account becomes this user's, and signs in.
    Link {
        /// The user.
        user: UserId,
        /// The address that leads there; a reserved one is verified by this.
        identification: IdentificationId,
    },
    /// Rows 8 to 11: the account becomes this user's once the person has verified this address.
    VerifyFirst {
        /// The user.
        user: UserId,
        /// The address to be verified.
        identification: IdentificationId,
    },
    /// Row 2: that user has an active session here.
    AlreadySignedIn(SessionId),
    /// Rows 3 and 12: the account's or the address's user may not sign in.
    Closed(UserStatus, UserId),
    /// Rows 7 to 11 where the instance never links.
    LinkingOff(UserId),
    /// Rows 8, 9 and 11 where the instance cannot have an address verified.
    Unprovable(UserId),
}

/// Decides. `trust` is `None` when the provider gave no address.
pub fn decide(kind: AttemptKind, trust: Option<EmailTrust>, known: &Known, policy: &Policy) -> Decision {
    if let Some(account) = &known.account {
        return sign_in(kind, account);
    }
    let vouched = trust.is_some_and(|trust| trust == EmailTrust::Verified || !policy.defences.only_trusted_words);
    let is_strict = policy.enumeration == EnumerationProtection::Strict;
    let owner = known.owner.as_ref().filter(|_| trust.is_some() && (vouched || !is_strict));
    match owner.filter(|owner| counts(owner, vouched, policy)) {
        Some(owner) => address(kind, owner, vouched, policy),
        None => match kind {
            AttemptKind::SignIn => Decision::Transfer,
            AttemptKind::SignUp => Decision::Create,
        },
    }
}

/// Whether the provider's claim is enough for the address of a new user (rows 5 and 6). In strict mode only a word that
/// would also link is: otherwise the answer would tell whether the address has an owner.
pub fn is_enough(trust: EmailTrust, policy: &Policy) -> bool {
    match trust {
        EmailTrust::Verified => true,
        EmailTrust::ProviderPolicy => policy.enumeration != EnumerationProtection::Strict,
        EmailTrust::Unverified => !policy.defences.only_trusted_words,
    }
}

/// Rows 1 to 3.
fn sign_in(kind: AttemptKind, known: &KnownAccount) -> Decision {
    if known.user_status != UserStatus::Active {
        return Decision::Closed(known.user_status, known.user.clone());
    }
    match (&known.session, kind) {
        (Some(session), _) => Decision::AlreadySignedIn(session.clone()),
        (None, AttemptKind::SignIn) => Decision::SignIn { user: known.user.clone(), account: known.account.clone() },
        (None, AttemptKind::SignUp) => Decision::Transfer,
    }
}

/// Whether this user stands between the address and its owner. An unverified claim never does when its user may not
/// sign in, turned out to be somebody else, or could not be distinguished from the owner because nobody can be asked
/// for a verification: the person begins anew beside it, and whoever verifies the address first has it.
fn counts(owner: &AddressOwner, vouched: bool, policy: &Policy) -> bool {
    if owner.status != IdentificationStatus::Unverified {
        return true;
    }
    let is_other = owner.is_somebody_else && policy.defences.somebody_else_keeps_out;
    owner.user_status == UserStatus::Active && !is_other && (policy.can_verify || !vouched)
}

/// Rows 7 to 12.
fn address(kind: AttemptKind, owner: &AddressOwner, vouched: bool, policy: &Policy) -> Decision {
    if owner.user_status != UserStatus::Active {
        return Decision::Closed(owner.user_status, owner.user.clone());
    }
    if policy.linking == Linking::Never {
        return Decision::LinkingOff(owner.user.clone());
    }
    if let Some(session) = &owner.session {
        return Decision::AlreadySignedIn(session.clone());
    }
    if kind == AttemptKind::SignUp {
        return Decision::Transfer;
    }
    let (user, identification) = (owner.user.clone(), owner.identification.clone());
    let is_theirs = owner.status != IdentificationStatus::Unverified || !policy.defences.hostile_until_verified;
    if vouched && is_theirs {
        return Decision::Link { user, identification };
    }
    if policy.can_verify { Decision::VerifyFirst { user, identification } } else { Decision::Unprovable(user) }
}

#[cfg(test)]
#[path = "linking_tests.rs"]
mod tests;
