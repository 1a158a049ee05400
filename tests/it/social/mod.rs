//! Social sign-in and sign-up through the frontend API, against the simulated providers.

mod attacks;
mod hijacking;
mod journeys;
mod linking;
mod signing_up;
mod starting;
