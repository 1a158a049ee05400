//! How often what may happen: rates counted in memory, exact ones counted in the database ([`exact`]), and accounts that
//! lock after too many failures ([`lockout`]). What is counted where, for whom, at which rate and with which refusal is
//! one [`table`]; [`rows`] says which rows of the database these rates keep in bounds.
//!
//! May be named by `actions`, `simulator` and what stands above. The statements are in
//! [`store::rate_limits`](crate::store::rate_limits), [`store::lockouts`](crate::store::lockouts) and, together with the
//! guess that they count, [`store::password_sign_ins`](crate::store::password_sign_ins); what can be set is declared in
//! [`config::limits`](crate::config::limits).

pub mod exact;
mod keys;
pub mod lockout;
pub mod rows;
pub mod table;

use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

pub use keys::address_key;
pub use table::{Exact, Limit};

use crate::context::Ctx;
use crate::model::problem::{Problem, code};
use crate::model::reason::Reason;
use table::Per;

/// An OAuth client as a budget knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientBudget<'a> {
    /// A client that authenticates itself: one budget, wherever it calls from.
    Authenticated(&'a str),
    /// A client that anybody can name: a budget per address, so that a stranger does not spend another's.
    Named(&'a str, Option<IpAddr>),
}

/// Spends one request. What is counted per OAuth client is spent by its handler, which finds the client out.
///
/// # Errors
/// `too_many_requests` with the seconds to wait.
pub fn spend(ctx: &Ctx, limit: Limit) -> Result<(), Problem> {
    let Some((rate, per)) = limit.line(ctx) else { return Ok(()) };
    let key = match per {
        Per::Address => address_key(ctx.from.ip),
        Per::Instance => String::new(),
        Per::Client => return Ok(()),
    };
    ctx.app.counts.spend((ctx.instance_id(), limit, key), rate).map_err(wait)
}

/// Whether an OAuth client has something left; nothing is spent before it has authenticated itself.
///
/// # Errors
/// `too_many_requests` with the seconds to wait.
pub fn admit_client(ctx: &Ctx, client: ClientBudget<'_>) -> Result<(), Problem> {
    ctx.app.counts.look(client_key(ctx, client), ctx.app.rates.oauth_client).map_err(wait)
}

/// Spends one request of an OAuth client.
///
/// # Errors
/// `too_many_requests` with the seconds to wait.
pub fn spend_client(ctx: &Ctx, client: ClientBudget<'_>) -> Result<(), Problem> {
    ctx.app.counts.spend(client_key(ctx, client), ctx.app.rates.oauth_client).map_err(wait)
}

/// Counts a failed client authentication, per client and address.
///
/// # Errors
/// `too_many_requests` with the seconds to wait.
pub fn spend_client_failure(ctx: &Ctx, client_id: &str) -> Result<(), Problem> {
    // A name longer than any of ours is somebody's invention: all such share one budget.
    let client_id = if client_id.len() <= 64 { client_id } else { "" };
    let key = (ctx.instance_id(), Limit::ClientFailure, client_id, address_key(ctx.from.ip));
    ctx.app.counts.spend(key, ctx.app.rates.client_failure).map_err(wait)
}

fn client_key<'a>(ctx: &'a Ctx, client: ClientBudget<'a>) -> impl Hash + use<'a> {
    let (client_id, address) = match client {
        ClientBudget::Authenticated(client_id) => (client_id, None),
        ClientBudget::Named(client_id, ip) => (client_id, Some(address_key(ip))),
    };
    (ctx.instance_id(), Limit::OAuthClient, client_id, address)
}

/// The refusal that asks for a wait of `time`.
fn wait(time: Duration) -> Problem {
    code::TOO_MANY_REQUESTS.because(Reason::RateLimited, "requests").retry_after(keys::seconds(time))
}
