//! Our pages over real HTTP, as a browser without script meets them.

mod answers;
mod budgets;
mod clients;
mod connections;
mod forms;
mod identifier_form;
mod popup;
pub mod portal;
mod redirects;
pub mod visitor;
