//! HTTP: routes, extractors, views, pages. Knows paths, headers, cookies and JSON shapes; decides nothing.
//!
//! A handler extracts, calls one action, and shows its outcome. Every route is in [`router`] with its [`route::Rules`]:
//! how the caller authenticates, its rate limit, its CORS and its cache rule. [`guard`] enforces them before the handler
//! runs. The APIs: [`frontend`], [`backend`], [`oauth`], [`pages`], [`well_known`]; what they share is beside them. May
//! name `actions`, `simulator`, `model`, `crypto`, and of `store` plain reads. Never writes to the database but through
//! an action, never asks a provider.

pub mod answer;
pub mod avatar;
pub mod backend;
mod body;
mod client_address;
pub mod cookies;
pub mod cors;
pub mod deadline;
pub mod extract;
pub mod frontend;
pub mod given_up;
pub mod guard;
pub mod headers;
pub mod health;
pub mod method_override;
mod native;
pub mod not_offered;
pub mod oauth;
pub mod pages;
pub mod problem;
pub mod route;
pub mod router;
pub mod simulator;
pub mod status;
pub mod trace;
mod typed;
pub mod version;
pub mod views;
pub mod well_known;
