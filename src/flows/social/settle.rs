//! Writing down what a proven identity means: a sign-in or sign-up that goes on, an account that waits for the proof of its
//! address, a transferable proof, or a refusal. One transaction of the caller's; whoever loses a race decides once more.

use serde_json::{Map, Value};

use crate::context::Ctx;
use crate::flows::client::Issued;
use crate::flows::identity::Proof;
use crate::flows::policy::{can_prove, policy};
use crate::flows::race::Interrupted;
use crate::flows::sign_in::finish::{self as sign_in, Proven};
use crate::flows::sign_up::finish as sign_up;
use crate::flows::{record, replay, sign_in::finish::fill, timeline};
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, IdentificationId, SessionId, SocialFlowId, UserId, VerificationId};
use crate::model::linking::{self, Decision, Standing, Started};
use crate::model::problem::{Error, code};
use crate::model::provider_config::strategy;
use crate::model::reason::{Failure, Reason, Why};
use crate::model::settings::EnumerationProtection;
use crate::model::sign_in::Status as SignInStatus;
use crate::model::sign_up::Field;
use crate::model::social_error;
use crate::model::username;
use crate::model::verification::Status;
use crate::store::addresses;
use crate::store::attempts::{self, CompletedBy};
use crate::store::connections;
use crate::store::external_accounts;
use crate::store::pool::PgConnection;
use crate::store::sign_ins::{self, Identified, PendingAccount};
use crate::store::sign_ups::{self, Filling};

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
    /// What brought the proof, and holds its tokens while they wait.
    pub authorization: &'a SocialFlowId,
    /// Whether a finished attempt stays on the client.
    pub by: CompletedBy,
}

/// What became of it.
pub enum Settled {
    /// Signed in: the client has a new session and a new token.
    Complete(Issued),
    /// It goes on, and the provider's proof waits with it: for more data, or for the proof of an address.
    Waits,
    /// It goes on without the provider's proof, which has done its part.
    GoesOn,
    /// The other kind of attempt can take over.
    Transferable,
    /// Refused; the verification says why.
    Failed,
}

