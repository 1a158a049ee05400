//! Pages that people see: rendered on the server, without inline script or style, working without JavaScript.

pub mod error;

use super::route::Route;

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
