//! The decision table, row by row and column by column.

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

const NOW: crate::model::time::Timestamp = datetime!(2026-11-21 12:00 UTC);
const POLICY: Policy = Policy {
    linking: Linking::VerifiedOnly,
    enumeration: EnumerationProtection::Off,
    can_prove: true,
    defences: Defences::ALL,
};
const TRUSTS: [EmailTrust; 3] = [EmailTrust::Verified, EmailTrust::Unverified, EmailTrust::ProviderPolicy];
const BOTH: [Started; 2] = [Started::SignIn, Started::SignUp];
use IdentificationStatus::{Reserved, Unverified, Verified};

fn user() -> UserId {
    UserId::new(NOW, &Fixed(1))
}

fn address() -> IdentificationId {
    IdentificationId::new(NOW, &Fixed(2))
}

fn session() -> SessionId {
    SessionId::new(NOW, &Fixed(3))
}

fn account(standing: Standing, session: Option<SessionId>) -> Known {
    let account = ExternalAccountId::new(NOW, &Fixed(4));
    Known { account: Some(KnownAccount { account, user: user(), standing, session }), owner: None }
}

fn owner(status: IdentificationStatus) -> Known {
    let (is_somebody_else, standing) = (false, Standing::Good);
    let owner =
        AddressOwner { user: user(), identification: address(), status, is_somebody_else, standing, session: None };
    Known { account: None, owner: Some(owner) }
}

fn but(mut known: Known, change: impl FnOnce(&mut AddressOwner)) -> Known {
    known.owner.as_mut().map(change);
    known
}

fn link() -> Decision {
    Decision::Link { user: user(), identification: address() }
}

fn prove() -> Decision {
    Decision::Prove { user: user(), identification: address() }
}

#[test]
fn row_1_a_known_identity_signs_in_and_a_sign_up_of_it_transfers() {
    let known = account(Standing::Good, None);
    assert!(matches!(decide(Started::SignIn, None, &known, &POLICY), Decision::SignIn { .. }));
    for trust in TRUSTS {
        assert!(matches!(decide(Started::SignIn, Some(trust), &known, &POLICY), Decision::SignIn { .. }));
        assert_eq!(decide(Started::SignUp, Some(trust), &known, &POLICY), Decision::Transfer);
    }
}

#[test]
fn row_2_an_open_session_on_this_client_is_named() {
    let known = account(Standing::Good, Some(session()));
    for started in BOTH {
        assert_eq!(decide(started, None, &known, &POLICY), Decision::AlreadySignedIn(session()));
        // An address that leads to the same place says the same.
        let known = but(owner(Verified), |owner| owner.session = Some(session()));
        assert_eq!(decide(started, Some(EmailTrust::Verified), &known, &POLICY), Decision::AlreadySignedIn(session()));
    }
}

#[test]
fn rows_3_and_12_closed_accounts_come_before_everything() {
    for standing in [Standing::Banned, Standing::Locked] {
        for started in BOTH {
            let known = account(standing, Some(session()));
            assert_eq!(decide(started, None, &known, &POLICY), Decision::Closed(standing, user()));
            for (trust, status) in TRUSTS.into_iter().flat_map(|trust| [(trust, Verified), (trust, Reserved)]) {
                let known = but(owner(status), |owner| owner.standing = standing);
                assert_eq!(decide(started, Some(trust), &known, &POLICY), Decision::Closed(standing, user()));
            }
        }
    }
}

#[test]
fn rows_4_to_6_a_stranger_is_transferred_or_created() {
    for trust in [None, Some(EmailTrust::Verified), Some(EmailTrust::Unverified), Some(EmailTrust::ProviderPolicy)] {
        assert_eq!(decide(Started::SignIn, trust, &Known::default(), &POLICY), Decision::Transfer);
        assert_eq!(decide(Started::SignUp, trust, &Known::default(), &POLICY), Decision::Create);
    }
    assert!(is_enough(EmailTrust::Verified, &POLICY) && is_enough(EmailTrust::ProviderPolicy, &POLICY));
    assert!(!is_enough(EmailTrust::Unverified, &POLICY));
}

#[test]
fn row_4_without_an_address_nobody_s_address_matters() {
    for status in [Verified, Reserved, Unverified] {
        assert_eq!(decide(Started::SignUp, None, &owner(status), &POLICY), Decision::Create);
        assert_eq!(decide(Started::SignIn, None, &owner(status), &POLICY), Decision::Transfer);
    }
}

