//! From a sign-up that has all it needs to a signed-in user: the only way there. What it needs is computed anew each
//! time, from what is stored of it and from what is proven.

use crate::context::Ctx;
use crate::flows::client::Issued;
use crate::flows::identity::Proof;
use crate::flows::policy::policy;
use crate::flows::race::Interrupted;
use crate::flows::record;
use crate::flows::session::begin::{self, Begin};
use crate::flows::sign_in::finish::lose_claims;
use crate::flows::timeline;
use crate::model::defences::Defences;
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, IdentificationId, UserId};
use crate::model::linking;
use crate::model::problem::{Code, Error, Problem, code};
use crate::model::provider_config::strategy;
use crate::model::reason::{Failure, Reason};
use crate::model::settings::EnumerationProtection;
use crate::model::sign_up::{self, Closed, Fields, Given, Life, Refused, Vouched};
use crate::model::user::IdentificationStatus;
use crate::store::attempts::CompletedBy;
use crate::store::external_accounts;
use crate::store::pool::PgConnection;
use crate::store::sign_ups::{self, Row};
use crate::store::users::{self, NewAddress, NewUser};
use crate::store::{provider_configs, social_flows};

/// The attempt. The caller holds its client's lock.
pub struct Attempt<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its client.
    pub client: &'a ClientId,
    /// Whether the finished attempt stays on the client.
    pub by: CompletedBy,
}

/// What became of the attempt.
pub enum Finished {
    /// A user was made and is signed in: the client has a new session and a new token.
    Complete(Issued),
    /// It needs more first.
    Waits(Fields),
    /// The person proved an address that has an owner: a sign-in can take over. The caller says so in the provider's
    /// proof.
    Transferable,
    /// Refused: nothing was written but an audit event, which the caller commits.
    Refused(Closed),
}

/// The refusal as an answer.
pub fn refusal(closed: Closed) -> (Failure, Code) {
    let (reason, detail, code) = match closed {
        Closed::Restricted => (Reason::SignupClosed, "restricted", code::SIGN_UP_MODE_RESTRICTED),
        Closed::Waitlist => (Reason::SignupClosed, "waitlist", code::SIGN_UP_RESTRICTED_WAITLIST),
        Closed::Quota => (Reason::SignupClosed, "quota", code::USER_QUOTA_EXCEEDED),
        Closed::Subaddress => (Reason::AddressRefused, "subaddress", code::NOT_ALLOWED_ACCESS),
    };
    (Failure::new(reason, detail, code.name), code)
}

/// Makes a user of the attempt if it has all it needs. A provider's proof that waits with it is found by itself.
///
/// # Errors
/// `client_state_invalid`, `resource_forbidden` for an attempt that is over; `identification_claimed` when its identity,
/// address or username became somebody else's meanwhile; [`Interrupted::Lost`] after a lost race: roll back and call
/// again.
pub async fn complete_if_ready(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
) -> Result<Finished, Interrupted> {
    let Some(trip) = social_flows::waiting(db, ctx.instance_id(), attempt.id).await? else {
        return complete_with(ctx, db, attempt, None).await;
    };
    let proof = Proof::reopen(ctx, &trip)?;
    let finished = complete_with(ctx, db, attempt, Some(&proof)).await?;
    if matches!(finished, Finished::Complete(_)) {
        social_flows::forget_waiting(db, ctx.instance_id(), attempt.id).await?;
    }
    Ok(finished)
}

