//! The simulated providers over real HTTP, spoken to by the same adapters that speak to the real ones.

mod google;
mod mounted;
mod notion;
mod page;
mod refusals;
mod world;
