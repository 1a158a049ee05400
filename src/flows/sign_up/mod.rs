//! Sign-up attempts, whatever they begin with.

pub mod carry;
pub mod change;
pub mod finish;
pub mod verify;
