//! Verification of an e-mail address: a code of six digits or a link is sent there, and whoever returns it has it.
//!
//! [`issue`] creates one (for a sign-in, a sign-up, a session, an address of a user), [`check`] counts a guess before it
//! compares it, [`delivery`] sends the message. What follows from a verification is decided by the action that asked.

pub mod check;
pub mod delivery;
pub mod issue;
mod message;
mod method;

pub use delivery::can_send;
