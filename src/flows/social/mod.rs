//! Signing in and up with a provider: [`start`], [`callback`], [`transfer`]. What a proven identity means is decided by
//! `model::linking` and written down by [`settle`], whoever asks.

pub mod callback;
pub mod proof;
pub mod provider;
pub mod settle;
pub mod start;
pub mod transfer;
