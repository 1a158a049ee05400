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
    can_verify: true,
    defences: Defences::ALL,
};
const TRUSTS: [EmailTrust; 3] = [EmailTrust::Verified, EmailTrust::Unverified, EmailTrust::ProviderPolicy];
const BOTH: [AttemptKind; 2] = [AttemptKind::SignIn, AttemptKind::SignUp];
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

fn account(user_status: UserStatus, session: Option<SessionId>) -> Known {
    let account = ExternalAccountId::new(NOW, &Fixed(4));
    Known { account: Some(KnownAccount { account, user: user(), user_status, session }), owner: None }
}

fn owner(status: IdentificationStatus) -> Known {
    let (is_somebody_else, user_status) = (false, UserStatus::Active);
    let owner =
        AddressOwner { user: user(), identification: address(), status, is_somebody_else, user_status, session: None };
    Known { account: None, owner: Some(owner) }
}

fn but(mut known: Known, change: impl FnOnce(&mut AddressOwner)) -> Known {
    known.owner.as_mut().map(change);
    known
}

fn link() -> Decision {
    Decision::Link { user: user(), identification: address() }
}

fn verify_first() -> Decision {
    Decision::VerifyFirst { user: user(), identification: address() }
}

#[test]
fn row_1_a_known_identity_signs_in_and_a_sign_up_of_it_transfers() {
    let known = account(UserStatus::Active, None);
    assert!(matches!(decide(AttemptKind::SignIn, None, &known, &POLICY), Decision::SignIn { .. }));
    for trust in TRUSTS {
        assert!(matches!(decide(AttemptKind::SignIn, Some(trust), &known, &POLICY), Decision::SignIn { .. }));
        assert_eq!(decide(AttemptKind::SignUp, Some(trust), &known, &POLICY), Decision::Transfer);
    }
}

#[test]
fn row_2_an_open_session_on_this_client_is_named() {
    let known = account(UserStatus::Active, Some(session()));
    for kind in BOTH {
        assert_eq!(decide(kind, None, &known, &POLICY), Decision::AlreadySignedIn(session()));
        // An address that leads to the same place says the same.
        let known = but(owner(Verified), |owner| owner.session = Some(session()));
        assert_eq!(decide(kind, Some(EmailTrust::Verified), &known, &POLICY), Decision::AlreadySignedIn(session()));
    }
}

#[test]
fn rows_3_and_12_closed_accounts_come_before_everything() {
    for user_status in [UserStatus::Banned, UserStatus::Locked] {
        for kind in BOTH {
            let known = account(user_status, Some(session()));
            assert_eq!(decide(kind, None, &known, &POLICY), Decision::Closed(user_status, user()));
            for (trust, status) in TRUSTS.into_iter().flat_map(|trust| [(trust, Verified), (trust, Reserved)]) {
                let known = but(owner(status), |owner| owner.user_status = user_status);
                assert_eq!(decide(kind, Some(trust), &known, &POLICY), Decision::Closed(user_status, user()));
            }
        }
    }
}

#[test]
fn rows_4_to_6_a_stranger_is_transferred_or_created() {
    for trust in [None, Some(EmailTrust::Verified), Some(EmailTrust::Unverified), Some(EmailTrust::ProviderPolicy)] {
        assert_eq!(decide(AttemptKind::SignIn, trust, &Known::default(), &POLICY), Decision::Transfer);
        assert_eq!(decide(AttemptKind::SignUp, trust, &Known::default(), &POLICY), Decision::Create);
    }
    assert!(is_enough(EmailTrust::Verified, &POLICY) && is_enough(EmailTrust::ProviderPolicy, &POLICY));
    assert!(!is_enough(EmailTrust::Unverified, &POLICY));
}

#[test]
fn row_4_without_an_address_nobody_s_address_matters() {
    for status in [Verified, Reserved, Unverified] {
        assert_eq!(decide(AttemptKind::SignUp, None, &owner(status), &POLICY), Decision::Create);
        assert_eq!(decide(AttemptKind::SignIn, None, &owner(status), &POLICY), Decision::Transfer);
    }
}

