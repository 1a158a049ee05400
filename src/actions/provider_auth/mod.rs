//! What comes back from a provider: [`callback`] takes the answer ([`callback_outcome`] has what all outcomes share).
//! Signing in and up: [`apply_decision`] writes what `model::linking` decides about the identity; [`transfer`] moves an
//! identity to the other kind of attempt; [`native`] gives the outcome to an app by a nonce. Connecting: [`connect`]
//! begins, [`connected`] ends, [`disconnect`] removes an account, [`revoke_at_provider`] revokes its tokens.
//!
//! A state is consumed before anything is believed; a provider is never asked while a connection to the database is
//! held; nothing here knows a provider by name. What attempts need too is beside this folder: how an authorization
//! begins ([`super::start_provider_auth`]), the provider's configuration and identity ([`super::configured`],
//! [`super::identity`]).

pub mod apply_decision;
pub mod callback;
pub mod callback_outcome;
pub mod connect;
pub mod connected;
pub mod disconnect;
pub mod native;
pub mod revoke_at_provider;
pub mod transfer;
