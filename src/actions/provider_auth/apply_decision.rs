//! Writing down what a verified identity means: a sign-in or sign-up that goes on, an account that waits for the
//! verification of its address, a transferable verification, or a refusal. One transaction of the caller's; whoever
//! loses a race decides once more.

use serde_json::{Map, Value};

use crate::actions::client::Issued;
use crate::actions::identity::ProviderIdentity;
use crate::actions::linking_policy::{can_verify, policy};
use crate::actions::sign_in::finish::{self as sign_in, PresentedFactor};
use crate::actions::sign_up::finish as sign_up;
use crate::actions::{flow_steps, record_outcome, replay, sign_in::finish::fill};
use crate::context::Ctx;
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, IdentificationId, ProviderAuthorizationId, SessionId, UserId, VerificationId};
use crate::model::linking::{self, AttemptKind, Decision, UserStatus};
use crate::model::problem::{Error, code};
use crate::model::reason::{Failure, Reason, Why};
use crate::model::settings::EnumerationProtection;
use crate::model::sign_in::Status as SignInStatus;
use crate::model::sign_up::Field;
use crate::model::social_error;
use crate::model::username;
use crate::model::verification::Status;
use crate::store::InstanceConnection;
use crate::store::addresses;
use crate::store::attempts::{self, CompletedBy};
use crate::store::connections;
use crate::store::external_accounts;
use crate::store::sign_ins::{self, Identified, PendingAccount};
use crate::store::sign_ups::{self, ProfileFields};
use crate::store::transact::Aborted;

/// The attempt that a verification is for.
pub struct CurrentAttempt<'a> {
    /// Sign-in or sign-up.
    pub kind: AttemptKind,
    /// Its id.
    pub id: &'a str,
    /// Its verification.
    pub verification: &'a VerificationId,
    /// Its client.
    pub client: &'a ClientId,
    /// What brought the verification, and holds its tokens while they wait.
    pub authorization: &'a ProviderAuthorizationId,
    /// Whether a finished attempt stays on the client.
    pub by: CompletedBy,
}

/// What became of it.
pub enum AttemptOutcome {
    /// Signed in: the client has a new session and a new token.
    Complete(Issued),
    /// It goes on, and the provider's verification waits with it: for more data, or for the verification of an address.
    Waits,
    /// It goes on without the provider's verification, which has done its part.
    GoesOn,
    /// The other kind of attempt can take its place.
    Transferable,
    /// Refused; the verification says why.
    Failed,
}

impl AttemptOutcome {
    /// The provider's verification is needed again: by a transfer, or when the attempt goes on.
    pub fn keeps_identity(&self) -> bool {
        matches!(self, Self::Waits | Self::Transferable)
    }
}

/// Decides by what is known now, and writes it down.
///
/// # Errors
/// [`Aborted::Conflict`] after a lost race: roll back and call again.
pub async fn apply_decision(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    identity: &ProviderIdentity,
) -> Result<AttemptOutcome, Aborted> {
    let profile = &identity.profile;
    let email = identity.address();
    let address = email.as_ref().map(EmailAddress::as_str);
    let (provider, id) = (&identity.provider, &profile.provider_user_id);
    let known = external_accounts::known(db, provider, id, address, attempt.client).await?;
    let trust = email.as_ref().map(|_| profile.email_trust);
    let mut policy = policy(ctx);
    if identity.address_verified_by.is_some() {
        // Whoever has verified the address is not stored in the dark about it.
        policy.enumeration = EnumerationProtection::Off;
    }
    let decision = linking::decide(attempt.kind, trust, &known, &policy);
    flow_steps::log_decision(ctx, attempt.kind, &decision);
    replay::keep(ctx, attempt.kind, identity)?;
    if let Decision::SignIn { user, .. } | Decision::Link { user, .. } = &decision {
        // Before the user's accounts: whoever takes one away has the user first, too. A claim touches nothing of the
        // user's.
        if !connections::lock_user(db, user).await? {
            return Err(Aborted::Conflict);
        }
    }
    match decision {
        Decision::SignIn { user, account } => {
            if !external_accounts::refresh(db, &account, profile, &identity.scopes).await? {
                return Err(Aborted::Conflict);
            }
            identity.store_tokens(ctx, db, &account).await?;
            continue_sign_in(ctx, db, attempt, identity, &user).await
        }
        Decision::Create => create(ctx, db, attempt, identity, address).await,
        Decision::Transfer => transferable(ctx, db, attempt).await,
        Decision::Link { user, identification } => {
            link(ctx, db, identity, &user, &identification).await?;
            continue_sign_in(ctx, db, attempt, identity, &user).await
        }
        Decision::VerifyFirst { user, identification } => {
            let (pending, status) = (pending_account(attempt, identity), SignInStatus::NeedsFirstFactor);
            let who = Identified { user: &user, address: Some(&identification), pending: Some(&pending), status };
            sign_ins::identify(db, attempt.id, &who).await?;
            wait(ctx, db, attempt, identity, &identification).await
        }
        Decision::AlreadySignedIn(session) => refuse_second_session(ctx, db, attempt, &session).await,
        Decision::Closed(user_status, user) => refuse_closed_account(ctx, db, attempt, user_status, &user).await,
        Decision::LinkingOff(owner) => {
            let failure = Failure::new(Reason::LinkingOff, "", social_error::EXISTS);
            refuse_link(ctx, db, attempt, &failure, &owner).await
        }
        Decision::Unprovable(owner) => refuse_link(ctx, db, attempt, &UNPROVABLE, &owner).await,
    }
}

