//! Back from a provider: the [`callback`] that ends a trip, whatever it was for ([`callback_outcome`] has what all ends share).
//! Signing in and up: [`apply_decision`] writes down what a proven identity means, as `model::linking` decides; [`transfer`]
//! carries a proof to the other kind of attempt; [`native`] hands the outcome over by a nonce. Connecting: [`connect`]
//! begins, [`connected`] ends, [`disconnect`] removes an account, [`revoke`] tells its provider.
//!
//! A state is consumed before anything is believed; a provider is never asked while a connection to the database is
//! held; nothing here knows a provider by name. Where the trip begins, which providers there are and whom one proves
//! lies beside this folder, because attempts need it too: [`super::start`], [`super::configured`],
//! [`super::identity`].

pub mod apply_decision;
pub mod callback;
pub mod callback_outcome;
pub mod connect;
pub mod connected;
pub mod disconnect;
pub mod native;
pub mod revoke_at_provider;
pub mod start;
pub mod transfer;
