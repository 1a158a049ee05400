//! The defences between an attacker and somebody else's account, by name, so that tests of the rules can take one away
//! and see what breaks. A running server has all of them: [`Defences::ALL`].

/// Which defences stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Defences {
    /// A provider whose claim about addresses is not trusted verifies none.
    pub only_trusted_words: bool,
    /// A user who never verified the address is not taken for its owner, even if the provider vouches for the person.
    pub hostile_until_verified: bool,
    /// An unverified claim of a user who has verified another address leads to nobody.
    pub somebody_else_keeps_out: bool,
    /// An account waits for the verification of the very address that its provider named.
    pub verification_of_that_address: bool,
    /// A new user's address counts as verified only when somebody verified it.
    pub verified_at_sign_up: bool,
    /// Whoever verifies an unverified claim ends the sessions that were there before.
    pub ends_sessions: bool,
    /// The same removes the external accounts that were there before.
    pub removes_accounts: bool,
    /// The same removes the password that was there before.
    pub removes_password: bool,
    /// The same revokes what OAuth applications were granted before.
    pub revokes_grants: bool,
}

impl Defences {
    /// All of them: what a server runs with.
    pub const ALL: Self = Self {
        only_trusted_words: true,
        hostile_until_verified: true,
        somebody_else_keeps_out: true,
        verification_of_that_address: true,
        verified_at_sign_up: true,
        ends_sessions: true,
        removes_accounts: true,
        removes_password: true,
        revokes_grants: true,
    };
}
