//! What it means that a signed-in user comes back from a provider to connect an account, as
//! one pure function. Nothing ever moves from one user to another here.

use super::id::{ExternalAccountId, IdentificationId};
use super::profile::EmailTrust;
use super::reason::{Failure, Reason};
use super::social_error;

/// What the person set out to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A pending account waits for its identity.
    Connect,
    /// An account that was verified before is approved once more, perhaps with more scopes.
    Reauthorize(ExternalAccountId),
}

/// Who has the identity that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody yet.
    Unknown,
    /// This user, with this account.
    Own(ExternalAccountId),
    /// Another user.
    Others,
}

/// How the address that the provider gave stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The provider gave none.
    Absent,
    /// It is one of the user's own.
    Own(IdentificationId),
    /// Another user has it, verified or reserved.
    Others,
    /// Nobody has verified it.
    Free,
}

/// What we know before deciding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who has the identity.
    pub identity: Identity,
    /// How the address stands.
    pub address: Address,
    /// The user has another verified account of this provider without an error.
    pub has_another: bool,
}

/// What the instance allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Several accounts of one provider.
    pub multiple_accounts: bool,
    /// Users may change their addresses.
    pub addresses_changeable: bool,
}

/// What happens to the address of an account that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// There is none.
    Nothing,
    /// The account vouches for this one of the user's addresses; verifies it, if the provider's claim goes so far.
    Link(IdentificationId, Verify),
    /// The user gets it.
    Add(Verify),
}

/// Whether the provider's claim verifies an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It does.
    Yes,
    /// A code must.
    No,
}

impl Verify {
    fn when(is_proven: bool) -> Self {
        if is_proven { Self::Yes } else { Self::No }
    }
}

/// What the identity means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectDecision {
    /// The pending account becomes the user's.
    Connect(Claim),
    /// This account, which the user had already, is brought up to date.
    Refresh(ExternalAccountId),
    /// Nothing changes but the error that is shown.
    Refuse(Failure),
}

/// Decides. `trust` says what the provider's claim about the address is worth.
pub fn decide(aim: &Aim, trust: EmailTrust, known: &Known, rules: Rules) -> ConnectDecision {
    use ConnectDecision::{Connect, Refresh, Refuse};
    const CLAIMED: Failure = Failure::new(Reason::AccountInUse, "claimed", social_error::CLAIMED);
    const OTHER: Failure = Failure::new(Reason::AccountConnectedAlready, "other", social_error::CONNECTED);
    const SECOND: Failure = Failure::new(Reason::AccountConnectedAlready, "second", social_error::CONNECTED);
    const IMMUTABLE: Failure = Failure::new(Reason::EmailImmutable, "", social_error::IMMUTABLE);
    match (aim, &known.identity) {
        (Aim::Reauthorize(account), Identity::Own(own)) if own == account => return Refresh(own.clone()),
        (Aim::Reauthorize(_), _) => return Refuse(OTHER),
        (Aim::Connect, Identity::Own(own)) => return Refresh(own.clone()),
        (Aim::Connect, Identity::Others) => return Refuse(CLAIMED),
        (Aim::Connect, Identity::Unknown) => {}
    }
    if known.address == Address::Others {
        return Refuse(CLAIMED);
    }
    // Asking for one scope more leads past the check at the start.
    if known.has_another && !rules.multiple_accounts {
        return Refuse(SECOND);
    }
    match &known.address {
        Address::Absent | Address::Others => Connect(Claim::Nothing),
        // An address that waits for a verification is verified by the provider's flag, never by its mere policy.
        Address::Own(own) => Connect(Claim::Link(own.clone(), Verify::when(trust == EmailTrust::Verified))),
        Address::Free if !rules.addresses_changeable => Refuse(IMMUTABLE),
        Address::Free => Connect(Claim::Add(Verify::when(trust.counts_as_verified()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::Rng;
    use time::macros::datetime;

    struct Fixed(u8);
    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    fn account(number: u8) -> ExternalAccountId {
        ExternalAccountId::new(datetime!(2026-11-21 12:00 UTC), &Fixed(number))
    }

    fn address() -> IdentificationId {
        IdentificationId::new(datetime!(2026-11-21 12:00 UTC), &Fixed(9))
    }

    fn identities() -> Vec<Identity> {
        vec![Identity::Unknown, Identity::Own(account(1)), Identity::Own(account(2)), Identity::Others]
    }

    fn addresses() -> Vec<Address> {
        vec![Address::Absent, Address::Own(address()), Address::Others, Address::Free]
    }

    const TRUSTS: [EmailTrust; 3] = [EmailTrust::Verified, EmailTrust::Unverified, EmailTrust::ProviderPolicy];

    /// Every combination of what can be known and allowed.
    fn every(mut check: impl FnMut(&Known, EmailTrust, Rules)) {
        for identity in identities() {
            for address in addresses() {
                for bits in 0..8_u8 {
                    let known =
                        Known { identity: identity.clone(), address: address.clone(), has_another: bits & 1 != 0 };
                    let rules = Rules { multiple_accounts: bits & 2 != 0, addresses_changeable: bits & 4 != 0 };
                    TRUSTS.iter().for_each(|trust| check(&known, *trust, rules));
                }
            }
        }
    }

    #[test]
    fn what_belongs_to_somebody_else_never_moves() {
        every(|known, trust, rules| {
            let decision = decide(&Aim::Connect, trust, known, rules);
            if known.identity == Identity::Others
                || (known.address == Address::Others && known.identity == Identity::Unknown)
            {
                assert!(
                    matches!(&decision, ConnectDecision::Refuse(why) if why.code == "oauth_identification_claimed")
                );
            }
        });
    }

    #[test]
    fn an_own_identity_is_refreshed_whatever_else_is_true() {
        every(|known, trust, rules| {
            if let Identity::Own(own) = &known.identity {
                assert_eq!(decide(&Aim::Connect, trust, known, rules), ConnectDecision::Refresh(own.clone()));
            }
        });
    }

    #[test]
    fn a_reauthorization_changes_its_own_account_or_nothing() {
        every(|known, trust, rules| {
            let decision = decide(&Aim::Reauthorize(account(1)), trust, known, rules);
            if known.identity == Identity::Own(account(1)) {
                assert_eq!(decision, ConnectDecision::Refresh(account(1)));
            } else {
                assert!(
                    matches!(decision, ConnectDecision::Refuse(why) if why.code == "oauth_account_already_connected")
                );
            }
        });
    }

    #[test]
    fn new_identity_adds_its_address_if_verified_and_allowed() {
        every(|known, trust, rules| {
            if known.identity != Identity::Unknown || known.address == Address::Others {
                return;
            }
            let decision = decide(&Aim::Connect, trust, known, rules);
            if known.has_another && !rules.multiple_accounts {
                assert!(matches!(decision, ConnectDecision::Refuse(why) if why.detail == "second"));
                return;
            }
            match &known.address {
                Address::Free if !rules.addresses_changeable => {
                    assert!(matches!(decision, ConnectDecision::Refuse(why) if why.reason == Reason::EmailImmutable));
                }
                Address::Free => {
                    let proves = Verify::when(trust != EmailTrust::Unverified);
                    assert_eq!(decision, ConnectDecision::Connect(Claim::Add(proves)));
                }
                Address::Own(own) => {
                    let proves = Verify::when(trust == EmailTrust::Verified);
                    assert_eq!(decision, ConnectDecision::Connect(Claim::Link(own.clone(), proves)));
                }
                Address::Absent | Address::Others => assert_eq!(decision, ConnectDecision::Connect(Claim::Nothing)),
            }
        });
    }
}
