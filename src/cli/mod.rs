//! The command line.
pub mod selftest;
