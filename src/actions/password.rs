//! Who knows a password. A try is counted before the hash is computed, and no connection is held meanwhile.

use std::time::Duration;

use crate::context::Ctx;
use crate::crypto::Secret;
use crate::crypto::password::{PasswordError, Place};
use crate::limits::lockout;
use crate::model::id::{ClientId, UserId};
use crate::model::password;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::settings::EnumerationProtection;
use crate::store::InstanceConnection;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{user_passwords, users};

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::unavailable(error),
            PasswordError::Digest | PasswordError::Failed => Self::internal(error),
        }
    }
}

/// How long a request waits for its refusal when there is no room in the pool that hashes. Whoever comes again at once,
/// although `Retry-After` says when to, would spend the processor time of those who hash.
const PAUSE: Duration = Duration::from_millis(250);

/// A place in the pool that hashes, to be taken before the first statement of whatever hashes: a request that finds no
/// room has cost nothing.
///
/// # Errors
/// 503 when too many wait, a quarter of a second later.
pub async fn place(ctx: &Ctx) -> Result<Place<'_>> {
    match ctx.app.passwords.place() {
        Ok(place) => Ok(place),
        Err(full) => {
            tokio::time::sleep(PAUSE).await;
            Err(full.into())
        }
    }
}

/// Checks that whoever is at `client` knows the password of `user`, and gives the digest it was compared with; `None`
/// is nobody we know, whose answer and effort are those of a wrong password.
///
/// No connection is held meanwhile, so the password may be gone by now: whatever follows from the verification asks
/// [`require_unchanged`] in its own transaction.
///
/// # Errors
/// `form_password_incorrect`, or `account_lockout_warning` with few tries left; `strategy_for_user_invalid` for a user
/// without a password, unless strangers may not learn that; `user_locked`; `too_many_requests`.
pub async fn check_password(
    ctx: &Ctx,
    place: &Place<'_>,
    user: Option<&UserId>,
    client: &ClientId,
    password: &Secret,
) -> Result<String> {
    let reserved = transact(ctx.db(), "password.reserve_guess", |tx| {
        async move {
            let mut tried = lockout::reserve(ctx, tx, user, client).await?;
            lockout::record_lock(ctx, tx, &mut tried).await?;
            let digest = user_passwords::digest(&mut *tx, user).await?;
            let digest = digest.filter(|_| !tried.is_in_vain());
            Ok(Committed::Done((tried, digest)))
        }
        .scope_boxed()
    });
    let (tried, digest): (lockout::ReservedGuess, Option<String>) = reserved.await?;
    let verdict = verdict(place, password, digest.as_deref()).await;
    let tells = ctx.instance.settings.enumeration_protection != EnumerationProtection::Strict;
    let outcome = match (verdict, digest) {
        (Ok(true), Some(digest)) => Ok(digest),
        (Ok(_), None) if user.is_some() && tells => Err(code::STRATEGY_FOR_USER_INVALID.into()),
        (Ok(_), _) => return Err(lockout::failed(ctx, &tried, incorrect()).into()),
        (Err(error), _) => Err(error.into()),
    };
    // Right, or nothing that was tried.
    let tried = &tried;
    let released = transact(ctx.db(), "password.release_guess", |tx| {
        async move {
            lockout::release(ctx, tx, tried).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    });
    released.await?;
    outcome
}

/// Whether `password` is the one of `digest`; without one it is not, after as much work.
///
/// # Errors
/// Those of [`Place::verify`].
pub async fn verdict(place: &Place<'_>, password: &Secret, digest: Option<&str>) -> Result<bool, PasswordError> {
    match digest {
        Some(digest) => place.verify(password, digest).await,
        None => place.pretend(password).await.map(|()| false),
    }
}

/// Whether `digest` is still the password of `user`, whose row stays locked until the transaction ends: somebody who
/// took the account over meanwhile took the password away, and what it verified with it.
///
/// # Errors
/// `form_password_incorrect`; storage faults.
pub async fn require_unchanged(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    client: &ClientId,
    digest: &str,
) -> Result<()> {
    let is_there = users::lock(db, user, client).await?.is_some();
    let stored = user_passwords::digest(&mut *db, Some(user)).await?;
    if is_there && stored.as_deref() == Some(digest) { Ok(()) } else { Err(incorrect().into()) }
}

/// A password that is not the user's.
pub fn incorrect() -> Problem {
    Problem::new(code::FORM_PASSWORD_INCORRECT).param("password").because(Reason::CredentialsWrong, "password")
}

/// The digest of a new password of somebody who is known by `identifiers`, once it is one that is allowed.
///
/// # Errors
/// `form_param_value_disabled` where there are no passwords; what [`password::check`] refuses; 503 when too many wait.
pub async fn choose(ctx: &Ctx, chosen: &str, identifiers: &[&str]) -> Result<String> {
    let rules = &ctx.instance.settings.attributes.password;
    if !rules.is_enabled() {
        return Err(Problem::new(code::FORM_PARAM_VALUE_DISABLED).param("password").into());
    }
    replacement(ctx, &place(ctx).await?, chosen, None, identifiers).await
}

/// The digest of a password that takes the place of `old`; also where people can no longer choose to have one, since
/// whoever has one must be able to change it.
///
/// # Errors
/// What [`password::check`] refuses; `form_new_password_matches_current`.
pub async fn replacement(
    ctx: &Ctx,
    place: &Place<'_>,
    chosen: &str,
    old: Option<&str>,
    identifiers: &[&str],
) -> Result<String> {
    password::check(chosen, &ctx.instance.settings.attributes.password, identifiers)?;
    let chosen = Secret::from(chosen.to_owned());
    if let Some(old) = old
        && place.verify(&chosen, old).await?
    {
        return Err(Problem::new(code::FORM_NEW_PASSWORD_MATCHES_CURRENT).param("password").into());
    }
    Ok(place.hash(ctx.rng(), &chosen).await?)
}
