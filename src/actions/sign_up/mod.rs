//! Sign-up attempts, whatever they begin with.

pub mod change;
pub mod finish;
pub mod transfer_verification;
pub mod verify;
