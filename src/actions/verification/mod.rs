//! Proof of an address: a code of six digits or a link is sent there, and who brings it back has it.
//!
//! [`issue`] asks (for a sign-in, a sign-up, a session, an address of a user), [`check`] counts a guess and believes it,
//! [`delivery`] brings the message on its way. What a proof means is decided by whoever asked for it.

pub mod check;
pub mod delivery;
pub mod issue;
mod message;
mod method;

pub use delivery::can_send;
