//! JSON shapes of the two APIs, one file per resource: plain functions from the model to a value. Shown from the model,
//! never the other way; API versions differ only here. Never reads the database, and never shows a secret.

pub mod client;
pub mod environment;
pub mod provider_token;
pub mod reverification;
pub mod sign_in;
pub mod sign_up;
pub mod user;
pub mod verification;
