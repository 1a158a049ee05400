//! Clients that are issued and not stored. Every visit of a page needs a client, because its form's forgery check holds
//! on to one; if each visit made a row, anybody could fill the disk by asking for pages. So the first token of a client
//! says by itself which client it stands for, under a signature, and the row is made with the first thing that is worth
//! one: a sign-in or sign-up.
//!
//! The token is `<secret>.<client>.<signature>`: 256 random bits, the digits of the client's id (which tell when it was
//! issued), and a keyed hash over both and the instance. Why this is as safe as a stored one:
//!
//! - Nobody but us makes one, and a value of somebody else's choice is never stored: it is answered like no token.
//! - It authenticates nobody and opens nothing. Signing in and out replace it, as every token, so that a planted one is
//!   dead;
//!   later tokens are random and carry no signature.
//! - It is stored once: the client's id is its primary key. Afterwards only the row counts, and a token that was
//!   replaced
//!   names nobody ([`crate::actions::client`] asks whether the id was stored). It is good for a day; where a client's row
//!   is removed sooner, what comes back under its id has nothing: no session, no attempt, no account that knows it.

use crate::context::Ctx;
use crate::crypto::{CookieUse, Secret};
use crate::model::id::ClientId;
use crate::model::random;

/// How long a client may be stored after it was issued.
pub const LIFE: time::Duration = time::Duration::DAY;

/// A client of this moment and the token that stands for it.
pub fn issue(ctx: &Ctx) -> (ClientId, Secret) {
    let id = ClientId::new(ctx.now, ctx.rng());
    let secret = random::token(ctx.rng());
    let signature = ctx.app.ring.cookie_mac(CookieUse::UnsavedClient, &parts(ctx, &id, &secret));
    let token = format!("{secret}.{}.{signature}", digits(&id));
    (id, Secret::from(token))
}

/// The client that `token` stands for, if it was issued here within the last day. Asks no row: it may be stored
/// meanwhile.
pub fn verify(ctx: &Ctx, token: &str) -> Option<ClientId> {
    let (secret, rest) = token.split_once('.')?;
    let (digits, signature) = rest.split_once('.')?;
    let id = ClientId::parse(&format!("{}_{digits}", ClientId::PREFIX))?;
    let is_ours = ctx.app.ring.is_cookie_mac(CookieUse::UnsavedClient, &parts(ctx, &id, secret), signature);
    // Clocks of replicas differ, and a development instance's clock can be moved back.
    let is_young = (ctx.now - id.made_at()).abs() < LIFE;
    (is_ours && is_young).then_some(id)
}

/// True if a client will still be good when a form that is shown now is sent.
pub fn lasts(ctx: &Ctx, id: &ClientId) -> bool {
    ctx.now - id.made_at() < LIFE / 2
}

fn digits(id: &ClientId) -> &str {
    id.as_str().rsplit('_').next().unwrap_or_default()
}

fn parts<'a>(ctx: &'a Ctx, id: &'a ClientId, secret: &'a str) -> [&'a str; 3] {
    [ctx.instance_id().as_str(), id.as_str(), secret]
}
