//! Attempts that these pages begin: where somebody stands before one, how it begins, and what it asks verification of.

use super::authorization_target;
use super::redirect_params::{EntryPage, RedirectParams};
use crate::actions::client::ClientUpdate;
use crate::actions::session::end::{self, SessionsToEnd};
use crate::actions::start_provider_auth::{self, Request};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::client::{Client, Session};
use crate::model::linking::AttemptKind;
use crate::model::problem::{Error, Result};
use crate::model::redirect::MAX_LENGTH;
use crate::model::verification::Verification;
use crate::store::sessions::Ending;

/// Where somebody who comes to a start page stands.
pub enum AttemptProgress<'a> {
    /// Signed out, or one of several sessions may be added.
    Starting,
    /// Signed in, and an OAuth client wants it done again.
    TooOld(&'a Session),
    /// Signed in: one session at most, and it is there.
    Done,
}

/// Where `client` stands before the entry page's target.
pub fn progress<'a>(ctx: &Ctx, client: &'a Client, redirects: &RedirectParams) -> AttemptProgress<'a> {
    match client.active_session() {
        Some(session) if authorization_target::is_too_old(ctx, &redirects.target, session) => {
            AttemptProgress::TooOld(session)
        }
        Some(_) if ctx.instance.settings.single_session_mode => AttemptProgress::Done,
        _ => AttemptProgress::Starting,
    }
}

/// Ends the session that has to be replaced by a new sign-in, where there can be only one: it would be in the way. Now
/// and not before, so that looking at the page signs nobody out. Returns the token that counts from here on.
pub async fn end_too_old(
    ctx: &Ctx,
    token: Option<LookupHash>,
    client: &Client,
    redirects: &RedirectParams,
) -> Result<(Option<LookupHash>, Option<ClientUpdate>)> {
    let AttemptProgress::TooOld(session) = progress(ctx, client, redirects) else { return Ok((token, None)) };
    if !ctx.instance.settings.single_session_mode {
        return Ok((token, None));
    }
    let ended = end::end(ctx, token.as_ref(), SessionsToEnd::One(&session.id), Ending::Removed).await?;
    let issued = ended.as_ref().and_then(|ended| ended.issued.as_ref());
    Ok((issued.map(|issued| issued.hash).or(token), ended))
}

/// Begins an attempt of these pages: it ends at the entry page's target, or comes back to our own callback page.
/// Returns the provider's address too.
pub async fn start_attempt(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    entry: EntryPage,
    redirects: &RedirectParams,
    request: Request<'_>,
) -> Result<(ClientUpdate, String)> {
    let carried = ctx.instance.url(&redirects.carry(entry.callback_path()));
    let callback = if carried.len() > MAX_LENGTH { ctx.instance.url(entry.callback_path()) } else { carried };
    let request = Request { redirect_url: Some(&callback), complete_url: Some(&redirects.target), ..request };
    let entry = match entry {
        EntryPage::SignIn => AttemptKind::SignIn,
        EntryPage::SignUp => AttemptKind::SignUp,
    };
    let updated = start_provider_auth::start(ctx, token, entry, request).await?;
    let url = provider_verification(&updated.client).and_then(|verification| verification.external_url.clone());
    let url = url.ok_or_else(|| Error::internal("an attempt without its provider's address"))?;
    Ok((updated, url))
}

/// The verification by a provider that the client's current attempt asks for.
pub fn provider_verification(client: &Client) -> Option<&Verification> {
    let sign_in = client.sign_in.as_ref().and_then(|attempt| attempt.first_factor.as_ref());
    sign_in.or_else(|| client.sign_up.as_ref().and_then(|attempt| attempt.external_account.as_ref()))
}
