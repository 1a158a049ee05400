//! The provider's token, fresh whenever a backend asks.

mod behaviors;
mod failures;
mod health;
mod kills;
mod processes;
mod refreshing;
