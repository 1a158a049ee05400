//! What people do. One file = one story, readable from top to bottom; a flow owns its transaction, and waits (HTTP,
//! key generation) happen outside it. May name `store`, `upstream`, `outbound`, `crypto`, `model`.
//! Never knows who asks (API, page, command line) and never shows anything.
//!
//! With a browser: [`client`], [`social`], [`sign_in`], [`sign_up`], [`proof`], [`attempt`], [`session`]. As an
//! authorization server: [`authorize`],
//! [`token`]. For backends: [`provider_token`]. Administration, shared by backend API and command line:
//! [`applications`], [`instance`], [`key_ring`], [`providers`], [`redirect_urls`]. Used by the others:
//! [`record`] (audit and events),
//! [`race`], [`timeline`], [`oauth_timeline`], [`inspector`] and [`replay`] (what happened in a flow), [`signing_keys`].

pub mod applications;
pub mod attempt;
pub mod authorize;
pub mod client;
pub mod email_link;
pub mod exact_limits;
pub mod factors;
pub mod inspector;
pub mod instance;
pub mod key_ring;
pub mod lockout;
pub mod oauth_timeline;
pub mod password;
pub mod policy;
pub mod proof;
pub mod provider_token;
pub mod providers;
pub mod race;
pub mod record;
pub mod redirect_urls;
pub mod replay;
pub mod session;
pub mod sign_in;
pub mod sign_up;
pub mod signing_keys;
pub mod social;
pub mod timeline;
pub mod token;
pub mod users;