/// The same with the provider's proof in hand.
///
/// # Errors
/// Those of [`complete_if_ready`].
pub async fn complete_with(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: Option<&Proof>,
) -> Result<Finished, Interrupted> {
    let row = sign_ups::row(db, ctx.instance_id(), attempt.id, ctx.offset()).await?;
    let mut row = row.ok_or(code::RESOURCE_NOT_FOUND).map_err(Problem::from)?;
    may_change(&row)?;
    let proof = proof.filter(|_| row.external_account.is_some());
    if proof.is_some() {
        drop_taken_username(ctx, db, attempt, &mut row).await?;
    }
    let given = given(ctx, &row, proof);
    let fields = sign_up::fields(&ctx.instance.settings, &given, Defences::ALL);
    if !fields.is_ready() {
        timeline::lacking(ctx, &fields);
        return Ok(Finished::Waits(fields));
    }
    let is_proven = given.is_email_proven(Defences::ALL);
    if let Some(finished) = taken(ctx, db, attempt, &row, proof, is_proven).await? {
        return Ok(finished);
    }
    if let Err(closed) = restrictions(ctx, db, &row, proof).await? {
        record::sign_up_refused(ctx, db, &refusal(closed).0).await?;
        return Ok(Finished::Refused(closed));
    }
    create(ctx, db, attempt, &row, proof, is_proven).await
}

fn may_change(row: &Row) -> Result<(), Problem> {
    let life = match (row.is_replaced, row.is_abandoned) {
        (true, _) => Life::Replaced,
        (false, true) => Life::Abandoned,
        (false, false) => Life::Current,
    };
    sign_up::may_change(life, row.status == "complete").map_err(|refused| {
        if refused == Refused::Replaced {
            return code::RESOURCE_FORBIDDEN.because(Reason::AttemptReplaced, "");
        }
        let detail = if life == Life::Abandoned { "abandoned" } else { "done" };
        code::CLIENT_STATE_INVALID.because(Reason::AttemptExpired, detail)
    })
}

/// A name is no reason to turn away who comes with an identity of his own: one that somebody has meanwhile is dropped,
/// and asked for anew where one is required.
async fn drop_taken_username(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    row: &mut Row,
) -> Result<(), Interrupted> {
    let instance = ctx.instance_id();
    let Some(username) = &row.username else { return Ok(()) };
    if users::has_username(&mut *db, instance, username).await? {
        sign_ups::drop_username(db, instance, attempt.id, ctx.offset()).await?;
        row.username = None;
    }
    Ok(())
}

/// What the attempt has.
fn given(ctx: &Ctx, row: &Row, proof: Option<&Proof>) -> Given {
    let word = || {
        let proof = proof.filter(|proof| names(proof, row.email.as_deref()))?;
        linking::is_enough(proof.profile.email_trust, &policy(ctx)).then_some(Vouched::Provider)
    };
    let by_hand = row.proven_by.as_ref().map(|_| Vouched::Proof);
    Given {
        email: row.email.as_ref().map(|_| by_hand.or_else(word).unwrap_or(Vouched::No)),
        username: row.username.is_some(),
        password: row.password_digest.is_some(),
        first_name: row.first_name.is_some(),
        last_name: row.last_name.is_some(),
        legal_accepted: row.legal_accepted_at.is_some(),
        social: proof.is_some(),
    }
}

/// Whether `email` is the address that the provider named.
fn names(proof: &Proof, email: Option<&str>) -> bool {
    proof.address().is_some_and(|named| Some(named.as_str()) == email)
}

/// Whether somebody else took the identity, the address or the name meanwhile.
async fn taken(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    row: &Row,
    proof: Option<&Proof>,
    is_proven: bool,
) -> Result<Option<Finished>, Interrupted> {
    let claimed = || Interrupted::from(code::IDENTIFICATION_CLAIMED.because(Reason::AccountInUse, "meanwhile"));
    let (instance, email) = (ctx.instance_id(), row.email.as_deref());
    let (provider, id) = proof.map_or(("", ""), |proof| (&proof.provider, &proof.profile.provider_user_id));
    let known = external_accounts::known(db, instance, provider, id, email, attempt.client, ctx.offset()).await?;
    if known.account.is_some() {
        return Err(claimed());
    }
    let has_owner = known.owner.is_some_and(|owner| owner.status != IdentificationStatus::Unverified);
    if has_owner && is_proven {
        // In strict mode nobody was told before he had proven the address that his provider named; a sign-in decides by
        // that one, too.
        let is_strict = ctx.instance.settings.enumeration_protection == EnumerationProtection::Strict;
        let may_transfer = is_strict && row.proven_by.is_some() && proof.is_some_and(|proof| names(proof, email));
        return if may_transfer { Ok(Some(Finished::Transferable)) } else { Err(claimed()) };
    }
    if let (Some(username), None) = (&row.username, proof)
        && users::has_username(&mut *db, instance, username).await?
    {
        return Err(claimed());
    }
    Ok(None)
}

