//! Everything that leaves this server: over HTTP through one guarded client, and mail ([`mail`]).
//!
//! The guard decides where a request may go (`egress_rules`), filters every DNS answer before it is connected to
//! (`resolver`, `address`), limits time, size and concurrency, and stops asking a host that keeps failing
//! (`breaker`). May name `crypto` and `model`. Never follows where it was not asked to, never hands a connection's
//! error text to its caller, and knows nothing of what the answers mean.

pub mod address;
mod breaker;
mod egress_rules;
mod exchange;
mod http;
pub mod mail;
mod resolver;

pub use egress_rules::{AllowEntry, AllowEntryError};
pub use exchange::{Failure, Redirects, Request, Response, limits};
pub use http::{Outbound, OutboundConfig, StartError, is_proxy_address};
pub use resolver::Resolver;
