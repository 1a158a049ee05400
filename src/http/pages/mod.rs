//! Pages that people see: rendered on the server, without inline script or style, working without JavaScript.
//!
//! A page is a view struct with a template beside it (`templates/`), words in `messages/en.toml`, and [`shell::page`],
//! which gives the answer its headers. Handlers call flows and plain reads of the store and decide nothing. A state of a
//! step lives in the attempt, never in a hidden field; every form carries [`csrf`]; every target of a redirect or a
//! form was validated ([`landing`], [`policy::FormTarget`]). How to add one: docs/add-a-page.md.

pub mod assets;
mod attempt;
mod beyond;
mod by_hand;
pub mod code_view;
mod connections;
pub mod connections_view;
pub mod consent;
pub mod csrf;
mod dev;
pub mod dev_view;
pub mod error;
mod factor_one;
pub mod fields_view;
pub mod flow_document;
mod flows;
pub mod flows_view;
pub mod inbox;
mod kinds;
pub mod landing;
pub mod link;
pub mod messages;
pub mod notice;
pub mod onward;
pub mod outcome;
pub mod policy;
pub mod popup;
pub mod reasons;
mod reset;
pub mod reset_view;
mod reverify;
pub mod shell;
pub mod sign_in;
mod sign_up_steps;
pub mod start;
mod start_page;
mod steps;
pub mod token_health;
mod user;
pub mod user_view;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod gallery;
#[cfg(test)]
mod gallery_steps;
#[cfg(test)]
mod markup;

use super::route::Route;

/// The routes of this folder.
pub fn routes() -> Vec<Route> {
    let mut routes = assets::routes();
    routes.extend(sign_in::routes());
    routes.extend(user::routes());
    routes.extend(connections::routes());
    routes.extend(dev::routes());
    routes.extend(inbox::routes());
    routes.extend(link::routes());
    routes.extend(factor_one::routes());
    routes.extend(sign_up_steps::routes());
    routes.extend(flows::routes());
    routes.extend(popup::routes());
    routes.extend(reset::routes());
    routes.extend(reverify::routes());
    routes
}
