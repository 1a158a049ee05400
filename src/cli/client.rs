//! The command line's own HTTP client, for servers whose address the operator typed.

use std::time::Duration;

use super::failure::Failure;

/// A client that follows no redirects and keeps no cookies. Not guarded: asking a server of ours on a private address
/// is what it is for, and nobody but the operator says which.
#[expect(clippy::disallowed_methods, reason = "asks a server of ours at an address that the operator typed")]
pub fn new(timeout: Duration) -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(timeout)
        .build()
        .map_err(|error| Failure::failed(format!("the HTTP client does not start: {error}")))
}

/// The last cause of an error: the one that says something.
pub fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
