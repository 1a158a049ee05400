//! Sign-ins that lead on to an OAuth client. The target is then our own authorization endpoint, which may send the
//! browser straight on to the client: the start page's policy has to name that place too, and a demanded new sign-in
//! has to be one.

use url::Url;

use super::content_security_policy::FormTarget;
use crate::actions::authorize;
use crate::context::Ctx;
use crate::model::client::Session;
use crate::model::oauth::parameters::Parameters;
use crate::model::oauth::redirect_uri;
use crate::model::problem::Result;
use crate::store::oauth_codes::{self, Presented};

/// The authorization endpoint and its alias.
const ENDPOINTS: [&str; 2] = ["/oauth/authorize", "/oauth/authorize-with-immediate-redirect"];

/// The authorization request that `target` is, if it is one of ours.
fn request(ctx: &Ctx, target: &str) -> Option<Parameters> {
    let url = Url::parse(target).ok()?;
    let is_ours = url.origin().ascii_serialization() == ctx.instance.origin && ENDPOINTS.contains(&url.path());
    Parameters::parse(url.query().filter(|_| is_ours)?.as_bytes()).ok()
}

/// The place beyond the authorization endpoint: the redirect URI of its request, if the client registered it.
///
/// # Errors
/// Storage faults.
pub async fn place(ctx: &Ctx, target: &str) -> Result<Option<FormTarget>> {
    let Some(request) = request(ctx, target) else { return Ok(None) };
    let Some(client_id) = request.single("client_id") else { return Ok(None) };
    let nobody = Presented::default();
    let known = oauth_codes::facts(&mut ctx.db(), client_id, nobody).await?;
    let Some(application) = known.map(|known| known.application) else { return Ok(None) };
    let matched = match request.single("redirect_uri") {
        None => application.redirect_uris.first().map(String::as_str),
        Some(uri) => {
            let matches = application.redirect_uris.iter().any(|registered| redirect_uri::matches(registered, uri));
            matches.then_some(uri)
        }
    };
    Ok(matched.and_then(FormTarget::of_redirect_uri))
}

/// True if `session` does not satisfy the new sign-in that `target` demands (`prompt=login`, `max_age`).
pub fn is_too_old(ctx: &Ctx, target: &str, session: &Session) -> bool {
    let demanded = request(ctx, target).and_then(|request| authorize::demanded_at(ctx, &request, ctx.now));
    demanded.is_some_and(|moment| session.authenticated_at <= moment)
}
