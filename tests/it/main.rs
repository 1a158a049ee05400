//! The integration tests: one binary with a module per feature, because every further binary links for seconds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod attacks_browser;
mod attacks_http;
mod attacks_input;
mod attacks_production;
mod attacks_secrets;
mod attempts;
mod backend;
mod background;
mod circles;
mod cli;
mod conflicts;
mod database;
mod dead_path;
mod embedded;
mod enum_columns;
mod flows;
mod growth;
mod house;
mod http2_limits;
mod http_frame;
mod key_ring;
mod kills;
mod limits;
mod lockout;
mod migrations;
mod native;
mod oauth_applications;
mod oauth_authorize;
mod oauth_code;
mod oauth_consent;
mod oauth_documents;
mod oauth_refresh;
mod oauth_token_use;
mod outage;
mod pages;
mod password_sign_ins;
mod passwords;
mod provider_auth;
mod provider_tokens;
mod providers;
mod proxies;
mod races;
mod retention;
mod rolling;
mod routes;
mod row_budgets;
mod selftest;
mod sessions;
mod shapes;
mod signing_keys;
mod simulator;
mod snapshots;
mod support;
mod token_kinds;
mod unread_bodies;
mod user_lists;
mod verification;
mod visits;
