//! What the tests stand on: a database of their own on a throw-away server. Nothing here asserts anything.
#![allow(dead_code, unused_imports, reason = "built ahead of the stories that use it")]

mod app;
mod browser;
mod db;
mod invariants;
mod server;

pub use app::TestApp;
pub use browser::{Answer, Browser, send};
pub use db::TestDb;
pub use server::scratch;
