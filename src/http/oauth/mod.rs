//! `/oauth/*`: the authorization server's endpoints.

use super::route::Route;

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
