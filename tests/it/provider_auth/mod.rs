//! Social sign-in and sign-up through the frontend API, against the simulated providers.

mod added;
mod attacks;
mod claims;
pub mod connecting;
mod disconnect;
mod hijacking;
mod journeys;
pub mod linking;
mod reauthorize;
mod retention;
mod signing_up;
mod starting;
mod usernames;
