//! A session: it [`begin`]s where somebody proved who they are ([`sign_in`](super::sign_in), [`sign_up`](super::sign_up));
//! [`mint`] tokens, [`touch`], [`end`], and hand it to an app's server by [`handshake`].
//! Every call names the client token it comes with: a session's id alone never proves anything.

pub mod active;
pub mod begin;
pub mod end;
pub mod handshake;
pub mod mint;
pub mod reverify;
pub mod touch;
