//! What people, backends and operators do. One file is one use case, readable from top to bottom; an action owns its
//! transaction, and waits (HTTP, key generation) happen outside it. May name `store`, `upstream`, `outbound`, `crypto`,
//! `model`. Never knows which entry point called it (API, page, command line) and never renders anything.
//!
//! With a browser: [`client`], [`attempt`] (sign-in or sign-up), [`sign_in`], [`sign_up`], [`factors`], [`password`],
//! [`verification`] (codes and links by e-mail), [`email_link`], [`session`], [`unsaved_client`] (a client without a
//! row yet). With a provider: [`configured`] (the provider's configuration), [`identity`] (what the provider says about
//! a person), [`start_provider_auth`] (sends the browser there), [`provider_auth`] (the callback and what follows). As
//! an authorization server: [`authorize`], [`token`]. For backends: [`provider_token`], [`users`]. Administration,
//! shared by backend API and command line: [`applications`], [`instance`], [`key_ring`], [`providers`],
//! [`redirect_urls`]. Used by the others: [`record_outcome`] (audit and events), [`linking_policy`], [`flow_steps`] and
//! [`authorization_steps`] (write a flow's steps), [`flow_reader`] and [`replay`] (read them), [`flow_hint`] (what an operator should look at), [`signing_keys`].

pub mod applications;
pub mod attempt;
pub mod authorization_steps;
pub mod authorize;
pub mod client;
pub mod configured;
pub mod email_link;
pub mod factors;
pub mod flow_hint;
pub mod flow_reader;
pub mod flow_steps;
pub mod identity;
pub mod instance;
pub mod key_ring;
pub mod linking_policy;
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
pub mod start_provider_auth;
pub mod token;
pub mod unsaved_client;
pub mod users;
pub mod verification;
