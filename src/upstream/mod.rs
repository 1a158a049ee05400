//! Talking to providers: Google, Notion, and whatever a file in `config/providers/` or an operator describes.
//!
//! A provider is data ([`descriptor`]); the code here is the same for all of them, and names none. It builds the
//! authorization URL ([`request`]), exchanges codes and refresh tokens ([`token`]), checks id_tokens ([`oidc`]) and
//! reads a [`Profile`](crate::model::profile::Profile) out of the answers ([`profile`]).
//! May name `outbound`, `crypto`, `model`. Never touches the database and never decides what a failure means for a
//! flow: it says what happened ([`error`]) as a [`model::reason`](crate::model::reason).

mod answer;
pub mod catalogue;
pub mod custom;
pub mod descriptor;
mod document_cache;
pub mod error;
pub mod oidc;
pub mod path;
pub mod profile;
pub mod provider;
pub mod request;
pub mod revocation;
pub mod simulated;
pub mod token;
mod transport;

use crate::outbound::Outbound;
use std::sync::Arc;

/// What the calls that need more than one exchange share. Made once.
pub struct Upstream {
    /// The guarded client.
    pub outbound: Arc<Outbound>,
    /// Keys and metadata of issuers.
    pub oidc: oidc::Cache,
}

impl Upstream {
    /// Begins with nothing fetched.
    pub fn new(outbound: Arc<Outbound>) -> Self {
        Self { outbound, oidc: oidc::Cache::default() }
    }
}

#[cfg(test)]
mod tests;
