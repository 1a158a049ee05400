//! A session: it [`begin`]s where somebody was authenticated ([`sign_in`](super::sign_in), [`sign_up`](super::sign_up));
//! [`mint`] makes its tokens, [`touch`], [`end`], and [`handshake`] gives it to an app's server.
//! Every call names the client token it comes with: a session's id alone authenticates nobody.

pub mod active;
pub mod begin;
pub mod end;
pub mod handshake;
pub mod mint;
pub mod reverify;
pub mod touch;
