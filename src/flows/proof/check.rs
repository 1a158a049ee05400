//! A code comes back. The guess is counted before it is believed, by one statement, so that parallel guesses cannot
//! outrun the count.

use sqlx::PgConnection;

use crate::context::Ctx;
use crate::crypto::Lookup;
use crate::model::id::ClientId;
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::verification::{GUESSES, Role, Status};
use crate::store::verifications::{self, Asked};

/// What a guess was.
#[derive(Debug)]
pub enum Guess {
    /// Right: the proof is verified now, once.
    Right(Box<Asked>),
    /// Wrong, and counted: the caller commits before it answers with this.
    Wrong(Problem),
}

/// Checks `code` against what is asked of `owner` now. The client is the calling one: another's code is worth nothing.
///
/// # Errors
/// `verification_missing`, `verification_expired`, `verification_failed`, `verification_already_verified`: then nothing
/// was counted, because there is nothing to guess.
pub async fn check(
    ctx: &Ctx,
    db: &mut PgConnection,
    owner: &str,
    role: Role,
    client: &ClientId,
    guess: &str,
) -> Result<Guess> {
    let asked = verifications::current(&mut *db, ctx.instance_id(), owner, role).await?;
    let Some(asked) = asked.filter(|asked| asked.strategy.ends_with("_code")) else {
        return Err(code::VERIFICATION_MISSING.because(Reason::ProofDead, "none").into());
    };
    let hashes = ctx.app.ring.lookup_hashes(Lookup::OneTimeCode(asked.id.as_str()), guess);
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    match verifications::guess(db, ctx.instance_id(), &asked.id, client, &hashes, ctx.offset()).await? {
        Some(Status::Verified) => Ok(Guess::Right(Box::new(asked))),
        Some(_) => Ok(Guess::Wrong(wrong())),
        None => Err(why_not(ctx, &asked).into()),
    }
}

/// Why nothing could be guessed.
fn why_not(ctx: &Ctx, asked: &Asked) -> Problem {
    match Status::parse(&asked.status) {
        Some(Status::Verified) => code::VERIFICATION_ALREADY_VERIFIED.into(),
        Some(Status::Failed) => code::VERIFICATION_FAILED.because(Reason::ProofDead, "tries"),
        _ if asked.attempts >= GUESSES => code::VERIFICATION_FAILED.because(Reason::ProofDead, "tries"),
        _ if asked.expires_at <= ctx.moment() => code::VERIFICATION_EXPIRED.because(Reason::ProofDead, "expired"),
        // Another client's: as if nothing had been sent.
        _ => code::VERIFICATION_MISSING.because(Reason::ProofDead, "none"),
    }
}

fn wrong() -> Problem {
    Problem::new(code::FORM_CODE_INCORRECT).param("code").because(Reason::CredentialsWrong, "code")
}
