//! A link from a mail is opened: in the browser that asked for it, it finishes what waits there; in another one it
//! counts only where the instance allows that, after a button was pressed, and the first tab finishes by itself.

use crate::actions::client::{self, Issued};
use crate::actions::flow_steps;
use crate::actions::sign_in::first_factor;
use crate::actions::sign_up::verify;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::model::id::{ClientId, IdentificationId, SignInId, SignUpId};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::redirect::{CREATED_SESSION, with_query};
use crate::model::verification as model;
use crate::store::InstanceConnection;
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::verifications::{self, PendingVerification};
use crate::store::{attempts, clients, sign_ins, sign_ups};

/// A link that was found.
pub struct Link {
    /// The verification that it stands for.
    pub asked: PendingVerification,
    hash: LookupHash,
}

/// What became of it: `__clerk_status` at the address where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Verified.
    Verified,
    /// Verified, and a sign-up can take its place.
    Transferable,
    /// Too late.
    Expired,
    /// The attempt that asked for it is over.
    Failed,
    /// Opened in another browser than the one that asked.
    ClientMismatch,
}

impl Status {
    /// As the SDK reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Transferable => "transferable",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::ClientMismatch => "client_mismatch",
        }
    }
}

/// Where the browser goes from here.
pub struct LinkOutcome {
    /// What became of the link.
    pub status: Status,
    /// The address, with what the SDK reads.
    pub url: String,
    /// The client's new token, when it is signed in now.
    pub issued: Option<Issued>,
}

/// Who opens the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The client that asked for it.
    Same,
    /// Another one, and that is allowed here.
    Other,
}

/// The link that `token` names, if it can still be opened.
///
/// # Errors
/// `verification_link_token_invalid`, `verification_link_token_stale` (a newer one was sent),
/// `verification_already_verified`.
pub async fn find(ctx: &Ctx, token: &str) -> Result<Link> {
    for hash in ctx.app.ring.lookup_hashes(Lookup::EmailLink, token) {
        let Some(asked) = verifications::by_link(&mut ctx.db(), &hash).await? else { continue };
        let flow = attempts::flow_of(&mut ctx.db(), &asked.owner).await?;
        flow_steps::resume(ctx, flow.as_ref(), None);
        if asked.superseded_at.is_some() {
            return Err(code::VERIFICATION_LINK_TOKEN_STALE.because(Reason::ProofDead, "stale").into());
        }
        if asked.status != model::Status::Unverified {
            return Err(code::VERIFICATION_ALREADY_VERIFIED.into());
        }
        return Ok(Link { asked, hash });
    }
    Err(code::VERIFICATION_LINK_TOKEN_INVALID.into())
}

impl Link {
    /// Who `caller` is to this link.
    ///
    /// # Errors
    /// What became of it: opened elsewhere though that is not allowed, or too late.
    pub fn opener(&self, ctx: &Ctx, caller: Option<&ClientId>) -> std::result::Result<Opener, Status> {
        let is_same = caller.is_some() && caller == self.asked.client.as_ref();
        if !is_same && ctx.instance.settings.email.same_device {
            return Err(Status::ClientMismatch);
        }
        if self.asked.expires_at <= ctx.moment() {
            return Err(Status::Expired);
        }
        Ok(if is_same { Opener::Same } else { Opener::Other })
    }

    /// Where the browser goes with `status`.
    pub fn outcome(&self, status: Status, session: Option<&str>, issued: Option<Issued>) -> LinkOutcome {
        let url = self.asked.redirect_url.as_deref().unwrap_or("/");
        let url = with_query(url, "__clerk_status", status.as_str());
        let url = match session {
            Some(session) => with_query(&url, CREATED_SESSION, session),
            None => url,
        };
        LinkOutcome { status, url, issued }
    }

    /// The refusal of `status` for a caller that is no browser.
    pub fn refusal(&self, status: Status) -> Option<Problem> {
        let is_sign_up = self.asked.owner.starts_with(SignUpId::PREFIX);
        match status {
            Status::Verified | Status::Transferable => None,
            Status::Expired => Some(code::VERIFICATION_LINK_TOKEN_EXPIRED.because(Reason::ProofDead, "expired")),
            Status::Failed => Some(code::VERIFICATION_LINK_TOKEN_INVALID.into()),
            Status::ClientMismatch if is_sign_up => {
                Some(code::SIGN_UP_EMAIL_LINK_NOT_SAME_CLIENT.because(Reason::ProofDead, "other_browser"))
            }
            Status::ClientMismatch => {
                Some(code::SIGN_IN_EMAIL_LINK_NOT_SAME_CLIENT.because(Reason::ProofDead, "other_browser"))
            }
        }
    }
}

