//! Providers of an instance: their settings by the backend API, and what follows from them at a sign-in.

mod api;
pub mod custom;
mod github;
