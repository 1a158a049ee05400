//! The machine of a sign-in: single steps, and that no sequence of verifications reaches an account it must not reach.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::model::random::Rng;

struct Fixed(u8);
impl Rng for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn address(number: u8) -> IdentificationId {
    IdentificationId::new(datetime!(2026-11-21 12:00 UTC), &Fixed(number))
}

fn at(status: Status) -> State {
    State { status, life: AttemptLife::Current, waits_for: None }
}

fn code(id: &IdentificationId, status: IdentificationStatus) -> Factor<'_> {
    Factor::Address(Address { id, status: Some(status), is_somebody_else: false })
}

fn step(state: &State, factor: Factor<'_>, user_factors: UserFactors) -> Result<Step, Refused> {
    apply_factor(state, factor, user_factors, Defences::ALL)
}

#[test]
fn finished_or_replaced_attempt_takes_no_factor() {
    for (life, refused) in [(AttemptLife::Replaced, Refused::Replaced), (AttemptLife::Abandoned, Refused::State)] {
        let state = State { life, ..at(Status::NeedsFirstFactor) };
        assert_eq!(step(&state, Factor::Password, UserFactors::default()), Err(refused));
    }
    for factor in [Factor::Provider, Factor::Password, Factor::NewPassword, Factor::Second] {
        assert_eq!(step(&at(Status::Complete), factor, UserFactors::default()), Err(Refused::State));
    }
}

#[test]
fn pending_account_takes_the_verification_of_its_own_address_only() {
    use IdentificationStatus::Verified;
    let (its, other) = (address(1), address(2));
    let state = State { waits_for: Some(its.clone()), ..at(Status::NeedsFirstFactor) };
    assert_eq!(
        step(&state, code(&its, Verified), UserFactors::default()).map(|step| step.status),
        Ok(Status::Complete)
    );
    let reset = Factor::ResetCode(Address { id: &its, status: Some(Verified), is_somebody_else: false });
    for factor in [code(&other, Verified), Factor::Password, Factor::Provider, reset] {
        assert_eq!(step(&state, factor, UserFactors::default()), Err(Refused::Strategy), "{factor:?}");
    }
    let foreign = Factor::Address(Address { id: &other, status: None, is_somebody_else: false });
    for state in [&state, &at(Status::NeedsFirstFactor)] {
        assert_eq!(step(state, foreign, UserFactors::default()), Err(Refused::Foreign));
    }
}

#[test]
fn unverified_address_is_reassigned_and_reserved_one_only_verified() {
    let its = address(1);
    let user_factors = UserFactors { has_password: true, second_factor: true };
    let state = at(Status::NeedsFirstFactor);
    for (before, status, takes_over, verifies_address) in [
        (IdentificationStatus::Unverified, Status::NeedsNewPassword, true, true),
        (IdentificationStatus::Reserved, Status::NeedsSecondFactor, false, true),
        (IdentificationStatus::Verified, Status::NeedsSecondFactor, false, false),
    ] {
        let expected = Step { status, verifies_address, takes_over };
        assert_eq!(step(&state, code(&its, before), user_factors), Ok(expected), "{before:?}");
    }
    let no_password = UserFactors { has_password: false, second_factor: true };
    let taken = step(&state, code(&its, IdentificationStatus::Unverified), no_password).unwrap();
    assert_eq!(taken.status, Status::Complete, "the earlier claimant's second factor is nobody's obstacle");
    let claim = Some(IdentificationStatus::Unverified);
    let other = Address { id: &its, status: claim, is_somebody_else: true };
    assert_eq!(step(&state, Factor::Address(other), user_factors), Err(Refused::Strategy));
}

#[test]
fn a_reset_code_asks_for_a_password_and_then_for_the_second_factor() {
    let its = address(1);
    let user_factors = UserFactors { has_password: false, second_factor: true };
    let verified = Some(IdentificationStatus::Verified);
    let reset = Factor::ResetCode(Address { id: &its, status: verified, is_somebody_else: false });
    assert_eq!(step(&at(Status::NeedsFirstFactor), reset, user_factors).unwrap().status, Status::NeedsNewPassword);
    let chosen = step(&at(Status::NeedsNewPassword), Factor::NewPassword, user_factors).unwrap();
    assert_eq!(chosen.status, Status::NeedsSecondFactor);
    let second = step(&at(Status::NeedsSecondFactor), Factor::Second, user_factors).unwrap();
    assert_eq!(second.status, Status::Complete);
}

/// What somebody may try, in any order.
#[derive(Clone, Copy, Debug)]
enum Try {
    Provider,
    Code { address: u8, status: IdentificationStatus, other: bool },
    Reset { address: u8, status: IdentificationStatus },
    Password,
    NewPassword,
    Second,
}

fn any_try() -> impl Strategy<Value = Try> {
    use IdentificationStatus::{Reserved, Unverified, Verified};
    let status = prop::sample::select(vec![Verified, Reserved, Unverified]);
    prop_oneof![
        Just(Try::Provider),
        (1_u8..3, status.clone(), any::<bool>()).prop_map(|(address, status, other)| Try::Code {
            address,
            status,
            other
        }),
        (1_u8..3, status).prop_map(|(address, status)| Try::Reset { address, status }),
        Just(Try::Password),
        Just(Try::NewPassword),
        Just(Try::Second),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Complete is reached only through an accepted first factor, of the waiting account's own address if one waits;
    /// with the second factor if the user has one, unless the account was taken over; with a new password if one is
    /// due.
    #[test]
    fn no_sequence_reaches_complete_without_what_is_owed(
        tries in prop::collection::vec(any_try(), 1..12),
        waits in any::<bool>(), identified in any::<bool>(), has_password in any::<bool>(), second in any::<bool>(),
    ) {
        let ids = [address(1), address(2)];
        let user_factors = UserFactors { has_password, second_factor: second };
        let status = if identified || waits { Status::NeedsFirstFactor } else { Status::NeedsIdentifier };
        let mut state = State { status, life: AttemptLife::Current, waits_for: waits.then(|| ids[0].clone()) };
        let (mut first, mut chosen, mut seconded, mut took_over, mut due) = (false, false, false, false, false);
        for attempt in tries {
            let address = |number: u8, status, is_somebody_else| Address {
                id: &ids[usize::from(number - 1)], status: Some(status), is_somebody_else,
            };
            let factor = match attempt {
                Try::Provider => Factor::Provider,
                Try::Code { address: number, status, other } => Factor::Address(address(number, status, other)),
                Try::Reset { address: number, status } => Factor::ResetCode(address(number, status, false)),
                Try::Password => Factor::Password,
                Try::NewPassword => Factor::NewPassword,
                Try::Second => Factor::Second,
            };
            let Ok(step) = apply_factor(&state, factor, user_factors, Defences::ALL) else { continue };
            prop_assert_ne!(state.status, Status::Complete);
            match factor {
                Factor::Second => { prop_assert!(first); seconded = true; }
                Factor::NewPassword => { prop_assert!(first && due); chosen = true; }
                Factor::Address(address) | Factor::ResetCode(address) => {
                    prop_assert!(!waits || address.id == &ids[0]);
                    first = true;
                }
                Factor::Provider | Factor::Password => { prop_assert!(!waits); first = true; }
            }
            took_over |= step.takes_over;
            due |= matches!(factor, Factor::ResetCode(_)) || (step.takes_over && has_password);
            state.status = step.status;
            if state.status == Status::Complete {
                prop_assert!(first && (chosen || !due) && (seconded || took_over || !second));
            }
        }
    }
}