const CLAIMED: Failure = Failure::new(Reason::AccountInUse, "meanwhile", "identification_claimed");
const UNPROVABLE: Failure = Failure::new(Reason::EmailUnverified, "unprovable", social_error::UNPROVABLE);

/// Row 2.
async fn refuse_second_session(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    session: &SessionId,
) -> Result<AttemptOutcome, Aborted> {
    let failure = Failure::new(Reason::AlreadySignedIn, "callback", social_error::ALREADY_SIGNED_IN);
    let mut meta = meta(&failure);
    meta.insert("session_id".to_owned(), Value::from(session.as_str()));
    ctx.flow_log.refuse(failure.why());
    fail_with(db, attempt, failure.code, meta).await
}

/// Rows 3 and 12: a refusal that is about a user stands in the audit log, too.
async fn refuse_closed_account(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    user_status: UserStatus,
    user: &UserId,
) -> Result<AttemptOutcome, Aborted> {
    let failure = match user_status {
        UserStatus::Locked => Failure::new(Reason::UserLocked, "operator", "user_locked"),
        UserStatus::Banned | UserStatus::Active => Failure::new(Reason::UserBanned, "banned", "user_banned"),
    };
    record_outcome::sign_in_refused(ctx, db, user, failure.code).await?;
    fail(ctx, db, attempt, &failure).await
}

/// Rows 7 to 11 that lead nowhere.
async fn refuse_link(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    failure: &Failure,
    owner: &UserId,
) -> Result<AttemptOutcome, Aborted> {
    record_outcome::account_refused(ctx, db, owner, failure).await?;
    fail(ctx, db, attempt, failure).await
}

/// The identity is the user's: the sign-in goes on from there.
async fn continue_sign_in(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    identity: &ProviderIdentity,
    user: &UserId,
) -> Result<AttemptOutcome, Aborted> {
    let status = SignInStatus::NeedsIdentifier;
    let who = Identified { user, address: None, pending: None, status };
    sign_ins::identify(db, attempt.id, &who).await?;
    fill(db, user, identity).await?;
    apply_factor(ctx, db, attempt, PresentedFactor::Provider(&identity.provider)).await
}

/// The sign-in goes on from what was verified.
async fn apply_factor(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    factor: PresentedFactor<'_>,
) -> Result<AttemptOutcome, Aborted> {
    let target = sign_in::SignInAttempt { id: attempt.id, client: attempt.client, by: attempt.by };
    match sign_in::apply_first_factor(ctx, db, &target, factor).await? {
        sign_in::Finished::Complete(issued) => {
            mark_verified(db, attempt).await?;
            Ok(AttemptOutcome::Complete(issued))
        }
        sign_in::Finished::Waits(_) => {
            mark_verified(db, attempt).await?;
            Ok(AttemptOutcome::GoesOn)
        }
        sign_in::Finished::Closed(user_status, user) => {
            refuse_closed_account(ctx, db, attempt, user_status, &user).await
        }
    }
}

/// Row 7, and row 9 where the provider vouches: the account becomes the user's.
async fn link(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    identity: &ProviderIdentity,
    user: &UserId,
    address: &IdentificationId,
) -> Result<(), Aborted> {
    let account = identity.connect(ctx, db, user, Some(address)).await?;
    let from = identity.address_strategy();
    if addresses::verify(db, user, address, &from).await? {
        record_outcome::address_verified(ctx, db, user, address).await?;
    }
    Ok(record_outcome::account_linked(ctx, db, user, &account).await?)
}

/// The account as it waits in the attempt.
fn pending_account(attempt: &CurrentAttempt<'_>, identity: &ProviderIdentity) -> PendingAccount {
    PendingAccount {
        provider: identity.provider.clone(),
        provider_user_id: identity.profile.provider_user_id.clone(),
        authorization: attempt.authorization.clone(),
    }
}

