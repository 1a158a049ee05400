//! The backend API: secret key, JSON, bare resources.

use super::route::Route;

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
