//! Writing down what a proven identity means: a session, a new user, a transferable proof, or a refusal. One
//! transaction of the caller's; whoever loses a race decides once more.

use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::proof::Proof;
use crate::context::Ctx;
use crate::flows::client::{self, Issued};
use crate::flows::record;
use crate::model::email::EmailAddress;
use crate::model::id::{
    ClientId, ExternalAccountId, IdentificationId, SessionActivityId, SessionId, UserId, VerificationId,
};
use crate::model::linking::{self, Decision, Standing, Started};
use crate::model::problem::Error;
use crate::model::provider_config::strategy;
use crate::model::social_error;
use crate::model::verification::Status;
use crate::store::attempts::{self, CompletedBy};
use crate::store::external_accounts::{self, NewAccount};
use crate::store::sessions::{self, NewSession};
use crate::store::users::{self, NewAddress, NewUser};
use crate::store::{clients, violates};

/// The attempt that a proof is for.
pub struct Attempt<'a> {
    /// Sign-in or sign-up.
    pub started: Started,
    /// Its id.
    pub id: &'a str,
    /// Its proof.
    pub verification: &'a VerificationId,
    /// Its client.
    pub client: &'a ClientId,
    /// Whether a finished attempt stays on the client.
    pub by: CompletedBy,
}

/// What became of it.
pub enum Settled {
    /// Signed in: the client has a new session and a new token.
    Complete(Issued),
    /// The sign-up needs more data.
    Missing,
    /// The other kind of attempt can take over.
    Transferable,
    /// Refused; the verification says why.
    Failed,
}

/// Why a transaction did not settle.
pub enum Interrupted {
    /// Somebody else took the identity or the address first: decide again.
    Lost,
    /// A refusal or fault.
    Error(Error),
}

impl From<sqlx::Error> for Interrupted {
    fn from(error: sqlx::Error) -> Self {
        let races = ["external_accounts_identity_key", "identifications_claimed_key", "client_tokens_generation_key"];
        if races.iter().any(|key| violates(&error, key)) { Self::Lost } else { Self::Error(error.into()) }
    }
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Decides by what is known now, and writes it down.
///
/// # Errors
/// [`Interrupted::Lost`] after a lost race: roll back and call again.
pub async fn settle(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
) -> Result<Settled, Interrupted> {
    let email = proof.profile.email.as_deref().and_then(EmailAddress::parse);
    let address = email.as_ref().map(EmailAddress::as_str);
    let known = external_accounts::known(
        db,
        ctx.instance_id(),
        &proof.provider,
        &proof.profile.provider_user_id,
        address,
        attempt.client,
        ctx.offset(),
    )
    .await?;
    let trust = email.as_ref().map(|_| proof.profile.email_trust);
    match linking::decide(attempt.started, trust, &known) {
        Decision::SignIn { user, account } => sign_in(ctx, db, attempt, proof, &user, &account).await,
        Decision::Create => sign_up(ctx, db, attempt, proof, email.as_ref()).await,
        Decision::Transfer => transferable(ctx, db, attempt).await,
        Decision::AlreadySignedIn(session) => {
            let meta = Map::from_iter([("session_id".to_owned(), Value::from(session.as_str()))]);
            fail(ctx, db, attempt, social_error::ALREADY_SIGNED_IN, meta).await
        }
        Decision::Closed(standing, user) => refuse(ctx, db, attempt, closed(standing), &user).await,
        Decision::AddressTaken(owner) => refuse(ctx, db, attempt, social_error::EXISTS, &owner).await,
    }
}

/// A refusal that is about a user stands in the audit log, too.
async fn refuse(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    code: &str,
    user: &UserId,
) -> Result<Settled, Interrupted> {
    record::sign_in_refused(ctx, db, user, code).await?;
    fail(ctx, db, attempt, code, Map::new()).await
}

fn closed(standing: Standing) -> &'static str {
    match standing {
        Standing::Locked => "user_locked",
        Standing::Banned | Standing::Good => "user_banned",
    }
}

/// The identity is known: bring the account up to date and begin a session.
async fn sign_in(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    user: &UserId,
    account: &ExternalAccountId,
) -> Result<Settled, Interrupted> {
    let (instance, offset, profile) = (ctx.instance_id(), ctx.offset(), &proof.profile);
    external_accounts::refresh(db, instance, account, profile, &proof.scopes, offset).await?;
    proof.store_tokens(ctx, db, account).await?;
    let (first, last, image) = (&profile.first_name, &profile.last_name, &profile.avatar_url);
    users::fill_if_empty(db, instance, user, first.as_deref(), last.as_deref(), image.as_deref(), ctx.offset()).await?;
    let Some((session, issued)) = begin_session(ctx, db, attempt, proof, user).await? else {
        return refuse(ctx, db, attempt, closed(Standing::Banned), user).await;
    };
    attempts::complete_sign_in(db, instance, attempt.id, user, &session, attempt.by, ctx.offset()).await?;
    verified(ctx, db, attempt).await?;
    record::signed_in(ctx, db, user, &session).await?;
    Ok(Settled::Complete(issued))
}