impl Settled {
    /// The provider's proof is needed again: by a transfer, or when the attempt goes on.
    pub fn keeps_proof(&self) -> bool {
        matches!(self, Self::Waits | Self::Transferable)
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
    let (instance, profile) = (ctx.instance_id(), &proof.profile);
    let email = proof.address();
    let address = email.as_ref().map(EmailAddress::as_str);
    let (provider, id) = (&proof.provider, &profile.provider_user_id);
    let known = external_accounts::known(db, instance, provider, id, address, attempt.client, ctx.offset()).await?;
    let trust = email.as_ref().map(|_| profile.email_trust);
    let mut policy = policy(ctx);
    if proof.address_proven_by.is_some() {
        // Whoever has proven the address is not kept in the dark about it.
        policy.enumeration = EnumerationProtection::Off;
    }
    let decision = linking::decide(attempt.started, trust, &known, &policy);
    timeline::decided(ctx, attempt.started, &decision);
    replay::keep(ctx, attempt.started, proof)?;
    if let Decision::SignIn { user, .. } | Decision::Link { user, .. } = &decision {
        // Before the user's accounts: whoever takes one away has the user first, too. A claim touches nothing of the
        // user's.
        if !connections::lock_user(db, instance, user).await? {
            return Err(Interrupted::Lost);
        }
    }
    match decision {
        Decision::SignIn { user, account } => {
            if !external_accounts::refresh(db, instance, &account, profile, &proof.scopes, ctx.offset()).await? {
                return Err(Interrupted::Lost);
            }
            proof.store_tokens(ctx, db, &account).await?;
            go_on(ctx, db, attempt, proof, &user).await
        }
        Decision::Create => create(ctx, db, attempt, proof, address).await,
        Decision::Transfer => transferable(ctx, db, attempt).await,
        Decision::Link { user, identification } => link(ctx, db, attempt, proof, (&user, &identification)).await,
        Decision::Prove { user, identification } => wait(ctx, db, attempt, proof, (&user, &identification)).await,
        Decision::AlreadySignedIn(session) => already(ctx, db, attempt, &session).await,
        Decision::Closed(standing, user) => closed(ctx, db, attempt, standing, &user).await,
        Decision::LinkingOff(owner) => {
            let failure = Failure::new(Reason::LinkingOff, "", social_error::EXISTS);
            not_linked(ctx, db, attempt, &failure, &owner).await
        }
        Decision::Unprovable(owner) => not_linked(ctx, db, attempt, &UNPROVABLE, &owner).await,
    }
}

const CLAIMED: Failure = Failure::new(Reason::AccountInUse, "meanwhile", "identification_claimed");
const UNPROVABLE: Failure = Failure::new(Reason::EmailUnverified, "unprovable", social_error::UNPROVABLE);

/// Row 2.
async fn already(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    session: &SessionId,
) -> Result<Settled, Interrupted> {
    let failure = Failure::new(Reason::AlreadySignedIn, "callback", social_error::ALREADY_SIGNED_IN);
    let mut meta = meta(&failure);
    meta.insert("session_id".to_owned(), Value::from(session.as_str()));
    ctx.trail.refuse(failure.why());
    fail_with(ctx, db, attempt, failure.code, meta).await
}

/// Rows 3 and 12: a refusal that is about a user stands in the audit log, too.
async fn closed(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    standing: Standing,
    user: &UserId,
) -> Result<Settled, Interrupted> {
    let failure = match standing {
        Standing::Locked => Failure::new(Reason::UserLocked, "operator", "user_locked"),
        Standing::Banned | Standing::Good => Failure::new(Reason::UserBanned, "banned", "user_banned"),
    };
    record::sign_in_refused(ctx, db, user, failure.code).await?;
    fail(ctx, db, attempt, &failure).await
}

/// Rows 7 to 11 that lead nowhere.
async fn not_linked(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    failure: &Failure,
    owner: &UserId,
) -> Result<Settled, Interrupted> {
    record::account_refused(ctx, db, owner, failure).await?;
    fail(ctx, db, attempt, failure).await
}

/// The identity is the user's: the sign-in goes on from there.
async fn go_on(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    user: &UserId,
) -> Result<Settled, Interrupted> {
    let status = SignInStatus::NeedsIdentifier.as_str();
    let who = Identified { user, address: None, pending: None, status };
    sign_ins::identify(db, ctx.instance_id(), attempt.id, &who, ctx.offset()).await?;
    fill(ctx, db, user, proof).await?;
    proven(ctx, db, attempt, Proven::Provider, &strategy(&proof.provider)).await
}

/// The sign-in goes on from what was proven.
async fn proven(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proven: Proven<'_>,
    strategy: &str,
) -> Result<Settled, Interrupted> {
    let target = sign_in::Attempt { id: attempt.id, client: attempt.client, by: attempt.by };
    match sign_in::first_factor_proven(ctx, db, &target, proven, strategy).await? {
        sign_in::Finished::Complete(issued) => {
            verified(ctx, db, attempt).await?;
            Ok(Settled::Complete(issued))
        }
        sign_in::Finished::Waits(_) => {
            verified(ctx, db, attempt).await?;
            Ok(Settled::GoesOn)
        }
        sign_in::Finished::Closed(standing, user) => closed(ctx, db, attempt, standing, &user).await,
    }
}

/// Row 7, and row 9 where the provider vouches: the account becomes the user's.
async fn link(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    (user, address): (&UserId, &IdentificationId),
) -> Result<Settled, Interrupted> {
    let account = proof.connect(ctx, db, user, Some(address)).await?;
    let from = format!("from_{}", strategy(&proof.provider));
    if addresses::prove(db, ctx.instance_id(), user, address, &from, ctx.offset()).await? {
        record::address_verified(ctx, db, user, address).await?;
    }
    record::account_linked(ctx, db, user, &account).await?;
    go_on(ctx, db, attempt, proof, user).await
}

/// Rows 8 to 11: the account waits until the person has proven the address; nothing else counts in this attempt.
async fn wait(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    (user, address): (&UserId, &IdentificationId),
) -> Result<Settled, Interrupted> {
    let pending = PendingAccount {
        provider: proof.provider.clone(),
        provider_user_id: proof.profile.provider_user_id.clone(),
        authorization: attempt.authorization.clone(),
    };
    let status = SignInStatus::NeedsFirstFactor.as_str();
    let who = Identified { user, address: Some(address), pending: Some(&pending), status };
    sign_ins::identify(db, ctx.instance_id(), attempt.id, &who, ctx.offset()).await?;
    if let Some(strategy) = &proof.address_proven_by {
        return proven(ctx, db, attempt, Proven::Address(address), strategy).await;
    }
    let failure = Failure::new(Reason::EmailUnverified, "proof", social_error::UNPROVABLE);
    let error = social_error::object(failure.code, meta(&failure));
    ctx.trail.refuse(failure.why());
    answer(ctx, db, attempt, Status::Unverified, Some(&error)).await?;
    Ok(Settled::Waits)
}

/// Nobody has the identity: a new user, unless the instance wants more than the provider gave.
async fn create(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    proof: &Proof,
    address: Option<&str>,
) -> Result<Settled, Interrupted> {
    let (rules, profile) = (&ctx.instance.settings.attributes, &proof.profile);
    let username = profile.username.as_deref().filter(|name| username::check(name).is_ok());
    let filling = Filling {
        email: address.filter(|_| rules.email_address.enabled),
        username: username.filter(|_| rules.username.is_enabled()),
        first_name: profile.first_name.as_deref().filter(|_| rules.first_name.is_enabled()),
        last_name: profile.last_name.as_deref().filter(|_| rules.last_name.is_enabled()),
    };
    let named = sign_ups::fill(db, ctx.instance_id(), attempt.id, filling, ctx.offset()).await?;
    verified(ctx, db, attempt).await?;
    let target = sign_up::Attempt { id: attempt.id, client: attempt.client, by: attempt.by };
    let finished = match sign_up::complete_with(ctx, db, &target, Some(proof)).await {
        Err(Interrupted::Error(Error::Problem(problem))) if problem.code() == code::IDENTIFICATION_CLAIMED => {
            // The address that the person typed was not looked at when this was decided, and is somebody else's now.
            if named.as_deref() != address {
                return fail(ctx, db, attempt, &CLAIMED).await;
            }
            // Identity and address were free then: somebody was faster. Decide again.
            return Err(Interrupted::Lost);
        }
        other => other?,
    };
    match finished {
        sign_up::Finished::Complete(issued) => Ok(Settled::Complete(issued)),
        sign_up::Finished::Waits(fields) if fields.unverified.contains(&Field::EmailAddress) && !can_prove(ctx) => {
            fail(ctx, db, attempt, &UNPROVABLE).await
        }
        sign_up::Finished::Waits(_) => Ok(Settled::Waits),
        sign_up::Finished::Transferable => transferable(ctx, db, attempt).await,
        sign_up::Finished::Refused(refused) => fail(ctx, db, attempt, &sign_up::refusal(refused).0).await,
    }
}

/// The proof is good, but belongs in the other kind of attempt.
async fn transferable(ctx: &Ctx, db: &mut PgConnection, attempt: &Attempt<'_>) -> Result<Settled, Interrupted> {
    let (code, to) = match attempt.started {
        Started::SignIn => (social_error::NOT_FOUND, "sign_up"),
        Started::SignUp => (social_error::EXISTS, "sign_in"),
    };
    ctx.trail.refuse(Why::new(Reason::Transfer, to));
    let error = social_error::object(code, Map::new());
    answer(ctx, db, attempt, Status::Transferable, Some(&error)).await?;
    leads_nowhere(ctx, db, attempt).await?;
    Ok(Settled::Transferable)
}

/// A sign-in whose provider did not prove a user is for nobody, whomever it was for before: in any other state the SDK
/// asks for a first factor instead of showing why it failed.
async fn leads_nowhere(ctx: &Ctx, db: &mut PgConnection, attempt: &Attempt<'_>) -> Result<(), Interrupted> {
    if attempt.started == Started::SignIn {
        sign_ins::forget_who(db, ctx.instance_id(), attempt.id, ctx.offset()).await?;
    }
    Ok(())
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
    failure: &Failure,
) -> Result<Settled, Interrupted> {
    ctx.trail.refuse(failure.why());
    fail_with(ctx, db, attempt, failure.code, meta(failure)).await
}

async fn fail_with(
    ctx: &Ctx,
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    code: &str,
    meta: Map<String, Value>,
) -> Result<Settled, Interrupted> {
    let error = social_error::object(code, meta);
    answer(ctx, db, attempt, Status::Failed, Some(&error)).await?;
    leads_nowhere(ctx, db, attempt).await?;
    Ok(Settled::Failed)
}

/// Why, for whoever shows it: the reason's stable name, and which of its conditions it was.
pub(super) fn meta(failure: &Failure) -> Map<String, Value> {
    let noted = [("reason", failure.reason.name()), ("detail", failure.detail)];
    noted
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
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
