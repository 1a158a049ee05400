//! `grant_type=authorization_code`: a code becomes a grant, an access token and a refresh token.

use super::{
    Failure, FreshAccess, Tokens, authenticate, client_secret_hashes, end_grant, hashes, lifetime, renew_secret_hash,
};
use crate::actions::{authorization_steps, signing_keys};
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::flow_log::StepName;
use crate::model::oauth::client_auth::PresentedClient;
use crate::model::oauth::grant_request::{CodeFacts, CodeRequest, Consequence, PresentedVerifier, refusal};
use crate::model::oauth::token::{Kind, Token};
use crate::model::signing_key::KeyPurpose;
use crate::store::interval;
use crate::store::oauth_applications::SecretHashes;
use crate::store::oauth_codes;
use crate::store::oauth_families::RevokedReason;
use crate::store::oauth_grants::{self, NewRefreshToken, Redemption};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

/// Redeems a code.
///
/// # Errors
/// `invalid_client`, `invalid_grant`, `invalid_target`; faults.
pub async fn redeem(ctx: &Ctx, client: &PresentedClient, request: &CodeRequest) -> Result<Tokens, Failure> {
    let outcome = try_redeem(ctx, client, request).await;
    if let Err(Failure::Refused(error)) = &outcome {
        authorization_steps::log_refused_grant(ctx, StepName::CodeFailed, &client.client_id, error);
    }
    outcome
}

async fn try_redeem(ctx: &Ctx, client: &PresentedClient, request: &CodeRequest) -> Result<Tokens, Failure> {
    // An id_token is signed after the code is consumed: keys that cannot be read must not cost the client its code.
    let key = signing_keys::find_active(ctx, KeyPurpose::IdToken).await?;
    let Some(code) = &request.code else { return Err(refused(ctx, client, request, None).await) };
    let challenge = match &request.verifier {
        PresentedVerifier::None => None,
        PresentedVerifier::Challenge(challenge) => Some(challenge.as_str()),
        // No stored challenge is empty: the statement finds nothing, the refusal says why.
        PresentedVerifier::Impossible => Some(""),
    };
    let settings = &ctx.instance.settings.oauth;
    let hashes_of_secret = client_secret_hashes(ctx, client);
    let secrets = SecretHashes::new(&hashes_of_secret);
    let access = FreshAccess::new(ctx);
    let refresh = Token::new(Kind::Refresh, lifetime::last_day(ctx.now, settings.refresh_token_lifetime), ctx.rng());
    let new_refresh = NewRefreshToken {
        day: refresh.day(),
        hash: ctx.app.ring.lookup_hash(Lookup::RefreshToken, refresh.reveal()),
        lifetime: interval::seconds(i64::from(settings.refresh_token_lifetime)),
        key_id: None,
    };
    let family = settings.refresh_family_lifetime;
    for hash in hashes(ctx, Lookup::AuthorizationCode, code) {
        let redemption = Redemption {
            client_id: &client.client_id,
            secrets: &secrets,
            day: code.day(),
            hash,
            redirect_uri: request.redirect_uri.as_deref(),
            challenge,
            resources: &request.resources,
            family_lifetime: (family > 0).then(|| interval::seconds(i64::from(family))),
        };
        let row = access.row(ctx);
        let issued = oauth_grants::redeem(&mut ctx.db(), &redemption, &row, &new_refresh).await?;
        if let Some(issued) = issued {
            renew_secret_hash(ctx, client, &hashes_of_secret).await;
            let scopes = issued.scopes.clone();
            authorization_steps::log_redeemed(ctx, issued.flow_id.as_ref(), &scopes);
            let tokens = Tokens::new(ctx, access.token, refresh, scopes);
            return tokens.answer(ctx, &client.client_id, &issued, key.as_deref());
        }
    }
    Err(refused(ctx, client, request, Some(code)).await)
}

/// Why a code was not redeemed, reported in the order of the specification; what follows from it is done here.
async fn refused(ctx: &Ctx, client: &PresentedClient, request: &CodeRequest, code: Option<&Token>) -> Failure {
    match find_refusal(ctx, client, request, code).await {
        Ok(failure) | Err(failure) => failure,
    }
}

async fn find_refusal(
    ctx: &Ctx,
    client: &PresentedClient,
    request: &CodeRequest,
    code: Option<&Token>,
) -> Result<Failure, Failure> {
    authenticate(ctx, client).await?;
    let mut found = None;
    for hash in code.iter().flat_map(|code| hashes(ctx, Lookup::AuthorizationCode, code)) {
        let day = code.map_or(0, Token::day);
        let state = oauth_codes::state(&mut ctx.db(), &client.client_id, day, &hash).await?;
        if let Some(state) = state {
            if state.is_own {
                authorization_steps::resume_grant(ctx, state.flow_id.as_ref());
            }
            found = Some((day, hash, state));
            break;
        }
    }
    let facts = found.as_ref().map(|(_, _, state)| CodeFacts {
        is_own: state.is_own,
        is_consumed: state.is_consumed,
        is_expired: state.is_expired,
        failures: state.failures,
        redirect_uri: &state.redirect_uri,
        challenge: state.challenge.as_deref(),
        resources: &state.resources,
    });
    let (error, consequence) = refusal(request, facts);
    if let Some((day, hash, state)) = &found {
        apply_consequence(ctx, consequence, *day, hash, state).await?;
    }
    Ok(error.into())
}

async fn apply_consequence(
    ctx: &Ctx,
    consequence: Consequence,
    day: i32,
    hash: &LookupHash,
    state: &oauth_codes::CodeState,
) -> Result<(), Failure> {
    match consequence {
        Consequence::Nothing => {}
        Consequence::CountFailure => oauth_codes::count_failure(&mut ctx.db(), day, hash).await?,
        Consequence::RevokeGrant => {
            transact(ctx.db(), "grant.revoke_replayed", |tx| {
                async move {
                    end_grant(ctx, tx, &state.grant_id, &state.user_id, RevokedReason::CodeReplay)
                        .await
                        .map_err(Aborted::Error)?;
                    Ok(Committed::Done(()))
                }
                .scope_boxed()
            })
            .await?;
        }
    }
    Ok(())
}
