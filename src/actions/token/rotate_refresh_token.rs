//! `grant_type=refresh_token`: the live token of a family becomes the next one, and only once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{
    Failure, FreshAccess, Tokens, authenticate, client_secret_hashes, end_grant, hashes, lifetime, renew_secret_hash,
};
use crate::actions::{authorization_steps, signing_keys};
use crate::context::Ctx;
use crate::crypto::{Lookup, SigningKey};
use crate::flow_log::StepName;
use crate::model::oauth::client_auth::PresentedClient;
use crate::model::oauth::family::{FamilyFacts, NOT_LIVE, REUSED, Verdict, verdict};
use crate::model::oauth::grant_request::RefreshRequest;
use crate::model::oauth::resource::check_within;
use crate::model::oauth::token::{Kind, Token};
use crate::model::problem::Error;
use crate::model::signing_key::KeyPurpose;
use crate::store::InstanceConnection;
use crate::store::interval;
use crate::store::oauth_applications::SecretHashes;
use crate::store::oauth_families::{self, Family, RevokedReason};
use crate::store::oauth_grants::{self, NewRefreshToken, Rotation};

/// Rotates a refresh token.
///
/// The successor is derived from the token itself, so a repetition within the grace window is answered with the same
/// one: a lost answer signs nobody out, and there is never a second branch that would blind reuse detection.
///
/// # Errors
/// `invalid_client`, `invalid_grant`, `invalid_scope`, `invalid_target`; faults.
pub async fn rotate(ctx: &Ctx, client: &PresentedClient, request: &RefreshRequest) -> Result<Tokens, Failure> {
    let outcome = try_rotate(ctx, client, request).await;
    if let Err(Failure::Refused(error)) = &outcome {
        authorization_steps::log_refused_grant(ctx, StepName::RefreshFailed, &client.client_id, error);
    }
    outcome
}

async fn try_rotate(ctx: &Ctx, client: &PresentedClient, request: &RefreshRequest) -> Result<Tokens, Failure> {
    // The id_token is signed after the rotation: keys that cannot be read must not cost the client its token.
    let key = signing_keys::find_active(ctx, KeyPurpose::IdToken).await?;
    let Some(token) = &request.refresh_token else {
        authenticate(ctx, client).await?;
        return Err(NOT_LIVE.into());
    };
    let ring = &ctx.app.ring;
    let lifetime = ctx.instance.settings.oauth.refresh_token_lifetime;
    let day = crate::model::time::epoch_day(lifetime::last_day(ctx.now, lifetime));
    let next = successor(ctx, ring.first_id(), day, token)?;
    let new_refresh = NewRefreshToken {
        day,
        hash: ring.lookup_hash(Lookup::RefreshToken, next.reveal()),
        lifetime: interval::seconds(i64::from(lifetime)),
        key_id: Some(ring.first_id()),
    };
    let hashes_of_secret = client_secret_hashes(ctx, client);
    let secrets = SecretHashes::new(&hashes_of_secret);
    let access = FreshAccess::new(ctx);
    for hash in hashes(ctx, Lookup::RefreshToken, token) {
        let rotation = Rotation {
            client_id: &client.client_id,
            secrets: &secrets,
            day: token.day(),
            hash,
            scopes: request.scopes.as_ref(),
            resources: &request.resources,
        };
        let row = access.row(ctx);
        let issued = oauth_grants::rotate(&mut ctx.db(), &rotation, &row, &new_refresh).await?;
        if let Some(issued) = issued {
            renew_secret_hash(ctx, client, &hashes_of_secret).await;
            authorization_steps::log_refreshed(ctx, issued.flow_id.as_ref(), false);
            let scopes = request.scopes.clone().unwrap_or_else(|| issued.scopes.clone());
            let tokens = Tokens::new(ctx, access.token, next, scopes);
            return tokens.answer(ctx, &client.client_id, &issued, key.as_deref());
        }
    }
    explain_unrotated(ctx, client, request, token, key.as_deref()).await
}

/// The one successor of `token` under a key of the ring.
fn successor(ctx: &Ctx, key_id: &str, day: i32, token: &Token) -> Result<Token, Failure> {
    let bytes = ctx.app.ring.refresh_successor(key_id, token.reveal()).ok_or(NOT_LIVE)?;
    Ok(Token::with_tail(Kind::Refresh, day, &URL_SAFE_NO_PAD.encode(bytes)))
}

/// A token that did not rotate: decides under the family's lock between a repetition, theft and a plain refusal.
async fn explain_unrotated(
    ctx: &Ctx,
    client: &PresentedClient,
    request: &RefreshRequest,
    token: &Token,
    key: Option<&SigningKey>,
) -> Result<Tokens, Failure> {
    authenticate(ctx, client).await?;
    let mut db = ctx.db();
    let mut transaction = db.begin().await?;
    let tx = &mut transaction.connection();
    let family = lock(ctx, tx, client, token).await?;
    if let Some(family) = family.as_ref().filter(|family| family.is_own) {
        authorization_steps::resume_grant(ctx, family.issued.flow_id.as_ref());
    }
    let facts = family.as_ref().map(|family| facts(family, request));
    let now = family.as_ref().map_or(ctx.now, |family| family.now);
    let grace = ctx.instance.settings.oauth.refresh_grace;
    let family = match (verdict(facts, grace, now), family) {
        (Verdict::Refused(error), _) => return Err(error.into()),
        (_, None) => return Err(NOT_LIVE.into()),
        (Verdict::SameSuccessor, Some(family)) => family,
        (Verdict::Reuse, Some(family)) => {
            let issued = &family.issued;
            end_grant(ctx, tx, &issued.grant_id, &issued.subject.user_id, RevokedReason::RefreshReuse).await?;
            transaction.commit().await?;
            return Err(REUSED.into());
        }
    };
    let key_id = family.live_key_id.as_deref().ok_or_else(|| Error::internal("a rotated family without key"))?;
    let next = successor(ctx, key_id, family.live_day, token)?;
    let access = FreshAccess::new(ctx);
    let scopes = request.scopes.clone().unwrap_or_else(|| family.issued.scopes.clone());
    let audience = if request.resources.is_empty() { &family.resources } else { &request.resources };
    let (grant, row) = (&family.issued.grant_id, access.row(ctx));
    oauth_families::insert_access_token(tx, grant, &row, &scopes, audience).await?;
    transaction.commit().await?;
    authorization_steps::log_refreshed(ctx, family.issued.flow_id.as_ref(), true);
    Tokens::new(ctx, access.token, next, scopes).answer(ctx, &client.client_id, &family.issued, key)
}

async fn lock(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &PresentedClient,
    token: &Token,
) -> Result<Option<Family>, Failure> {
    for hash in hashes(ctx, Lookup::RefreshToken, token) {
        let day = token.day();
        let family = oauth_families::lock(db, &client.client_id, day, &hash).await?;
        if family.is_some() {
            return Ok(family);
        }
    }
    Ok(None)
}

fn facts(family: &Family, request: &RefreshRequest) -> FamilyFacts {
    FamilyFacts {
        is_own: family.is_own,
        is_revoked: family.is_revoked,
        family_expires_at: family.expires_at,
        token_expires_at: family.token_expires_at,
        generation: family.generation,
        live_generation: family.live_generation,
        live_since: family.live_since,
        user_is_active: family.user_is_active,
        scope_is_granted: request.scopes.as_ref().is_none_or(|scopes| scopes.is_within(&family.issued.scopes)),
        resources_are_granted: check_within(&request.resources, &family.resources).is_ok(),
    }
}
