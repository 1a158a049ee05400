//! A code comes back. The guess is counted before it is believed, by one statement, so that parallel guesses cannot
//! outrun the count.

use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::crypto::Lookup;
use crate::limits::lockout;
use crate::model::id::{ClientId, UserId};
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::strategy::Strategy;
use crate::model::verification::{GUESSES, Role, Status};
use crate::store::InstanceConnection;
use crate::store::verifications::{self, PendingVerification};

/// What a guess was.
#[derive(Debug)]
pub enum Guess {
    /// Right: verified now, once.
    Right(Box<PendingVerification>),
    /// Wrong, and counted: the caller commits before it answers with this.
    Wrong(Problem),
}

/// Who guesses, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Guesser<'a> {
    /// The attempt, session or address that it is for.
    pub owner: &'a str,
    /// What it verifies to the owner.
    pub role: Role,
    /// By what code: one that was sent for something else is worth nothing.
    pub strategy: &'a Strategy,
    /// The calling client. Locked by the caller.
    pub client: &'a ClientId,
    /// Whose account it would open, where it is somebody's.
    pub user: Option<&'a UserId>,
}

/// Checks `code` against what is asked of `owner` now. The client is the calling one: another's code is worth nothing.
///
/// # Errors
/// `user_locked`, `too_many_requests`; `verification_missing`, `verification_expired`, `verification_failed`,
/// `verification_already_verified`: then nothing was counted, because there is nothing to guess.
pub async fn check(ctx: &Ctx, db: &mut InstanceConnection<'_>, who: &Guesser<'_>, guess: &str) -> Result<Guess> {
    let asked = verifications::current(&mut *db, who.owner, who.role).await?;
    let Some(asked) = asked.filter(|asked| asked.strategy == *who.strategy) else {
        return Err(code::VERIFICATION_MISSING.because(Reason::ProofDead, "none").into());
    };
    let hashes = ctx.app.ring.lookup_hashes(Lookup::OneTimeCode(asked.id.as_str()), guess);
    let mut hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    let mut tried = lockout::reserve(ctx, &mut *db, who.user, who.client).await?;
    if tried.is_in_vain() {
        hashes.clear();
    }
    match verifications::guess(&mut *db, &asked.id, who.client, &hashes).await? {
        Some(Status::Verified) => {
            lockout::release(ctx, db, &tried).await?;
            flow_steps::log_verification(ctx, &asked.strategy);
            Ok(Guess::Right(Box::new(asked)))
        }
        Some(_) => {
            lockout::record_lock(ctx, db, &mut tried).await?;
            Ok(Guess::Wrong(lockout::failed(ctx, &tried, wrong_code())))
        }
        None => Err(why_not(ctx, &asked).into()),
    }
}

/// Why nothing could be guessed.
fn why_not(ctx: &Ctx, asked: &PendingVerification) -> Problem {
    match asked.status {
        Status::Verified => code::VERIFICATION_ALREADY_VERIFIED.into(),
        Status::Failed => code::VERIFICATION_FAILED.because(Reason::ProofDead, "tries"),
        _ if asked.attempts >= GUESSES => code::VERIFICATION_FAILED.because(Reason::ProofDead, "tries"),
        _ if asked.expires_at <= ctx.moment() => code::VERIFICATION_EXPIRED.because(Reason::ProofDead, "expired"),
        // Another client's: as if nothing had been sent.
        _ => code::VERIFICATION_MISSING.because(Reason::ProofDead, "none"),
    }
}

fn wrong_code() -> Problem {
    Problem::new(code::FORM_CODE_INCORRECT).param("code").because(Reason::CredentialsWrong, "code")
}
