//! Vestibule: a self-hosted identity service that speaks the protocol of the Clerk SDKs.

pub mod app;
pub mod cli;
pub mod config;
pub mod context;
pub mod crypto;
pub mod embedded;
pub mod flows;
pub mod http;
pub mod jobs;
pub mod limits;
pub mod model;
pub mod outbound;
pub mod server;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod upstream;
