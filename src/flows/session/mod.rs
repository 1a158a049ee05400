//! A session after it has begun: [`mint`] tokens, [`touch`], [`end`], and hand it to an app's server by [`handshake`].

pub mod end;
pub mod handshake;
pub mod mint;
pub mod touch;
