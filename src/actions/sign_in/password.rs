//! A sign-in by password, and the new password of somebody who verified who they are.

use super::finish::{self, Finished, PresentedFactor, SignInAttempt};
use super::first_factor::{closed, current};
use super::guess;
use super::identify::{self, Identify};
use crate::actions::client::{self, ClientUpdate};
use crate::actions::{attempt, factors, flow_steps, password, users};
use crate::context::Ctx;
use crate::crypto::password::Place;
use crate::crypto::{LookupHash, Secret};
use crate::model::client::SignIn;
use crate::model::id::UserId;
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::sign_in::Status;
use crate::model::strategy::Strategy;
use crate::model::verification::LIFE;
use crate::store::attempts::CompletedBy;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{clients, sign_ins, user_passwords};

/// A sign-in after its password was looked at.
pub struct SignInUpdate {
    /// The client.
    pub updated: ClientUpdate,
    /// The sign-in, which may be over and gone from the client.
    pub attempt: SignIn,
}

/// A sign-in with identifier and password at once.
///
/// # Errors
/// Those of [`identify::identify`] and [`attempt`].
pub async fn begin(ctx: &Ctx, token: Option<&LookupHash>, identifier: &str, typed: &str) -> Result<SignInUpdate> {
    let place = password::place(ctx).await?;
    let asked = Identify { identifier, sign_up_if_missing: false, prepare: None };
    let (id, issued) = identify::begin(ctx, token, asked).await?;
    let token = issued.as_ref().map(|issued| &issued.hash).or(token);
    let mut done = guess_at(ctx, place, token, id.as_str(), typed).await?;
    done.updated.issued = done.updated.issued.or(issued);
    Ok(done)
}

/// Goes on with a sign-in if `typed` is the user's password.
///
/// # Errors
/// Those of the attempt ([`current`]); `strategy_for_user_invalid`; those of [`password::place`] and
/// [`password::check_password`]; `user_locked` and `user_banned` after the verification.
pub async fn attempt(ctx: &Ctx, token: Option<&LookupHash>, id: &str, typed: &str) -> Result<SignInUpdate> {
    guess_at(ctx, password::place(ctx).await?, token, id, typed).await
}

async fn guess_at(
    ctx: &Ctx,
    place: Place<'_>,
    token: Option<&LookupHash>,
    id: &str,
    typed: &str,
) -> Result<SignInUpdate> {
    let typed = Secret::from(typed.to_owned());
    let counted = match token {
        Some(token) => guess::count(ctx, token, id).await?.map(|guess| (token, guess)),
        None => None,
    };
    let Some((token, guess)) = counted else { return step_by_step(ctx, place, token, id, &typed).await };
    let verdict = password::verdict(&place, &typed, guess.digest.as_deref()).await;
    drop(place);
    let digest = match (verdict, &guess.digest) {
        (Ok(true), Some(digest)) => digest,
        (Ok(_), _) => return Err(guess::refuse(ctx, &guess).into()),
        (Err(error), _) => {
            guess::give_back(ctx, &guess.tried).await?;
            return Err(error.into());
        }
    };
    flow_steps::log_verification(ctx, &Strategy::Password);
    let user = guess::user(&guess)?;
    if let Some(done) = guess::complete(ctx, token, &guess, user, digest).await? {
        let updated = client::read_updated(ctx, Some(token), Some(done.issued)).await?;
        return Ok(SignInUpdate { updated, attempt: done.attempt });
    }
    guess::give_back(ctx, &guess.tried).await?;
    let updated = continue_sign_in(ctx, Some(token), id, user, Known::Verified(digest)).await?;
    read_attempt(ctx, updated, id).await
}

/// The same one statement after the other, each of which says what is in the way.
async fn step_by_step(
    ctx: &Ctx,
    place: Place<'_>,
    token: Option<&LookupHash>,
    id: &str,
    typed: &Secret,
) -> Result<SignInUpdate> {
    let (attempt, client) = transact(ctx.db(), "sign_in.read_for_password", |tx| {
        async move {
            let (client, attempt) = current(ctx, tx, token, id).await?;
            Ok(Committed::Done((attempt, client)))
        }
        .scope_boxed()
    })
    .await?;
    factors::find_factor(attempt.first_factors.as_deref().unwrap_or_default(), &Strategy::Password, None)?;
    let user = attempt.user_id.as_ref();
    let digest = password::check_password(ctx, &place, user, &client, typed).await?;
    drop(place);
    flow_steps::log_verification(ctx, &Strategy::Password);
    let user = user.ok_or(code::SIGN_IN_IDENTIFICATION_OR_USER_DELETED)?;
    let updated = continue_sign_in(ctx, token, id, user, Known::Verified(&digest)).await?;
    read_attempt(ctx, updated, id).await
}