#[test]
fn rows_7_to_11_an_address_links_only_if_verified_on_both_sides() {
    use EmailTrust::{ProviderPolicy, Unverified as NoClaim, Verified as ByProvider};
    for (row, trust, ours, sign_in) in [
        (7, ByProvider, Verified, link()),
        (8, NoClaim, Verified, verify_first()),
        (8, ProviderPolicy, Verified, verify_first()),
        (9, ByProvider, Reserved, link()),
        (9, NoClaim, Reserved, verify_first()),
        (9, ProviderPolicy, Reserved, verify_first()),
        (10, ByProvider, Unverified, verify_first()),
        (11, NoClaim, Unverified, verify_first()),
        (11, ProviderPolicy, Unverified, verify_first()),
    ] {
        assert_eq!(decide(AttemptKind::SignIn, Some(trust), &owner(ours), &POLICY), sign_in, "row {row}");
        assert_eq!(decide(AttemptKind::SignUp, Some(trust), &owner(ours), &POLICY), Decision::Transfer, "row {row}");
        let never = Policy { linking: Linking::Never, ..POLICY };
        for kind in BOTH {
            let off = Decision::LinkingOff(user());
            assert_eq!(decide(kind, Some(trust), &owner(ours), &never), off, "row {row} with linking=never");
        }
        let mute = Policy { can_verify: false, ..POLICY };
        let decided = decide(AttemptKind::SignIn, Some(trust), &owner(ours), &mute);
        let expected = match (trust, ours) {
            (ByProvider, Verified | Reserved) => link(),
            (ByProvider, Unverified) => Decision::Transfer,
            _ => Decision::Unprovable(user()),
        };
        assert_eq!(decided, expected, "row {row} where nothing can be sent");
    }
}

#[test]
fn strict_mode_reveals_nothing_to_an_unverified_claim() {
    let strict = Policy { enumeration: EnumerationProtection::Strict, ..POLICY };
    for trust in [EmailTrust::Unverified, EmailTrust::ProviderPolicy] {
        assert!(!is_enough(trust, &strict));
        for kind in BOTH {
            let stranger = decide(kind, Some(trust), &Known::default(), &strict);
            for user_status in [UserStatus::Active, UserStatus::Banned, UserStatus::Locked] {
                for status in [Verified, Reserved, Unverified] {
                    let known = but(owner(status), |owner| owner.user_status = user_status);
                    assert_eq!(decide(kind, Some(trust), &known, &strict), stranger);
                }
            }
        }
    }
    assert_eq!(decide(AttemptKind::SignIn, Some(EmailTrust::Verified), &owner(Verified), &strict), link());
}

#[test]
fn an_unverified_claim_of_somebody_else_does_not_block_the_owner() {
    let banned = but(owner(Unverified), |owner| owner.user_status = UserStatus::Banned);
    let other = but(owner(Unverified), |owner| owner.is_somebody_else = true);
    for (known, trust) in [banned, other].iter().flat_map(|known| TRUSTS.map(|trust| (known, trust))) {
        assert_eq!(decide(AttemptKind::SignUp, Some(trust), known, &POLICY), Decision::Create);
        assert_eq!(decide(AttemptKind::SignIn, Some(trust), known, &POLICY), Decision::Transfer);
    }
}