/// Nobody has the identity: a new user, unless the instance wants more than the provider gave.
async fn sign_up(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    email: Option<&EmailAddress>,
) -> Result<Settled, Interrupted> {
    let (instance, profile) = (ctx.instance_id(), &proof.profile);
    let rule = &ctx.instance.settings.attributes.email_address;
    let is_verified = profile.email_trust.counts_as_verified();
    if email.is_some() && !is_verified && rule.verify_at_sign_up {
        return fail(ctx, db, attempt, social_error::UNPROVABLE, Map::new()).await;
    }
    let address = email.map(EmailAddress::as_str);
    let (first, last) = (profile.first_name.as_deref(), profile.last_name.as_deref());
    let fields = attempts::fill_sign_up(db, instance, attempt.id, address, first, last, ctx.offset()).await?;
    if email.is_none() && rule.required {
        verified(ctx, db, attempt).await?;
        return Ok(Settled::Missing);
    }
    let user = UserId::new(ctx.now, ctx.rng());
    let identification = IdentificationId::new(ctx.now, ctx.rng());
    let strategy = format!("from_{}", strategy(&proof.provider));
    let new = NewUser {
        id: &user,
        first_name: fields.first_name.as_deref(),
        last_name: fields.last_name.as_deref(),
        image_url: profile.avatar_url.as_deref(),
        locale: fields.locale.as_deref(),
        unsafe_metadata: fields.unsafe_metadata.as_ref(),
        email: address.map(|value| NewAddress { id: &identification, value, is_verified, strategy: &strategy }),
    };
    if !users::create(db, instance, &new, ctx.offset()).await? {
        return Err(Interrupted::Lost);
    }
    connect(ctx, db, proof, &user, address.map(|_| &identification)).await?;
    let Some((session, issued)) = begin_session(ctx, db, attempt, proof, &user).await? else {
        return Err(Error::internal("a new user could not begin a session").into());
    };
    attempts::complete_sign_up(db, instance, attempt.id, &user, &session, attempt.by, ctx.offset()).await?;
    verified(ctx, db, attempt).await?;
    record::signed_up(ctx, db, &user, &session).await?;
    Ok(Settled::Complete(issued))
}

/// Stores the account of a new user and its tokens.
async fn connect(
    ctx: &Ctx,
    db: &mut PgConnection,
    proof: &Proof,
    user: &UserId,
    address: Option<&IdentificationId>,
) -> Result<(), Interrupted> {
    let account = ExternalAccountId::new(ctx.now, ctx.rng());
    let new = NewAccount {
        id: &account,
        identification: &IdentificationId::new(ctx.now, ctx.rng()),
        user,
        provider: &proof.provider,
        profile: &proof.profile,
        address,
        scopes: &proof.scopes,
    };
    external_accounts::create(db, ctx.instance_id(), &new, ctx.offset()).await?;
    proof.store_tokens(ctx, db, &account).await
}

/// Begins a session and replaces the client's token, so that a planted one is dead (security.md section 5). `None` if
/// the user may not sign in any more.
async fn begin_session(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    user: &UserId,
) -> Result<Option<(SessionId, Issued)>, Interrupted> {
    let (instance, strategy) = (ctx.instance_id(), strategy(&proof.provider));
    let session = SessionId::new(ctx.now, ctx.rng());
    let new = NewSession {
        id: &session,
        client: attempt.client,
        user,
        strategy: &strategy,
        lifetime: f64::from(ctx.instance.settings.session.maximum_lifetime),
        activity: &SessionActivityId::new(ctx.now, ctx.rng()),
        from: &ctx.from,
    };
    // The old token is replaced before the session begins: within its grace it must not see the new session.
    let issued = client::new_token(ctx);
    clients::rotate_token(db, instance, attempt.client, &issued.hash, ctx.app.ring.first_id(), ctx.offset()).await?;
    if !sessions::begin(db, instance, &new, ctx.offset()).await? {
        return Ok(None);
    }
    clients::touch_sign_in_state(db, instance, attempt.client, Some(&session), Some(&strategy), ctx.offset()).await?;
    Ok(Some((session, issued)))
}

/// The proof is good, but belongs in the other kind of attempt.
async fn transferable(ctx: &Ctx, db: &mut PgConnection, attempt: &Attempt<'_>) -> Result<Settled, Interrupted> {
    let code = match attempt.started {
        Started::SignIn => social_error::NOT_FOUND,
        Started::SignUp => social_error::EXISTS,
    };
    let error = social_error::object(code, Map::new());
    answer(ctx, db, attempt, Status::Transferable, Some(&error)).await?;
    Ok(Settled::Transferable)
}

async fn verified(ctx: &Ctx, db: &mut PgConnection, attempt: &Attempt<'_>) -> Result<(), Interrupted> {
    answer(ctx, db, attempt, Status::Verified, None).await
}

/// Refuses the proof for good.
///
/// # Errors
/// Storage faults.
pub async fn fail(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    code: &str,
    meta: Map<String, Value>,
) -> Result<Settled, Interrupted> {
    let error = social_error::object(code, meta);
    answer(ctx, db, attempt, Status::Failed, Some(&error)).await?;
    Ok(Settled::Failed)
}

async fn answer(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    status: Status,
    error: Option<&Value>,
) -> Result<(), Interrupted> {
    let instance = ctx.instance_id();
    attempts::answer_verification(db, instance, attempt.verification, status, error, ctx.offset()).await?;
    Ok(())
}