/// Opens the link: believed once, and then what waits for it goes on.
///
/// # Errors
/// Storage faults; refusals of the attempt become [`Status::Failed`].
pub async fn open(ctx: &Ctx, token: Option<&LookupHash>, link: &Link, opener: Opener) -> Result<LinkOutcome> {
    let opened = transact(ctx.db(), "email_link.open", |tx| {
        async move {
            let outcome = match (opener, token) {
                (Opener::Same, Some(token)) => finish(ctx, tx, token, link).await?,
                _ => link.outcome(believe(ctx, tx, link).await?, None, None),
            };
            Ok(Committed::Done(outcome))
        }
        .scope_boxed()
    });
    match opened.await {
        Ok(outcome) => Ok(outcome),
        Err(error) => failed(ctx, link, error),
    }
}

/// The attempt does not take the verification: it was replaced, abandoned, finished.
fn failed(ctx: &Ctx, link: &Link, error: Error) -> Result<LinkOutcome> {
    match error {
        Error::Problem(problem) => {
            tracing::info!(code = problem.code().name, "a link's attempt went no further");
            flow_steps::log_refusal(ctx, &problem);
            Ok(link.outcome(Status::Failed, None, None))
        }
        fault => Err(fault),
    }
}

async fn believe(ctx: &Ctx, db: &mut InstanceConnection<'_>, link: &Link) -> Result<Status, Aborted> {
    let opened = verifications::open_link(db, &link.asked.id, &link.hash).await?;
    if opened {
        flow_steps::log_verification(ctx, &link.asked.strategy);
    }
    Ok(if opened { Status::Verified } else { Status::Expired })
}

/// In the browser that asked: the verification, and what follows from it, in one transaction.
async fn finish(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: &LookupHash,
    link: &Link,
) -> Result<LinkOutcome, Aborted> {
    let client = clients::lock_by_token(&mut *db, token).await?;
    let client = client.filter(|client| Some(client) == link.asked.client.as_ref());
    let client = client.ok_or(code::CLIENT_STATE_INVALID).map_err(Problem::from)?;
    let status = believe(ctx, db, link).await?;
    if status != Status::Verified {
        return Ok(link.outcome(status, None, None));
    }
    let owner = link.asked.owner.as_str();
    let went = continue_attempt(ctx, db, &client, owner, link.asked.identification.as_deref()).await?;
    let issued = match went {
        Committed::Done(issued) => issued,
        Committed::Refused(problem) if problem.code() == code::SIGN_UP_IF_MISSING_TRANSFER => {
            flow_steps::log_refusal(ctx, &problem);
            return Ok(link.outcome(Status::Transferable, None, None));
        }
        Committed::Refused(problem) => {
            flow_steps::log_refusal(ctx, &problem);
            return Ok(link.outcome(Status::Failed, None, None));
        }
    };
    let session = match issued {
        Some(_) => created_session(db, &client, owner).await?,
        None => None,
    };
    Ok(link.outcome(Status::Verified, session.as_deref(), issued))
}

async fn continue_attempt(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    owner: &str,
    address: Option<&str>,
) -> Result<Committed<Option<Issued>>, Aborted> {
    if owner.starts_with(SignInId::PREFIX) {
        let attempt = first_factor::waiting(ctx, &mut *db, client, owner).await?;
        let address = address.and_then(IdentificationId::parse);
        return first_factor::link_opened(ctx, db, client, &attempt, address.as_ref()).await;
    }
    verify::link_opened(ctx, db, client, owner).await
}

async fn created_session(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    owner: &str,
) -> Result<Option<String>, Aborted> {
    let session = if owner.starts_with(SignInId::PREFIX) {
        let found = sign_ins::of_client(db, client, owner).await?;
        found.and_then(|found| found.attempt.created_session_id)
    } else {
        let found = sign_ups::of_client(db, client, owner).await?;
        found.and_then(|found| found.attempt.created_session_id)
    };
    Ok(session.map(|session| session.to_string()))
}

/// Finishes the client's current attempt if its link was opened in another browser meanwhile: the first tab asks again
/// and again. Returns what the client is then, `None` if there is nothing to finish.
///
/// # Errors
/// Storage faults.
pub async fn finish_elsewhere_opened(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    owner: &str,
) -> Result<Option<client::ClientUpdate>> {
    let Some(token) = token else { return Ok(None) };
    let resumed = transact(ctx.db(), "email_link.resume", |tx| {
        async move {
            let Some(client) = clients::lock_by_token(tx, token).await? else {
                return Ok(Committed::Done(None));
            };
            let opened = verifications::opened_link(&mut *tx, owner).await?;
            let Some(asked) = opened else { return Ok(Committed::Done(None)) };
            Ok(match continue_attempt(ctx, tx, &client, owner, asked.identification.as_deref()).await? {
                Committed::Done(issued) => Committed::Done(Some(issued)),
                // Why stands in the attempt.
                Committed::Refused(_) => Committed::Done(Some(None)),
            })
        }
        .scope_boxed()
    });
    match resumed.await {
        Ok(Some(issued)) => Ok(Some(client::read_updated(ctx, Some(token), issued).await?)),
        Ok(None) | Err(Error::Problem(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}
