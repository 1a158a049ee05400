//! Vestibule: a self-hosted identity service that speaks the protocol of the Clerk SDKs.

pub mod crypto;
pub mod model;