/// Whether this person may become a user at all.
async fn restrictions(
    ctx: &Ctx,
    db: &mut PgConnection,
    row: &Row,
    proof: Option<&Proof>,
) -> Result<Result<(), Closed>, Interrupted> {
    let (instance, settings) = (ctx.instance_id(), &ctx.instance.settings);
    let users = match settings.sign_up.user_quota {
        0 => 0,
        _ => users::count(&mut *db, instance).await?,
    };
    let mut is_subaddress = false;
    if let (Some(proof), Some(email)) = (proof, row.email.as_deref().and_then(EmailAddress::parse)) {
        let config = provider_configs::get(&mut *db, instance, &proof.provider).await?;
        if config.is_some_and(|config| config.blocks_email_subaddresses) {
            is_subaddress = users::has_base(&mut *db, instance, &email.base()).await?;
        }
    }
    Ok(sign_up::may_sign_up(settings, is_subaddress, users))
}

/// Makes the user, with address, account and session.
async fn create(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    row: &Row,
    proof: Option<&Proof>,
    is_proven: bool,
) -> Result<Finished, Interrupted> {
    let (instance, user) = (ctx.instance_id(), UserId::new(ctx.now, ctx.rng()));
    let identification = IdentificationId::new(ctx.now, ctx.rng());
    let social = proof.map(|proof| strategy(&proof.provider));
    let vouched = social.as_ref().map(|social| format!("from_{social}"));
    let proven_by = row.proven_by.as_deref().or(vouched.as_deref()).unwrap_or("email_code");
    let email = row.email.as_deref();
    let new = NewUser {
        id: &user,
        username: row.username.as_deref(),
        first_name: row.first_name.as_deref(),
        last_name: row.last_name.as_deref(),
        image_url: proof.and_then(|proof| proof.profile.avatar_url.as_deref()),
        locale: row.locale.as_deref(),
        unsafe_metadata: Some(&row.unsafe_metadata),
        legal_accepted_at: row.legal_accepted_at,
        password_digest: row.password_digest.as_deref(),
        email: email.map(|value| NewAddress {
            id: &identification,
            value,
            is_verified: is_proven,
            strategy: proven_by,
        }),
    };
    if !users::create(db, instance, &new, ctx.offset()).await? {
        return Err(Interrupted::Lost);
    }
    if let Some(email) = email.filter(|_| is_proven) {
        lose_claims(ctx, db, &user, email).await?;
    }
    if let Some(proof) = proof {
        connect(ctx, db, proof, &user, email, &identification).await?;
    }
    let by = social.as_deref().or(row.proven_by.as_deref()).unwrap_or("password");
    let begun = begin::begin(ctx, db, &Begin { client: attempt.client, user: &user, strategy: by }).await?;
    let (session, issued) = begun.ok_or_else(|| Error::internal("a new user could not begin a session"))?;
    sign_ups::complete(db, instance, attempt.id, &user, &session, attempt.by, ctx.offset()).await?;
    record::signed_up(ctx, db, &user, &session).await?;
    Ok(Finished::Complete(issued))
}

/// Stores the account of a new user and its tokens; it vouches for the address only if it named that one.
async fn connect(
    ctx: &Ctx,
    db: &mut PgConnection,
    proof: &Proof,
    user: &UserId,
    email: Option<&str>,
    identification: &IdentificationId,
) -> Result<(), Interrupted> {
    let vouched = names(proof, email).then_some(identification);
    let account = proof.connect(ctx, db, user, vouched).await?;
    Ok(record::account_linked(ctx, db, user, &account).await?)
}
