//! Social sign-in and sign-up through the frontend API, against the simulated providers.

mod attacks;
mod journeys;
mod linking;
mod starting;