async fn read_attempt(ctx: &Ctx, updated: ClientUpdate, id: &str) -> Result<SignInUpdate> {
    let attempt = attempt::sign_in(ctx, &updated.client, id).await?;
    Ok(SignInUpdate { updated, attempt })
}

/// Sets the new password that a sign-in waits for, and goes on with it. Whoever else is signed in to the account is not
/// any more: that is what one changes a password for.
///
/// # Errors
/// `resource_not_found`; `verification_missing` for an attempt that does not wait for it; `verification_expired` ten
/// minutes after the verification; those of [`password::place`] and [`password::replacement`]; those of the sign-in
/// that goes on.
pub async fn reset(ctx: &Ctx, token: Option<&LookupHash>, id: &str, chosen: &str) -> Result<ClientUpdate> {
    let place = password::place(ctx).await?;
    let attempt = waiting_for_password(ctx, token, id).await?;
    let user = attempt.user.as_ref().ok_or(code::SIGN_IN_IDENTIFICATION_OR_USER_DELETED)?;
    let mut names: Vec<&str> = user.emails().map(|address| address.value.as_str()).collect();
    names.extend(user.username.as_deref());
    let old = user_passwords::digest(&mut ctx.db(), Some(&user.id)).await?;
    let digest = password::replacement(ctx, &place, chosen, old.as_deref(), &names).await?;
    drop(place);
    continue_sign_in(ctx, token, id, &user.id, Known::Chosen(&digest)).await
}

async fn waiting_for_password(ctx: &Ctx, token: Option<&LookupHash>, id: &str) -> Result<SignIn> {
    let other = || code::RESOURCE_NOT_FOUND.because(Reason::AttemptOtherClient, "read");
    let token = token.ok_or_else(other)?;
    let found = transact(ctx.db(), "sign_in.read_for_reset", |tx| {
        async move {
            let client = clients::lock_by_token(tx, token).await?.ok_or_else(other)?;
            let found = sign_ins::of_client(&mut *tx, &client, id).await?.ok_or_else(other)?;
            Ok(Committed::Done(found))
        }
        .scope_boxed()
    })
    .await?;
    flow_steps::resume(ctx, found.attempt.flow_id.as_ref(), found.attempt.user_id.as_ref());
    if found.is_replaced || found.is_abandoned || found.attempt.status != Status::NeedsNewPassword {
        return Err(code::VERIFICATION_MISSING.because(Reason::ProofDead, "none").into());
    }
    // Whoever finds the page open later has verified nothing.
    if found.updated_at + LIFE <= ctx.moment() {
        return Err(code::VERIFICATION_EXPIRED.because(Reason::ProofDead, "expired").into());
    }
    Ok(found.attempt)
}

/// The digest of a password that its user knows.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// Typed, and compared with this one.
    Verified(&'a str),
    /// Chosen now; to be stored.
    Chosen(&'a str),
}

/// From the verification to what comes next, in one transaction.
async fn continue_sign_in(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &str,
    user: &UserId,
    known: Known<'_>,
) -> Result<ClientUpdate> {
    let token = token.ok_or(code::RESOURCE_NOT_FOUND)?;
    let went = transact(ctx.db(), "sign_in.password", |tx| {
        async move {
            let locked = clients::lock_by_token(tx, token).await?;
            let client = locked.ok_or_else(|| Problem::new(code::RESOURCE_NOT_FOUND))?;
            let mut change = tx.begin().await?;
            let db = &mut change.connection();
            let factor = match known {
                Known::Verified(digest) => {
                    password::require_unchanged(db, user, &client, digest).await?;
                    PresentedFactor::Password
                }
                Known::Chosen(digest) => {
                    users::reset_password(ctx, db, user, (&client, id), digest).await?;
                    PresentedFactor::NewPassword
                }
            };
            let attempt = SignInAttempt { id, client: &client, by: CompletedBy::Call };
            let finished = finish::apply_first_factor(ctx, &mut change.connection(), &attempt, factor).await?;
            if let Finished::Closed(user_status, user) = finished {
                // The password stays as it was; that somebody was refused is recorded.
                change.rollback().await?;
                return Ok(Committed::Refused(closed(ctx, tx, user_status, &user).await?));
            }
            change.commit().await?;
            Ok(Committed::Done(match finished {
                Finished::Complete(issued) => Some(issued),
                Finished::Waits(_) | Finished::Closed(..) => None,
            }))
        }
        .scope_boxed()
    });
    client::read_updated(ctx, Some(token), went.await?).await
}
