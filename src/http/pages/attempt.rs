//! Attempts that these pages begin: where somebody stands before one, how it begins, and what it asks proof of.

use super::beyond;
use super::landing::{Door, Landing};
use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Lookup, LookupHash};
use crate::flows::client::Acted;
use crate::flows::departure::{self, Request};
use crate::flows::session::end::{self, What};
use crate::model::client::{Client, Session};
use crate::model::linking::Started;
use crate::model::problem::{Error, Result};
use crate::model::redirect::MAX_LENGTH;
use crate::model::verification::Verification;
use crate::store::sessions::Ending;

/// Where somebody who comes to a start page stands.
pub enum Standing<'a> {
    /// Signed out, or one of several sessions may be added.
    Starting,
    /// Signed in, and an OAuth client wants it done again.
    TooOld(&'a Session),
    /// Signed in: one session at most, and it is there.
    Done,
}

/// Where `client` stands before the landing's target.
pub fn standing<'a>(ctx: &Ctx, client: &'a Client, landing: &Landing) -> Standing<'a> {
    match client.active_session() {
        Some(session) if beyond::is_too_old(ctx, &landing.target, session) => Standing::TooOld(session),
        Some(_) if ctx.instance.settings.single_session_mode => Standing::Done,
        _ => Standing::Starting,
    }
}

/// Ends the session that has to be replaced by a new sign-in, where there can be only one: it would be in the way. Now
/// and not before, so that looking at the page signs nobody out. Returns the token that counts from here on.
pub async fn end_too_old(
    ctx: &Ctx,
    token: Option<LookupHash>,
    client: &Client,
    landing: &Landing,
) -> Result<(Option<LookupHash>, Option<Acted>)> {
    let Standing::TooOld(session) = standing(ctx, client, landing) else { return Ok((token, None)) };
    if !ctx.instance.settings.single_session_mode {
        return Ok((token, None));
    }
    let ended = end::end(ctx, token.as_ref(), What::One(&session.id), Ending::Removed).await?;
    let issued = ended.as_ref().and_then(|ended| ended.issued.as_ref());
    let hash = issued.map(|token| ctx.app.ring.lookup_hash(Lookup::ClientToken, token.expose_secret()));
    Ok((hash.or(token), ended))
}

/// Begins an attempt of these pages: it ends at the landing's target, or comes back to our own callback page. Returns
/// the provider's address too.
pub async fn begin(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    door: Door,
    landing: &Landing,
    request: Request<'_>,
) -> Result<(Acted, String)> {
    let carried = ctx.instance.url(&landing.carry(door.callback_path()));
    let callback = if carried.len() > MAX_LENGTH { ctx.instance.url(door.callback_path()) } else { carried };
    let request = Request { redirect_url: Some(&callback), complete_url: Some(&landing.target), ..request };
    let started = match door {
        Door::SignIn => Started::SignIn,
        Door::SignUp => Started::SignUp,
    };
    let acted = departure::start(ctx, token, started, request).await?;
    let url = proof(&acted.client).and_then(|proof| proof.external_url.clone());
    let url = url.ok_or_else(|| Error::internal("an attempt without its provider's address"))?;
    Ok((acted, url))
}

/// The proof by a provider that the client's current attempt asks for.
pub fn proof(client: &Client) -> Option<&Verification> {
    let sign_in = client.sign_in.as_ref().and_then(|attempt| attempt.first_factor.as_ref());
    sign_in.or_else(|| client.sign_up.as_ref().and_then(|attempt| attempt.external_account.as_ref()))
}
