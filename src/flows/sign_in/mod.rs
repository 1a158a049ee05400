//! Sign-in attempts, whatever the way in.

pub mod finish;
