//! Sign-up attempts, whatever they begin with.

pub mod finish;
