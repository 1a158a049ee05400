//! Public documents under `/.well-known`.

use super::route::Route;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