/// The table in the documentation of [`Decision`] is the one that decides.
#[test]
fn each_row_of_the_documented_table_ends_as_it_says() {
    use EmailTrust::{Unverified as Claimed, Verified as Vouched};
    let never = Policy { linking: Linking::Never, ..POLICY };
    let banned = but(owner(Verified), |owner| owner.user_status = UserStatus::Banned);
    let signed_in = but(owner(Verified), |owner| owner.session = Some(session()));
    let lines = include_str!("linking.rs").lines().filter_map(|line| line.strip_prefix("/// | "));
    let rows: Vec<Vec<&str>> =
        lines.map(|line| line.split(" | ").collect()).filter(|cells: &Vec<&str>| cells[0] != "row").collect();
    assert_eq!(rows.len(), 15);
    for cells in rows {
        let (account_cell, address_cell) = (cells[1], cells[2]);
        let (known, trust, policy) = match (account_cell, address_cell) {
            ("of a user who is banned or locked", "any") => {
                (account(UserStatus::Locked, Some(session())), None, POLICY)
            }
            ("of a user with an active session on this client", "any") => {
                (account(UserStatus::Active, Some(session())), None, POLICY)
            }
            ("of any other user", "any") => (account(UserStatus::Active, None), None, POLICY),
            ("none", "no address") => (Known::default(), None, POLICY),
            ("none", "vouched, no owner") => (Known::default(), Some(Vouched), POLICY),
            ("none", "not vouched, no owner") => (Known::default(), Some(Claimed), POLICY),
            ("none", "the owner is banned or locked") => (banned.clone(), Some(Claimed), POLICY),
            ("none", "any owner, and the instance never links") => (owner(Reserved), Some(Vouched), never),
            ("none", "the owner has an active session on this client") => (signed_in.clone(), Some(Vouched), POLICY),
            ("none", "vouched, verified by its owner") => (owner(Verified), Some(Vouched), POLICY),
            ("none", "not vouched, verified by its owner") => (owner(Verified), Some(Claimed), POLICY),
            ("none", "vouched, reserved for its owner") => (owner(Reserved), Some(Vouched), POLICY),
            ("none", "not vouched, reserved for its owner") => (owner(Reserved), Some(Claimed), POLICY),
            ("none", "vouched, claimed by its owner") => (owner(Unverified), Some(Vouched), POLICY),
            ("none", "not vouched, claimed by its owner") => (owner(Unverified), Some(Claimed), POLICY),
            other => panic!("a row that nothing tries: {other:?}"),
        };
        let documented =
            |cell: &str| cell.split("[`").nth(1).and_then(|rest| rest.split("`]").next()).map(str::to_owned);
        let sign_in = documented(cells[3]).unwrap();
        let sign_up = documented(cells[4]).unwrap_or_else(|| sign_in.clone());
        for (kind, documented) in [(AttemptKind::SignIn, sign_in), (AttemptKind::SignUp, sign_up)] {
            let decided = format!("{:?}", decide(kind, trust, &known, &policy));
            let name: String = decided.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert_eq!(name, documented, "{kind:?} in {cells:?}");
        }
        let is_enough = trust.is_some_and(|trust| is_enough(trust, &policy));
        assert!(!cells[4].contains("is verified") || is_enough, "{cells:?}");
        assert!(!cells[4].contains("not verified") || !is_enough, "{cells:?}");
    }
}

fn any_known() -> impl Strategy<Value = Known> {
    let user_status = prop::sample::select(vec![UserStatus::Active, UserStatus::Banned, UserStatus::Locked]);
    let status = prop::sample::select(vec![Verified, Reserved, Unverified]);
    let account = prop::option::of((user_status.clone(), any::<bool>()));
    let owner = prop::option::of((status, user_status, any::<bool>(), any::<bool>()));
    (account, owner).prop_map(|(known, claimed)| {
        let known = known.and_then(|(user_status, open)| account_of(user_status, open));
        let owner = claimed.map(|(status, user_status, other, open)| AddressOwner {
            user: user(),
            identification: address(),
            status,
            is_somebody_else: other,
            user_status,
            session: open.then(session),
        });
        Known { account: known, owner }
    })
}

fn account_of(user_status: UserStatus, open: bool) -> Option<KnownAccount> {
    account(user_status, open.then(session)).account
}

proptest! {
    /// Whoever ends in an account by an address alone comes with a trusted claim, to a user who has verified the
    /// address.
    #[test]
    fn nobody_is_linked_without_verification_on_both_sides(
        kind in prop::sample::select(BOTH.to_vec()),
        trust in prop::option::of(prop::sample::select(TRUSTS.to_vec())),
        known in any_known(),
        never in any::<bool>(), strict in any::<bool>(), can_verify in any::<bool>(),
    ) {
        let linking = if never { Linking::Never } else { Linking::VerifiedOnly };
        let enumeration = if strict { EnumerationProtection::Strict } else { EnumerationProtection::Off };
        let decision = decide(kind, trust, &known, &Policy { linking, enumeration, can_verify, ..POLICY });
        match decision {
            Decision::SignIn { .. } => {
                prop_assert!(kind == AttemptKind::SignIn && known.account.is_some_and(|a| a.user_status == UserStatus::Active));
            }
            Decision::Link { .. } => {
                let owner = known.owner.unwrap();
                prop_assert!(known.account.is_none() && !never && kind == AttemptKind::SignIn);
                prop_assert_eq!(trust, Some(EmailTrust::Verified));
                prop_assert!(owner.status != Unverified && owner.user_status == UserStatus::Active);
            }
            Decision::VerifyFirst { .. } => {
                let owner = known.owner.unwrap();
                prop_assert!(known.account.is_none() && !never && can_verify && kind == AttemptKind::SignIn);
                prop_assert!(owner.user_status == UserStatus::Active);
                prop_assert!(owner.status != Unverified || !owner.is_somebody_else);
            }
            Decision::Create => prop_assert!(kind == AttemptKind::SignUp && known.account.is_none()),
            _ => {}
        }
    }
}