#[test]
fn rows_7_to_11_an_address_leads_there_only_as_far_as_it_is_proven_on_both_sides() {
    use EmailTrust::{ProviderPolicy, Unverified as Unproven, Verified as Vouched};
    for (row, trust, ours, sign_in) in [
        (7, Vouched, Verified, link()),
        (8, Unproven, Verified, prove()),
        (8, ProviderPolicy, Verified, prove()),
        (9, Vouched, Reserved, link()),
        (9, Unproven, Reserved, prove()),
        (9, ProviderPolicy, Reserved, prove()),
        (10, Vouched, Unverified, prove()),
        (11, Unproven, Unverified, prove()),
        (11, ProviderPolicy, Unverified, prove()),
    ] {
        assert_eq!(decide(Started::SignIn, Some(trust), &owner(ours), &POLICY), sign_in, "row {row}");
        assert_eq!(decide(Started::SignUp, Some(trust), &owner(ours), &POLICY), Decision::Transfer, "row {row}");
        let never = Policy { linking: Linking::Never, ..POLICY };
        for started in BOTH {
            let off = Decision::LinkingOff(user());
            assert_eq!(decide(started, Some(trust), &owner(ours), &never), off, "row {row} with linking=never");
        }
        let mute = Policy { can_prove: false, ..POLICY };
        let decided = decide(Started::SignIn, Some(trust), &owner(ours), &mute);
        let expected = match (trust, ours) {
            (Vouched, Verified | Reserved) => link(),
            (Vouched, Unverified) => Decision::Transfer,
            _ => Decision::Unprovable(user()),
        };
        assert_eq!(decided, expected, "row {row} where nothing can be sent");
    }
}

#[test]
fn strict_mode_tells_an_unproven_claim_nothing() {
    let strict = Policy { enumeration: EnumerationProtection::Strict, ..POLICY };
    for trust in [EmailTrust::Unverified, EmailTrust::ProviderPolicy] {
        assert!(!is_enough(trust, &strict));
        for started in BOTH {
            let stranger = decide(started, Some(trust), &Known::default(), &strict);
            for standing in [Standing::Good, Standing::Banned, Standing::Locked] {
                for status in [Verified, Reserved, Unverified] {
                    let known = but(owner(status), |owner| owner.standing = standing);
                    assert_eq!(decide(started, Some(trust), &known, &strict), stranger);
                }
            }
        }
    }
    assert_eq!(decide(Started::SignIn, Some(EmailTrust::Verified), &owner(Verified), &strict), link());
}

#[test]
fn an_unproven_claim_of_somebody_else_does_not_block_the_owner() {
    let banned = but(owner(Unverified), |owner| owner.standing = Standing::Banned);
    let other = but(owner(Unverified), |owner| owner.is_somebody_else = true);
    for (known, trust) in [banned, other].iter().flat_map(|known| TRUSTS.map(|trust| (known, trust))) {
        assert_eq!(decide(Started::SignUp, Some(trust), known, &POLICY), Decision::Create);
        assert_eq!(decide(Started::SignIn, Some(trust), known, &POLICY), Decision::Transfer);
    }
}

fn any_known() -> impl Strategy<Value = Known> {
    let standing = prop::sample::select(vec![Standing::Good, Standing::Banned, Standing::Locked]);
    let status = prop::sample::select(vec![Verified, Reserved, Unverified]);
    let account = prop::option::of((standing.clone(), any::<bool>()));
    let owner = prop::option::of((status, standing, any::<bool>(), any::<bool>()));
    (account, owner).prop_map(|(known, claimed)| {
        let known = known.and_then(|(standing, open)| account_of(standing, open));
        let owner = claimed.map(|(status, standing, other, open)| AddressOwner {
            user: user(),
            identification: address(),
            status,
            is_somebody_else: other,
            standing,
            session: open.then(session),
        });
        Known { account: known, owner }
    })
}

fn account_of(standing: Standing, open: bool) -> Option<KnownAccount> {
    account(standing, open.then(session)).account
}

proptest! {
    /// Whoever ends in an account by an address alone comes with a trusted word, to a user who has proven the address.
    #[test]
    fn nobody_is_linked_without_two_proofs(
        started in prop::sample::select(BOTH.to_vec()),
        trust in prop::option::of(prop::sample::select(TRUSTS.to_vec())),
        known in any_known(),
        never in any::<bool>(), strict in any::<bool>(), can_prove in any::<bool>(),
    ) {
        let linking = if never { Linking::Never } else { Linking::VerifiedOnly };
        let enumeration = if strict { EnumerationProtection::Strict } else { EnumerationProtection::Off };
        let decision = decide(started, trust, &known, &Policy { linking, enumeration, can_prove, ..POLICY });
        match decision {
            Decision::SignIn { .. } => {
                prop_assert!(started == Started::SignIn && known.account.is_some_and(|a| a.standing == Standing::Good));
            }
            Decision::Link { .. } => {
                let owner = known.owner.unwrap();
                prop_assert!(known.account.is_none() && !never && started == Started::SignIn);
                prop_assert_eq!(trust, Some(EmailTrust::Verified));
                prop_assert!(owner.status != Unverified && owner.standing == Standing::Good);
            }
            Decision::Prove { .. } => {
                let owner = known.owner.unwrap();
                prop_assert!(known.account.is_none() && !never && can_prove && started == Started::SignIn);
                prop_assert!(owner.standing == Standing::Good);
                prop_assert!(owner.status != Unverified || !owner.is_somebody_else);
            }
            Decision::Create => prop_assert!(started == Started::SignUp && known.account.is_none()),
            _ => {}
        }
    }
}
