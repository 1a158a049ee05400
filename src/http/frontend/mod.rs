//! The frontend API: what the browser SDK calls. Answers carry the whole client.

use super::route::Route;

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
