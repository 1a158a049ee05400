//! The simulated providers over real HTTP, spoken to by the same adapters that speak to the real ones.

mod content;
mod faults;
mod github;
mod google;
mod mounted;
mod notion;
mod page;
mod refreshing;
mod refusals;
mod world;
