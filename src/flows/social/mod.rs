//! Back from a provider: the [`callback`] that ends a trip, whatever it was for ([`landing`] has what all ends share).
//! Signing in and up: [`settle`] writes down what a proven identity means, as `model::linking` decides; [`transfer`]
//! carries a proof to the other kind of attempt; [`native`] hands the outcome over by a nonce. Connecting: [`connect`]
//! begins, [`connected`] ends, [`disconnect`] removes an account, [`revoke`] tells its provider.
//!
//! A state is consumed before anything is believed; a provider is never asked while a connection to the database is
//! held; nothing here knows a provider by name. Where the trip begins, which providers there are and whom one proves
//! lies beside this folder, because attempts need it too: [`super::departure`], [`super::configured`],
//! [`super::identity`].

pub mod callback;
pub mod connect;
pub mod connected;
pub mod disconnect;
pub mod landing;
pub mod native;
pub mod revoke;
pub mod settle;
pub mod transfer;
