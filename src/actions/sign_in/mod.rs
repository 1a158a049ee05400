//! Sign-in attempts, whatever the factor.

pub mod finish;
pub mod first_factor;
mod guess;
pub mod identify;
pub mod password;
