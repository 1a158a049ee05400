//! Pages that people see: rendered on the server, without inline script or style, working without JavaScript.
//!
//! A page is a view struct with a template beside it (`templates/`), texts in `messages/en.toml`, and [`layout::page`],
//! which gives the answer its headers. Handlers call actions and plain reads of the store and decide nothing. The
//! progress of a sign-in or sign-up is in the attempt, never in a hidden field; every form carries [`csrf`]; every target
//! of a redirect or a form was validated ([`redirect_params`], [`content_security_policy::FormTarget`]). How to add one:
//! docs/add-a-page.md.

pub mod assets;
mod attempt_progress;
mod authorization_target;
pub mod code_view;
mod connections;
pub mod connections_view;
pub mod consent;
pub mod content_security_policy;
pub mod csrf;
mod dev;
pub mod dev_view;
pub mod error;
mod error_kinds;
mod factor_one;
pub mod fields_view;
pub mod flash;
pub mod flow_document;
mod flows;
pub mod flows_view;
mod form_post;
mod identifier_form;
pub mod inbox;
pub mod layout;
pub mod link;
pub mod messages;
pub mod outcome;
mod page_request;
pub mod popup;
pub mod reasons;
pub mod redirect_page;
pub mod redirect_params;
mod reset_password;
pub mod reset_password_view;
mod reverify;
pub mod sign_in;
mod sign_up_steps;
mod start_page;
pub mod start_view;
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
    routes.extend(reset_password::routes());
    routes.extend(reverify::routes());
    routes
}
