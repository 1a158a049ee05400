//! Who is signed in verifies once more who they are, before something important.

use crate::actions::client::{self, ClientUpdate};
use crate::actions::verification::check::{self, Guess, Guesser};
use crate::actions::verification::issue::{self, Recipient, VerificationMethod, VerificationRequest};
use crate::actions::{factors, password};
use crate::context::Ctx;
use crate::crypto::{LookupHash, Secret};
use crate::limits::exact;
use crate::model::client::Session;
use crate::model::factor::Factor;
use crate::model::first_factors;
use crate::model::id::{ClientId, IdentificationId, SessionId, VerificationId};
use crate::model::problem::{Problem, Result, code};
use crate::model::strategy::{RequestedStrategy, Strategy};
use crate::model::verification::{Role, Status};
use crate::store::InstanceConnection;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::verifications::{self, NewVerification, PendingVerification};
use crate::store::{attempts, clients, sessions, users};

/// Minutes for which a verification counts as recent.
const RECENT: i64 = 10;

/// A reverification as it stands.
pub struct Reverification {
    /// The session.
    pub session: Session,
    /// The ways to verify it.
    pub factors: Vec<Factor>,
    /// What is asked, once something is.
    pub asked: Option<PendingVerification>,
    /// The client as it is now.
    pub updated: ClientUpdate,
}

impl Reverification {
    /// The verification was given.
    pub fn is_complete(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.status == Status::Verified)
    }
}

/// Whether this session's person was verified lately.
///
/// # Errors
/// `session_reverification_required`; with `meta.reason` = `no_factor` for somebody who has no way to verify it but to
/// sign in again.
pub async fn require_recent_verification(ctx: &Ctx, session: &Session) -> Result<()> {
    let [first, _] = session.factor_ages(ctx.moment());
    if !ctx.instance.settings.reverification || (0..=RECENT).contains(&first) {
        return Ok(());
    }
    let wanted = serde_json::json!({ "level": "first_factor", "after_minutes": RECENT });
    let problem = Problem::new(code::SESSION_REVERIFICATION_REQUIRED).meta("reverification", wanted);
    if ways(ctx, &mut ctx.db(), session).await?.is_empty() {
        return Err(problem.meta("reason", "no_factor").into());
    }
    Err(problem.into())
}

