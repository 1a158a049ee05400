//! What people do. One file = one story, readable from top to bottom; a flow owns its transaction, and waits (HTTP,
//! key generation) happen outside it. May name `store`, `upstream`, `outbound`, `crypto`, `model`.
//! Never knows who asks (API, page, command line) and never shows anything.
//!
//! With a browser: [`client`], [`attempt`] (of either kind), [`sign_in`], [`sign_up`], [`factors`], [`password`],
//! [`proof`], [`email_link`], [`session`], [`unsaved_client`] (who has done nothing yet). With a provider: [`configured`] (who it is), [`start`] (off to it),
//! [`identity`] (whom it proves), [`social`] (back from it); the first three lie below attempts, the last above them.
//! As an authorization server: [`authorize`], [`token`]. For backends: [`provider_token`], [`users`]. Administration,
//! shared by backend API and command line: [`applications`], [`instance`], [`key_ring`], [`providers`],
//! [`redirect_urls`]. Used by the others: [`record`] (audit and events), [`race`] (once more after a lost race),
//! [`exact_limits`] and [`lockout`] (guesses), [`policy`] (the rules of linking), [`flow_steps`], [`authorization_steps`],
//! [`flow_reader`] and [`replay`] (what happened in a flow), [`signing_keys`].

pub mod applications;
pub mod attempt;
pub mod authorization_steps;
pub mod authorize;
pub mod client;
pub mod configured;
pub mod conflict;
pub mod email_link;
pub mod exact_limits;
pub mod factors;
pub mod flow_reader;
pub mod flow_steps;
pub mod identity;
pub mod instance;
pub mod key_ring;
pub mod linking_policy;
pub mod lockout;
pub mod password;
pub mod provider_auth;
pub mod provider_token;
pub mod providers;
pub mod record_outcome;
pub mod redirect_urls;
pub mod replay;
pub mod session;
pub mod sign_in;
pub mod sign_up;
pub mod signing_keys;
pub mod token;
pub mod unsaved_client;
pub mod users;
pub mod verification;
