//! What the tests stand on: a database of their own on a throw-away server. Nothing here asserts anything.

mod app;
pub mod browser;
pub mod cost;
mod db;
pub mod forwarder;
mod invariants;
pub mod issuer;
pub mod oauth;
pub mod person;
pub mod processes;
pub mod program;
pub mod retention;
pub mod rows;
mod server;
mod signed_in;
pub mod smtp;

pub use app::TestApp;
pub use browser::{Answer, Browser, send};
pub use db::TestDb;
pub use forwarder::Forwarder;
pub use server::scratch;
pub use signed_in::SignedUp;
