//! JSON shapes, one file per resource. Shown from the model, never the other way; API versions differ only here.

pub mod client;
pub mod environment;
pub mod sign_in;
pub mod sign_up;
pub mod user;
pub mod verification;
