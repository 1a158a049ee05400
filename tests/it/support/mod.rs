//! What the tests stand on: a database of their own on a throw-away server. Nothing here asserts anything.

mod db;
mod server;

pub use db::TestDb;
pub use server::scratch;
