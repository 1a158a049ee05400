//! What one HTTP request says about where it comes from.

use std::net::IpAddr;

use super::id::RequestId;

/// The circumstances of a request, recorded with what it changes.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Names the request; shown as `clerk_trace_id`.
    pub request_id: RequestId,
    /// The client's address, after trusted proxies.
    pub ip: Option<IpAddr>,
    /// `User-Agent`, cut to 512 characters.
    pub user_agent: Option<String>,
    /// The `Origin` header, where it was sent.
    pub origin: Option<String>,
}