/// Begins: what was asked before is dead.
///
/// # Errors
/// `resource_not_found` for a session that is not the caller's.
pub async fn begin(ctx: &Ctx, token: Option<&LookupHash>, id: &SessionId) -> Result<Reverification> {
    transact(ctx.db(), "reverification.begin", |tx| {
        async move {
            let (client, _) = current(tx, token, id).await?;
            let verification = VerificationId::new(ctx.now, ctx.rng());
            let new = unsent(&verification, id, &client, &Strategy::Unchosen);
            verifications::create(tx, &new).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    read(ctx, token, id).await
}

/// Begins, unless something is asked already.
///
/// # Errors
/// See [`begin`].
pub async fn begin_once(ctx: &Ctx, token: Option<&LookupHash>, id: &SessionId) -> Result<()> {
    let asked = verifications::current(&mut ctx.db(), id.as_str(), Role::FirstFactor).await?;
    if asked.is_none() {
        begin(ctx, token, id).await?;
    }
    Ok(())
}

/// A verification of which no message tells.
fn unsent<'a>(
    id: &'a VerificationId,
    session: &'a SessionId,
    client: &'a ClientId,
    strategy: &'a Strategy,
) -> NewVerification<'a> {
    NewVerification {
        id,
        owner: session.as_str(),
        role: Role::FirstFactor,
        client,
        session: Some(session),
        strategy,
        address: None,
        identification: None,
        code: None,
        link: None,
        redirect_url: None,
    }
}

/// Sends a code.
///
/// # Errors
/// `session_reverification_missing` before [`begin`]; those of [`factors::known`] and [`factors::find_factor`]; 429
/// `verification_code_too_many_requests`.
pub async fn prepare(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &SessionId,
    named: &RequestedStrategy<'_>,
    address: Option<&str>,
) -> Result<Reverification> {
    transact(ctx.db(), "reverification.prepare", |tx| {
        async move {
            let (client, session) = current(tx, token, id).await?;
            must_have_begun(tx, id).await?;
            let ways = ways(ctx, tx, &session).await?;
            let factor = factors::find_factor(&ways, factors::known(named)?, address)?;
            let address = factor.address.as_ref().ok_or(code::VERIFICATION_STRATEGY_INVALID)?;
            exact::before_sending(ctx, tx, address.value.as_str(), Some(&session.user.id), &client).await?;
            let ask = VerificationRequest {
                owner: id.as_str(),
                role: Role::FirstFactor,
                client: &client,
                session: Some(id),
                address: &address.value,
                identification: address.identification.as_ref().map(IdentificationId::as_str),
                method: VerificationMethod::Code,
                recipient: Recipient::Owner,
            };
            issue::issue(ctx, tx, &ask).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    read(ctx, token, id).await
}

/// Checks a code; the session's next token shows the fresh verification.
///
/// # Errors
/// Those of [`prepare`]; those of a code ([`check::check`]) and `form_code_incorrect`.
pub async fn attempt_code(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &SessionId,
    guess: &str,
) -> Result<Reverification> {
    let wrong = transact(ctx.db(), "reverification.attempt_code", |tx| {
        async move {
            let (client, session) = current(tx, token, id).await?;
            must_have_begun(tx, id).await?;
            let user = Some(&session.user.id);
            let who = Guesser {
                owner: id.as_str(),
                role: Role::FirstFactor,
                strategy: &Strategy::EmailCode,
                client: &client,
                user,
            };
            let wrong = match check::check(ctx, tx, &who, guess).await? {
                Guess::Wrong(problem) => Some(problem),
                Guess::Right(_) => {
                    sessions::record_reverification(tx, id).await?;
                    None
                }
            };
            Ok(Committed::Done(wrong))
        }
        .scope_boxed()
    })
    .await?;
    match wrong {
        Some(problem) => Err(problem.into()),
        None => read(ctx, token, id).await,
    }
}

/// Checks the password; the session's next token shows the fresh verification.
///
/// # Errors
/// `session_reverification_missing` before [`begin`]; `strategy_for_user_invalid`; those of [`password::place`] and
/// [`password::check_password`].
pub async fn attempt_password(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &SessionId,
    typed: &str,
) -> Result<Reverification> {
    let place = password::place(ctx).await?;
    let found = transact(ctx.db(), "reverification.read", |tx| {
        async move {
            let (client, session) = current(tx, token, id).await?;
            must_have_begun(tx, id).await?;
            let ways = ways(ctx, tx, &session).await?;
            Ok(Committed::Done((client, session, ways)))
        }
        .scope_boxed()
    });
    let (client, session, ways): (ClientId, Session, Vec<Factor>) = found.await?;
    factors::find_factor(&ways, &Strategy::Password, None)?;
    let user = &session.user.id;
    let digest = password::check_password(ctx, &place, Some(user), &client, &Secret::from(typed.to_owned())).await?;
    drop(place);
    let digest = digest.as_str();
    let verified = transact(ctx.db(), "reverification.attempt_password", |tx| {
        async move {
            let (client, _) = current(tx, token, id).await?;
            password::require_unchanged(tx, user, &client, digest).await?;
            must_have_begun(tx, id).await?;
            let verification = VerificationId::new(ctx.now, ctx.rng());
            let new = unsent(&verification, id, &client, &Strategy::Password);
            verifications::create(tx, &new).await?;
            let status = Status::Verified;
            attempts::answer_verification(tx, &verification, status, None).await?;
            sessions::record_reverification(tx, id).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    });
    verified.await?;
    read(ctx, token, id).await
}

/// The ways in which the session's person can verify it again.
async fn ways(ctx: &Ctx, db: &mut InstanceConnection<'_>, session: &Session) -> Result<Vec<Factor>> {
    let has_password =
        ctx.instance.settings.attributes.password.is_enabled() && users::has_password(db, &session.user.id).await?;
    Ok(first_factors::reverification_factors(factors::supported_factors(ctx), &session.user, has_password))
}

/// The caller's session; its client is locked.
async fn current(
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    id: &SessionId,
) -> Result<(ClientId, Session)> {
    let token = token.ok_or(code::SIGNED_OUT)?;
    let client = clients::lock_by_token(&mut *db, token).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    let session = sessions::open(&mut *db, token, id).await?;
    Ok((client, session.ok_or(code::RESOURCE_NOT_FOUND)?))
}

async fn must_have_begun(db: &mut InstanceConnection<'_>, id: &SessionId) -> Result<()> {
    let asked = verifications::current(db, id.as_str(), Role::FirstFactor).await?;
    Ok(asked.map(drop).ok_or(code::SESSION_REVERIFICATION_MISSING)?)
}

/// How it stands now.
///
/// # Errors
/// `resource_not_found` for a session that is not the caller's.
pub async fn read(ctx: &Ctx, token: Option<&LookupHash>, id: &SessionId) -> Result<Reverification> {
    let updated = client::read_updated(ctx, token, None).await?;
    let session = updated.client.sessions.iter().find(|session| session.id == *id).cloned();
    let session = session.ok_or(code::RESOURCE_NOT_FOUND)?;
    let asked = verifications::current(&mut ctx.db(), id.as_str(), Role::FirstFactor).await?;
    let factors = ways(ctx, &mut ctx.db(), &session).await?;
    Ok(Reverification { session, factors, asked: asked.filter(|asked| asked.strategy != Strategy::Unchosen), updated })
}
