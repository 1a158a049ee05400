//! A session after it has begun: [`mint`] tokens, [`touch`], [`end`], and hand it to an app's server by [`handshake`].
//! Sessions begin elsewhere, where somebody proved who they are ([`social::settle`](super::social::settle)). Every call
//! names the client token it comes with: a session's id alone never proves anything.

pub mod end;
pub mod handshake;
pub mod mint;
pub mod touch;
