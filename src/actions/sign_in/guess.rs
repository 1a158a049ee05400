//! A guess of a password in a sign-in, on the path that almost all of them take: one statement counts it before its
//! hash is computed, and one begins the session if it was right. Where either finds anything in its way it does
//! nothing, and the steps of [`password`](super::password), one statement each, find out why and refuse.

use crate::actions::client::{self, Issued};
use crate::actions::session::begin::{self, Begin};
use crate::actions::{factors, flow_steps, record_outcome};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::limits::exact::Counter;
use crate::limits::lockout::{self, ReservedGuess};
use crate::limits::{Exact, address_key};
use crate::model::client::SignIn;
use crate::model::defences::Defences;
use crate::model::id::{ClientId, SessionActivityId, UserId};
use crate::model::problem::{Problem, Result, code};
use crate::model::settings::EnumerationProtection;
use crate::model::sign_in::{self, AttemptLife, Factor, State, Status, UserFactors};
use crate::model::strategy::Strategy;
use crate::model::time::Timestamp;
use crate::store::password_sign_ins::{self, Completion, NewGuess};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

/// A guess that is counted, and may be looked at.
pub(super) struct Guess {
    /// The client.
    pub client: ClientId,
    /// The sign-in, as it was.
    pub attempt: SignIn,
    /// The digest of the user's password, unless the guess is in vain.
    pub digest: Option<String>,
    /// What it spent.
    pub tried: ReservedGuess,
    seen: Timestamp,
}

/// A session that a guess began.
pub(super) struct Completed {
    /// The sign-in, as it is now.
    pub attempt: SignIn,
    /// The client's next token.
    pub issued: Issued,
}

/// Counts a guess of the password of the sign-in `id`; `None` if that cannot be done at once, and then nothing was
/// counted.
///
/// # Errors
/// `strategy_for_user_invalid` where a password is no factor of the account; storage faults.
pub(super) async fn count(ctx: &Ctx, token: &LookupHash, id: &str) -> Result<Option<Guess>> {
    let settings = &ctx.instance.settings;
    if !settings.attributes.password.is_enabled() {
        return Ok(None);
    }
    let counter = Counter::new(ctx, Exact::FailedProofs, &address_key(ctx.from.ip));
    let new = NewGuess {
        token,
        attempt: id,
        admits_anybody: settings.enumeration_protection == EnumerationProtection::Strict,
        lockout: settings.lockout.rule(),
        address: counter.log(),
        entry: lockout::lock_entry(ctx),
    };
    let found = password_sign_ins::count_guess(&mut ctx.db(), &new).await?;
    let Some(mut guess) = found else { return Ok(None) };
    let Some(tried) = lockout::counted(ctx, &guess, counter.clone()) else {
        if let Some(at) = guess.at {
            give_back(ctx, &ReservedGuess::of_address(counter.spent(at))).await?;
        }
        return Ok(None);
    };
    flow_steps::resume(ctx, guess.attempt.flow_id.as_ref(), guess.attempt.user_id.as_ref());
    factors::fill(ctx, &mut guess.attempt);
    if let Err(refused) =
        factors::find_factor(guess.attempt.first_factors.as_deref().unwrap_or_default(), &Strategy::Password, None)
    {
        give_back(ctx, &tried).await?;
        return Err(refused);
    }
    let digest = guess.digest.filter(|_| !tried.is_in_vain());
    Ok(Some(Guess { client: guess.client, attempt: guess.attempt, digest, tried, seen: guess.seen }))
}

/// Takes a guess back.
///
/// # Errors
/// Storage faults.
pub(super) async fn give_back(ctx: &Ctx, tried: &ReservedGuess) -> Result<()> {
    transact(ctx.db(), "sign_in.release_guess", |tx| {
        async move {
            lockout::release(ctx, tx, tried).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await
}

/// Begins the session of `user`, who guessed the password of `digest`, and takes the guess back; `None` if that cannot
/// be done at once, and then nothing was done.
///
/// # Errors
/// Storage faults.
pub(super) async fn complete(
    ctx: &Ctx,
    token: &LookupHash,
    guess: &Guess,
    user: &UserId,
    digest: &str,
) -> Result<Option<Completed>> {
    let state = State { status: guess.attempt.status, life: AttemptLife::Current, waits_for: None };
    let user_factors = UserFactors { has_password: true, second_factor: false };
    let step = sign_in::apply_factor(&state, Factor::Password, user_factors, Defences::ALL);
    if step.map(|step| step.status) != Ok(Status::Complete) {
        return Ok(None);
    }
    let (session, activity) = (begin::new_id(ctx), SessionActivityId::new(ctx.now, ctx.rng()));
    let begin = Begin { client: &guess.client, user, strategy: &Strategy::Password };
    let (issued, record) = (client::new_token(ctx), record_outcome::of_session(ctx, &session));
    let done = Completion {
        token,
        next: (&issued.hash, ctx.app.ring.first_id()),
        attempt: &guess.attempt.id,
        seen: guess.seen,
        digest,
        budget: guess.tried.budget(),
        address: guess.tried.from_address().map(|spent| spent.place(ctx)),
        session: begin::new_session(ctx, &session, &activity, &begin),
        record: &record,
    };
    let begun = match password_sign_ins::complete(&mut ctx.db(), &done).await {
        Ok(begun) => begun,
        Err(error) => match Aborted::from(error) {
            Aborted::Conflict => None,
            Aborted::Error(error) => return Err(error),
        },
    };
    let Some(identifier) = begun else { return Ok(None) };
    begin::log_session(ctx, user, &session);
    let attempt = SignIn {
        status: Status::Complete,
        identifier,
        created_session_id: Some(session),
        // Who it was for is logged while it is under way.
        user: None,
        has_password: false,
        providers: Vec::new(),
        first_factors: None,
        ..guess.attempt.clone()
    };
    Ok(Some(Completed { attempt, issued }))
}

/// The guess is wrong, and stands. Returns the refusal.
pub(super) fn refuse(ctx: &Ctx, guess: &Guess) -> Problem {
    lockout::failed(ctx, &guess.tried, crate::actions::password::incorrect())
}

/// Who a right guess was for.
///
/// # Errors
/// `sign_in_identification_or_user_deleted`.
pub(super) fn user(guess: &Guess) -> Result<&UserId> {
    Ok(guess.attempt.user_id.as_ref().ok_or(code::SIGN_IN_IDENTIFICATION_OR_USER_DELETED)?)
}
