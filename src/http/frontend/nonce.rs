//! `rotating_token_nonce`: a native application takes over what a browser finished for it.

use super::super::extract::{Browser, Params};
use crate::actions::client::Issued;
use crate::actions::provider_auth::native;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::limits::{self, Limit};
use crate::model::problem::Result;

/// Presents the nonce that the query carries, if it carries one: the client token that counts from here on, and the new
/// one to be handed over. A nonce that is wrong changes nothing and is no error.
///
/// # Errors
/// `too_many_requests`; storage faults.
pub async fn present(ctx: &Ctx, browser: &Browser, query: &Params) -> Result<(Option<LookupHash>, Option<Issued>)> {
    let presented = browser.hash;
    let Some(nonce) = query.text(native::NONCE) else { return Ok((presented, None)) };
    // A guess, as others are: each one that is wrong is written into the audit log.
    limits::spend(ctx, Limit::AttemptProof)?;
    match native::redeem(ctx, presented.as_ref(), nonce).await? {
        Some(issued) => Ok((Some(issued.hash), Some(issued))),
        None => Ok((presented, None)),
    }
}
