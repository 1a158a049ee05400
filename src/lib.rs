//! Vestibule: a self-hosted identity service that speaks the protocol of the Clerk SDKs. This page is the map of the
//! crate: its modules, which of them may name which, what each never does, and the path of a request through them. The
//! words are in `docs/glossary.md`.
//!
//! ```text
//!           browsers, SDKs, backends, OAuth clients
//!                           │
//!    cli ── server ──►    http        routes, extractors, views, pages     (knows HTTP and JSON; decides nothing)
//!               └────►    jobs        outbox worker, periodic tasks        (beside http: the other entry point)
//!                           │
//!                        actions      one file per use case                (decides; owns the transaction)
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
//! | module | may name |
//! |---|---|
//! | [`http`] | `actions`, `simulator`, `model`, `crypto`; `store` for extractors (which client or backend calls) and plain reads |
//! | [`jobs`] | `actions`, `store`, `outbound`, `crypto`, `model` |
//! | [`actions`] | `store`, `upstream`, `outbound`, `crypto`, `model` |
//! | [`simulator`] | `upstream` (descriptors), `store`, `crypto`, `model` |
//! | [`upstream`] | `outbound`, `crypto`, `model` |
//! | [`store`], [`outbound`] | `crypto`, `model` |
//! | [`crypto`] | `model` |
//! | [`model`] | nothing of ours |
//!
//! [`app`] (what all requests share), [`context`] (what one request carries) and [`limits`] (rates, exact limits and
//! lockout: one table of what counts where) may be named by `actions`, `simulator` and the modules above them;
//! [`flow_log`] (the recorded steps of sign-ins, sign-ups, connections and authorizations, written after the answer) by
//! all of these; it names `store` and `model`. [`config`] may be named by what reads settings, [`telemetry`] by what
//! writes log lines of its own. [`embedded`] (the private PostgreSQL of `vestibule dev`) by `cli` and the tests; [`cli`]
//! and [`server`] by nobody else. The whole list is `MAY` in `tests/it/house.rs`; inside a module no files know each
//! other in a circle either (`tests/it/circles.rs`).
//!
//! # What is always true
//!
//! - `model` never reads a clock, a random source, the database or the network: everything is a parameter.
//! - `store` holds every SQL statement of a running server and decides nothing (`dev --reset` and the private PostgreSQL
//!   have their own, on other databases). Its functions take a [`store::InstanceConnection`] first: a connection or the
//!   pool, the instance whose rows are meant, and its clock ([`context::Ctx::db`] makes one). What may happen once (a
//!   code, a state, a refresh token) is one statement that says whether it happened.
//! - A transaction of an action is run by [`store::transact::transact`]: after a conflict it runs again, so its closure
//!   has no other effect than on the database.
//! - `actions` never know which entry point called them and never render anything. No database connection is held while
//!   a provider is asked.
//! - `http` handlers extract, call one action, and show its outcome. No answer of an API is built outside `http`.
//! - `upstream` names no provider: what is special about one is in `config/providers/<slug>.toml`.
//! - A running server sends requests only through `outbound`, which refuses private addresses.
//! - A secret is stored as a keyed hash or sealed, never as text, and is in no log, error or URL.
//! - Time and randomness come from [`app::App`]; clippy forbids the global ones.
//! - An error is a [`Problem`](model::problem::Problem) (the request is refused: code and sentence) or a
//!   [`Fault`](model::problem::Fault) (ours: logged, and shown as nothing but the request's id). Clippy denies what panics.
//!
//! # The path of a request
//!
//! [`server`] accepts the connection; `http::trace` gives the request its id and its one log line; `http::router` finds
//! the route, and `http::guard` enforces what the route declares: instance by host or by secret key, caller, origin,
//! rate limit, CORS, caching. Then the handler runs with a [`context::Ctx`].
//!
//! - **Sign-in with a provider**: `http/frontend/sign_ins.rs` → `actions/start_provider_auth.rs` (redirect rules,
//!   attempt, state) → the provider → `http/frontend/oauth_callback.rs` → `actions/provider_auth/callback.rs`: the state
//!   is consumed, the code exchanged (`upstream`), `model::linking` decides, `actions/provider_auth/apply_decision.rs`
//!   writes the decision in one transaction → redirect.
//! - **Password**: `http/frontend/sign_ins.rs` → `actions/sign_in/password.rs`: a place in the pool that hashes is taken
//!   before the first statement; `actions/sign_in/guess.rs` counts the guess in one statement, the hash is computed while
//!   nothing is held, and one statement begins the session → `store/password_sign_ins.rs`.
//! - **Provider token**: `http/backend/oauth_access_tokens.rs` → `actions/provider_token`: a valid one is returned; for
//!   an expired one all callers of a process share one refresh (`app/single_flight.rs`), the refreshes of all replicas
//!   one lease in the token's row (`lease.rs`); its holder asks the provider and stores the answer (`refresh.rs`) →
//!   `store/provider_tokens`.
//! - **Authorization code grant**: `http/oauth/token.rs` → `actions/token/redeem_code.rs` → `store/oauth_grants.rs`: one
//!   statement consumes the code and creates the grant and its tokens.
//!
//! # Where tests are
//!
//! Unit and property tests are beside the rules they test. `tests/it/` is one binary with a module per feature that
//! starts the real server over a database of its own (`tests/it/support`); `tests/sdk/` runs the official SDKs against
//! the built program; `tests/invariants.sql` runs after the tests that write.
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