/// Rows 8 to 11: the account waits until the person has verified the address; nothing else counts in this attempt.
async fn wait(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    identity: &ProviderIdentity,
    address: &IdentificationId,
) -> Result<AttemptOutcome, Aborted> {
    if let Some(by) = identity.address_verified_by {
        return apply_factor(ctx, db, attempt, PresentedFactor::Address(address, by)).await;
    }
    let failure = Failure::new(Reason::EmailUnverified, "proof", social_error::UNPROVABLE);
    let error = social_error::object(failure.code, meta(&failure));
    ctx.flow_log.refuse(failure.why());
    answer(db, attempt, Status::Unverified, Some(&error)).await?;
    Ok(AttemptOutcome::Waits)
}

/// Nobody has the identity: a new user, unless the instance wants more than the provider gave.
async fn create(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    identity: &ProviderIdentity,
    address: Option<&str>,
) -> Result<AttemptOutcome, Aborted> {
    let (rules, profile) = (&ctx.instance.settings.attributes, &identity.profile);
    let username = profile.username.as_deref().filter(|name| username::check(name).is_ok());
    let filling = ProfileFields {
        email: address.filter(|_| rules.email_address.enabled),
        username: username.filter(|_| rules.username.is_enabled()),
        first_name: profile.first_name.as_deref().filter(|_| rules.first_name.is_enabled()),
        last_name: profile.last_name.as_deref().filter(|_| rules.last_name.is_enabled()),
    };
    let named = sign_ups::fill(db, attempt.id, filling).await?;
    mark_verified(db, attempt).await?;
    let target = sign_up::SignUpAttempt { id: attempt.id, client: attempt.client, by: attempt.by };
    let finished = match sign_up::complete_with(ctx, db, &target, Some(identity)).await {
        Err(Aborted::Error(Error::Problem(problem))) if problem.code() == code::IDENTIFICATION_CLAIMED => {
            // The address that the person typed was not looked at when this was decided, and is somebody else's now.
            if named.as_deref() != address {
                return fail(ctx, db, attempt, &CLAIMED).await;
            }
            // Identity and address were free then: somebody was faster. Decide again.
            return Err(Aborted::Conflict);
        }
        other => other?,
    };
    match finished {
        sign_up::Finished::Complete(issued) => Ok(AttemptOutcome::Complete(issued)),
        sign_up::Finished::Waits(fields) if fields.unverified.contains(&Field::EmailAddress) && !can_verify(ctx) => {
            fail(ctx, db, attempt, &UNPROVABLE).await
        }
        sign_up::Finished::Waits(_) => Ok(AttemptOutcome::Waits),
        sign_up::Finished::Transferable => transferable(ctx, db, attempt).await,
        sign_up::Finished::Refused(refused) => fail(ctx, db, attempt, &sign_up::refusal(refused).0).await,
    }
}

/// The verification is good, but belongs in the other kind of attempt.
async fn transferable(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
) -> Result<AttemptOutcome, Aborted> {
    let (code, to) = match attempt.kind {
        AttemptKind::SignIn => (social_error::NOT_FOUND, "sign_up"),
        AttemptKind::SignUp => (social_error::EXISTS, "sign_in"),
    };
    ctx.flow_log.refuse(Why::new(Reason::Transfer, to));
    let error = social_error::object(code, Map::new());
    answer(db, attempt, Status::Transferable, Some(&error)).await?;
    end_without_target(db, attempt).await?;
    Ok(AttemptOutcome::Transferable)
}

/// A sign-in whose provider did not verify a user is for nobody, whomever it was for before: in any other state the SDK
/// asks for a first factor instead of showing why it failed.
async fn end_without_target(db: &mut InstanceConnection<'_>, attempt: &CurrentAttempt<'_>) -> Result<(), Aborted> {
    if attempt.kind == AttemptKind::SignIn {
        sign_ins::forget_user(db, attempt.id).await?;
    }
    Ok(())
}

async fn mark_verified(db: &mut InstanceConnection<'_>, attempt: &CurrentAttempt<'_>) -> Result<(), Aborted> {
    answer(db, attempt, Status::Verified, None).await
}

/// Refuses the verification for good.
///
/// # Errors
/// Storage faults.
pub async fn fail(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    failure: &Failure,
) -> Result<AttemptOutcome, Aborted> {
    ctx.flow_log.refuse(failure.why());
    fail_with(db, attempt, failure.code, meta(failure)).await
}

async fn fail_with(
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    code: &str,
    meta: Map<String, Value>,
) -> Result<AttemptOutcome, Aborted> {
    let error = social_error::object(code, meta);
    answer(db, attempt, Status::Failed, Some(&error)).await?;
    end_without_target(db, attempt).await?;
    Ok(AttemptOutcome::Failed)
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
    db: &mut InstanceConnection<'_>,
    attempt: &CurrentAttempt<'_>,
    status: Status,
    error: Option<&Value>,
) -> Result<(), Aborted> {
    attempts::answer_verification(db, attempt.verification, status, error).await?;
    Ok(())
}
