//! Types and rules. Pure: no input or output, no SQL, no HTTP framework, no clock and no randomness of its own (the
//! traits [`time::Clock`] and [`random::Rng`] are here, their implementations elsewhere).
//!
//! What must be valid exists only if it is: the types parse at the boundary, and inner code never checks again. Every
//! module above may name this one; it names nothing of ours.

pub mod client;
pub mod connecting;
pub mod defences;
pub mod email;
pub mod factor;
pub mod first_factors;
pub mod flow;
pub mod id;
pub mod instance;
pub mod linking;
pub mod native_url;
pub mod oauth;
pub mod password;
pub mod problem;
pub mod profile;
pub mod provider_authorization;
pub mod provider_config;
pub mod provider_token;
pub mod random;
pub mod reason;
pub mod redirect;
pub mod request;
pub mod search;
pub mod setting_names;
pub mod settings;
pub mod sign_in;
pub mod sign_up;
pub mod signing_key;
pub mod social_error;
pub mod strategy;
pub mod text;
pub mod text_enum;
pub mod time;
pub mod url_rules;
pub mod user;
pub mod username;
pub mod verification;

#[cfg(test)]
mod exploration;
