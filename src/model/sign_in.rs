//! A sign-in attempt as a state machine: which verification each state accepts, and where it leads.
//! Nothing else makes an attempt complete.

use super::defences::Defences;
use super::id::IdentificationId;
use super::text_enum::text_enum;
use super::user::IdentificationStatus;

text_enum! {
    /// Where an attempt stands.
    #[derive(PartialOrd, Ord)]
    pub enum Status {
        /// Nobody is identified; also while a provider is asked, and after it failed.
        NeedsIdentifier = "needs_identifier",
        /// The user is known; a first factor must be verified.
        NeedsFirstFactor = "needs_first_factor",
        /// A second factor must be verified.
        NeedsSecondFactor = "needs_second_factor",
        /// A first factor is verified; a new password must be chosen.
        NeedsNewPassword = "needs_new_password",
        /// Signed in.
        Complete = "complete",
    }
}

/// Whether an attempt may still be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptLife {
    /// Yes: it is its client's present one.
    Current,
    /// A newer one took its place.
    Replaced,
    /// A day has passed.
    Abandoned,
}

/// An attempt, as far as its rules go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// Whether it may still be changed.
    pub life: AttemptLife,
    /// The address that must be verified before the waiting external account is linked; then nothing else counts.
    pub waits_for: Option<IdentificationId>,
}

/// A verification that was just given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor<'a> {
    /// A provider's claim about an identity that is the user's.
    Provider,
    /// A code or link that went to an address of the user.
    Address(Address<'a>),
    /// A code that went to an address of the user, to choose a new password.
    ResetCode(Address<'a>),
    /// The password.
    Password,
    /// A new password, chosen.
    NewPassword,
    /// A second factor.
    Second,
}

/// An address that a code or link went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Which one.
    pub id: &'a IdentificationId,
    /// How far it was the user's before; `None` if it is none of theirs.
    pub status: Option<IdentificationStatus>,
    /// The user has another address that is verified or reserved for them.
    pub is_somebody_else: bool,
}

/// What the user needs besides a first factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserFactors {
    /// They have a password.
    pub has_password: bool,
    /// They have a second factor.
    pub second_factor: bool,
}

/// What a verification leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The attempt's next status.
    pub status: Status,
    /// The address is the user's from now on.
    pub verifies_address: bool,
    /// Nobody had verified the address before: what an earlier claimant left in the account goes.
    pub takes_over: bool,
}

/// Why a verification is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `client_state_invalid`: the attempt is over, or wants something else.
    State,
    /// `resource_forbidden`: a newer attempt took its place.
    Replaced,
    /// `strategy_for_user_invalid`: not a factor of this account now.
    Strategy,
    /// `resource_forbidden`: another user's address.
    Foreign,
}

/// The attempt after a verification.
///
/// # Errors
/// The verification does not count in this state.
pub fn apply_factor(
    state: &State,
    factor: Factor<'_>,
    user_factors: UserFactors,
    defences: Defences,
) -> Result<Step, Refused> {
    match state.life {
        AttemptLife::Current => {}
        AttemptLife::Replaced => return Err(Refused::Replaced),
        AttemptLife::Abandoned => return Err(Refused::State),
    }
    let wanted = match factor {
        Factor::Provider => matches!(state.status, Status::NeedsIdentifier | Status::NeedsFirstFactor),
        Factor::Address(_) | Factor::ResetCode(_) | Factor::Password => state.status == Status::NeedsFirstFactor,
        Factor::NewPassword => state.status == Status::NeedsNewPassword,
        Factor::Second => state.status == Status::NeedsSecondFactor,
    };
    if !wanted {
        return Err(Refused::State);
    }
    is_open(state, factor, defences)?;
    Ok(step(factor, user_factors))
}

/// Whether the factor is a factor of this account now. An account that waits takes the verification of the address that
/// its provider named, and nothing else.
fn is_open(state: &State, factor: Factor<'_>, defences: Defences) -> Result<(), Refused> {
    let waits_for = state.waits_for.as_ref().filter(|_| state.status == Status::NeedsFirstFactor);
    let (Factor::Address(address) | Factor::ResetCode(address)) = factor else {
        return if waits_for.is_none() { Ok(()) } else { Err(Refused::Strategy) };
    };
    let is_the_one = waits_for.is_none_or(|id| id == address.id && !matches!(factor, Factor::ResetCode(_)));
    if defences.verification_of_that_address && address.status.is_none() {
        return Err(Refused::Foreign);
    }
    if defences.verification_of_that_address && !is_the_one {
        return Err(Refused::Strategy);
    }
    let is_claim = address.status == Some(IdentificationStatus::Unverified);
    if defences.somebody_else_keeps_out && is_claim && address.is_somebody_else {
        return Err(Refused::Strategy);
    }
    Ok(())
}

fn step(factor: Factor<'_>, user_factors: UserFactors) -> Step {
    let (verifies_address, takes_over) = match factor {
        Factor::Address(address) | Factor::ResetCode(address) => {
            let is_claim = address.status == Some(IdentificationStatus::Unverified);
            (is_claim || address.status == Some(IdentificationStatus::Reserved), is_claim)
        }
        Factor::Provider | Factor::Password | Factor::NewPassword | Factor::Second => (false, false),
    };
    let wants_password = matches!(factor, Factor::ResetCode(_)) || (takes_over && user_factors.has_password);
    // Whoever takes an account over finds no second factor of the earlier claimant in the way.
    let wants_second = user_factors.second_factor && !takes_over && factor != Factor::Second;
    let status = match (wants_password, wants_second) {
        (true, _) => Status::NeedsNewPassword,
        (false, true) => Status::NeedsSecondFactor,
        (false, false) => Status::Complete,
    };
    Step { status, verifies_address, takes_over }
}

/// What an account loses to the person who verifies an address that nobody had verified before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is removed by itself")]
pub struct Reassignment {
    /// Every open session ends.
    pub sessions: bool,
    /// Every external account but the one that is being linked.
    pub accounts: bool,
    /// The password.
    pub password: bool,
    /// Every grant to an OAuth application.
    pub grants: bool,
}

impl Reassignment {
    /// What goes while these defences stand.
    pub const fn with(defences: Defences) -> Self {
        Self {
            sessions: defences.ends_sessions,
            accounts: defences.removes_accounts,
            password: defences.removes_password,
            grants: defences.revokes_grants,
        }
    }
}

#[cfg(test)]
#[path = "sign_in_tests.rs"]
mod tests;
