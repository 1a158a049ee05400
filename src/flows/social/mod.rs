//! Signing in and up with a provider: the [`callback`] that ends the trip ([`super::departure`] begins it), the [`transfer`] of its proof
//! to the other kind of attempt.
//!
//! What a proven identity ([`super::identity`]) means is decided by `model::linking` and written down by [`settle`],
//! whoever asks; [`super::configured`] says which providers an instance offers, and with which credentials. A state is consumed before anything
//! is believed; a provider is never asked while a connection to the database is held; nothing here knows a provider by
//! name.

pub mod callback;
pub mod connect;
pub mod connected;
pub mod disconnect;
pub mod landing;
pub mod native;
pub mod revoke;
pub mod settle;
pub mod transfer;
