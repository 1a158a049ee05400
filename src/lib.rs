//! Vestibule: a self-hosted identity service that speaks the protocol of the Clerk SDKs. This page is the map of the
//! house: its rooms, who may name whom, what each room never does, and the way of a request through them.
//!
//! ```text
//!           browsers, SDKs, backends, OAuth clients
//!                           │
//!    cli ── server ──►    http        routes, extractors, views, pages     (knows HTTP and JSON; decides nothing)
//!               └────►    jobs        outbox worker, periodic tasks        (beside http: the other way in)
//!                           │
//!                         flows       one file per thing that people do    (decides; owns the transaction)
//!              ┌────────────┼─────────────┐
//!            model        store        upstream ◄─ simulator               (pure rules · all SQL · providers)
//!              └────────────┼─────────────┘
//!                   crypto · outbound                                       (keys and secrets · guarded egress)
//! ```
//!
//! # Arrows
//!
//! They point down only, and no two modules name each other in a circle. `tests/it/house.rs` reads every `crate::` path
//! and fails on an arrow that points up.
//!
//! | room | may name |
//! |---|---|
//! | [`http`] | `flows`, `simulator`, `model`, `crypto`; `store` for extractors (who is asking) and plain reads |
//! | [`jobs`] | `flows`, `store`, `outbound`, `crypto`, `model` |
//! | [`flows`] | `store`, `upstream`, `outbound`, `crypto`, `model` |
//! | [`simulator`] | `upstream` (descriptors), `store`, `crypto`, `model` |
//! | [`upstream`] | `outbound`, `crypto`, `model` |
//! | [`store`], [`outbound`] | `crypto`, `model` |
//! | [`crypto`] | `model` |
//! | [`model`] | nothing of ours |
//!
//! [`app`] (what all requests share), [`context`] (what one request carries) and [`limits`] (rates, and budgets counted
//! in memory) may be named by `flows`, `simulator` and the rooms above them, [`flow_log`] (what happened in a flow, written
//! off the request's path) by all of these; it names `store` and `model`. [`config`] may be named by what reads settings,
//! [`telemetry`] by what writes log lines of its own. [`embedded`] (the private PostgreSQL of `vestibule dev`) by `cli` and
//! the tests; [`cli`] and [`server`] by nobody else. The whole list is `MAY` in `tests/it/house.rs`; no modules inside a
//! room know each other in a circle either (`tests/it/circles.rs`).
//!
//! # What is always true
//!
//! - `model` never reads a clock, a random source, the database or the network: everything is handed in.
//! - `store` holds every SQL statement of a running server and decides nothing (`dev --reset` and the private PostgreSQL
//!   have their own, on other databases). Each statement names its instance, and what
//!   may happen once (a code, a state, a refresh token) is one statement that says whether it happened.
//! - `flows` never know who asks and never show anything. No database connection is held while a provider is asked.
//! - `http` handlers extract, call one flow, and show its outcome. No answer of an API is built outside `http`.
//! - `upstream` names no provider: what is special about one stands in `config/providers/<slug>.toml`.
//! - A running server asks nobody but through `outbound`, which refuses private addresses.
//! - A secret is stored as a keyed hash or sealed, never as text, and stands in no log, error or address.
//! - Time and randomness come from [`app::App`]; clippy forbids the global ones.
//! - An error is a [`Problem`](model::problem::Problem) (somebody's refusal: code, status, sentence) or a
//!   [`Fault`](model::problem::Fault) (ours: logged, and shown as nothing but the request's id). Clippy denies what panics.
//!
//! # A request's way
//!
//! [`server`] accepts the connection; `http::trace` gives the request its id and its one log line; `http::router` finds
//! the route, and `http::guard` enforces what the route declares: instance by host or by secret key, caller, origin,
//! rate limit, CORS, caching. Then the handler runs with a [`context::Ctx`].
//!
//! - **Social sign-in**: `http/frontend/sign_ins.rs` → `flows/start.rs` (redirect rules, attempt, state) → the
//!   provider → `http/frontend/oauth_callback.rs` → `flows/social/callback.rs`: the state is consumed, the code
//!   exchanged (`upstream`), `model::linking` decides, `flows/social/settle.rs` writes it in one transaction → redirect.
//! - **Password**: `http/frontend/sign_ins.rs` → `flows/sign_in/password.rs`: a place in the pool that hashes is taken
//!   before the first statement; `flows/sign_in/guess.rs` counts the guess in one statement, the hash is computed while
//!   nothing is held, and one statement begins the session → `store/password_sign_ins.rs`.
//! - **Provider token**: `http/backend/oauth_access_tokens.rs` → `flows/provider_token`: a valid one is handed out; for an
//!   expired one callers share a flight (`app/single_flight.rs`), flights of all replicas the lease in the token's row
//!   (`lease.rs`), its holder asks the provider and keeps the answer (`refresh.rs`) → `store/provider_tokens`.
//! - **Code for token**: `http/oauth/token.rs` → `flows/token/redeem_code.rs` → `store/oauth_grants.rs`: one statement
//!   consumes the code and creates the grant and its tokens.
//!
//! # Where tests live
//!
//! Unit and property tests stand beside the rules they test. `tests/it/` is one binary with a module per story that
//! starts the real server over a database of its own (`tests/it/support`); `tests/sdk/` runs the official SDKs against
//! the built program; `tests/invariants.sql` is asked after the tests that write.
//! Recipes for the commonest changes (an endpoint, a page, a provider, a table) are in `docs/`.

pub mod actions;
pub mod app;
pub mod cli;
pub mod config;
pub mod context;
pub mod crypto;
pub mod embedded;
pub mod flow_log;
pub mod http;
pub mod jobs;
pub mod limits;
pub mod model;
pub mod outbound;
pub mod server;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod upstream;
