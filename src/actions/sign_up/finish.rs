//! From a sign-up that has all it needs to a signed-in user: the only way there. What it needs is computed anew each
//! time, from what is stored of it and from what is verified.

use crate::actions::client::Issued;
use crate::actions::flow_steps;
use crate::actions::identity::ProviderIdentity;
use crate::actions::linking_policy::policy;
use crate::actions::record_outcome;
use crate::actions::session::begin::{self, Begin};
use crate::actions::sign_in::finish::lose_claims;
use crate::context::Ctx;
use crate::model::defences::Defences;
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, IdentificationId, UserId};
use crate::model::linking;
use crate::model::problem::{Code, Error, Problem, code};
use crate::model::reason::{Failure, Reason};
use crate::model::settings::EnumerationProtection;
use crate::model::sign_up::{self, AddressEvidence, AttemptLife, Fields, Refused, SignUpFacts, SignUpRestriction};
use crate::model::strategy::{AddressStrategy, MailStrategy, Strategy};
use crate::model::user::IdentificationStatus;
use crate::store::InstanceConnection;
use crate::store::attempts::CompletedBy;
use crate::store::external_accounts;
use crate::store::sign_ups::{self, Row};
use crate::store::transact::Aborted;
use crate::store::users::{self, NewAddress, NewUser};
use crate::store::{provider_authorizations, provider_configs};

/// The attempt. The caller holds its client's lock.
pub struct SignUpAttempt<'a> {
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
    /// The person verified an address that has an owner: a sign-in can take its place. The caller says so in the
    /// provider's verification.
    Transferable,
    /// Refused: nothing was written but an audit event, which the caller commits.
    Refused(SignUpRestriction),
}

/// The refusal as an answer.
pub fn refusal(closed: SignUpRestriction) -> (Failure, Code) {
    let (reason, detail, code) = match closed {
        SignUpRestriction::Restricted => (Reason::SignupClosed, "restricted", code::SIGN_UP_MODE_RESTRICTED),
        SignUpRestriction::Waitlist => (Reason::SignupClosed, "waitlist", code::SIGN_UP_RESTRICTED_WAITLIST),
        SignUpRestriction::Quota => (Reason::SignupClosed, "quota", code::USER_QUOTA_EXCEEDED),
        SignUpRestriction::Subaddress => (Reason::AddressRefused, "subaddress", code::NOT_ALLOWED_ACCESS),
    };
    (Failure::new(reason, detail, code.name), code)
}

/// Makes a user of the attempt if it has all it needs. A provider's verification that waits with it is found by itself.
///
/// # Errors
/// `client_state_invalid`, `resource_forbidden` for an attempt that is over; `identification_claimed` when its
/// identity, address or username became somebody else's meanwhile; [`Aborted::Conflict`] after a lost race: roll back
/// and call again.
pub async fn complete_if_ready(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &SignUpAttempt<'_>,
) -> Result<Finished, Aborted> {
    let Some(authorization) = provider_authorizations::waiting(db, attempt.id).await? else {
        return complete_with(ctx, db, attempt, None).await;
    };
    let identity = ProviderIdentity::reopen(ctx, &authorization)?;
    let finished = complete_with(ctx, db, attempt, Some(&identity)).await?;
    if matches!(finished, Finished::Complete(_)) {
        provider_authorizations::forget_waiting(db, attempt.id).await?;
    }
    Ok(finished)
}

/// The same with the provider's verification in hand.
///
/// # Errors
/// Those of [`complete_if_ready`].
pub async fn complete_with(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &SignUpAttempt<'_>,
    identity: Option<&ProviderIdentity>,
) -> Result<Finished, Aborted> {
    let row = sign_ups::row(db, attempt.id).await?;
    let mut row = row.ok_or(code::RESOURCE_NOT_FOUND).map_err(Problem::from)?;
    may_change(&row)?;
    let identity = identity.filter(|_| row.external_account.is_some());
    if identity.is_some() {
        drop_taken_username(db, attempt, &mut row).await?;
    }
    let given = collect_facts(ctx, &row, identity);
    let fields = sign_up::fields(&ctx.instance.settings, &given, Defences::ALL);
    if !fields.is_ready() {
        flow_steps::log_missing_fields(ctx, &fields);
        return Ok(Finished::Waits(fields));
    }
    let ready = ReadySignUp { attempt, row: &row, identity, is_verified: given.is_email_verified(Defences::ALL) };
    if let Some(finished) = ready.find_conflict(ctx, db).await? {
        return Ok(finished);
    }
    if let Some(closed) = find_restriction(ctx, db, &row, identity).await? {
        record_outcome::sign_up_refused(ctx, db, &refusal(closed).0).await?;
        return Ok(Finished::Refused(closed));
    }
    ready.create(ctx, db).await
}

fn may_change(row: &Row) -> Result<(), Problem> {
    let life = match (row.is_replaced, row.is_abandoned) {
        (true, _) => AttemptLife::Replaced,
        (false, true) => AttemptLife::Abandoned,
        (false, false) => AttemptLife::Current,
    };
    sign_up::may_change(life, row.status == sign_up::Status::Complete).map_err(|refused| {
        if refused == Refused::Replaced {
            return code::RESOURCE_FORBIDDEN.because(Reason::AttemptReplaced, "");
        }
        let detail = if life == AttemptLife::Abandoned { "abandoned" } else { "done" };
        code::CLIENT_STATE_INVALID.because(Reason::AttemptExpired, detail)
    })
}

/// A name is no reason to turn away who comes with an identity of their own: one that somebody has meanwhile is
/// dropped, and asked for anew where one is required.
async fn drop_taken_username(
    db: &mut InstanceConnection<'_>,
    attempt: &SignUpAttempt<'_>,
    row: &mut Row,
) -> Result<(), Aborted> {
    let Some(username) = &row.username else { return Ok(()) };
    if users::has_username(&mut *db, username).await? {
        sign_ups::drop_username(db, attempt.id).await?;
        row.username = None;
    }
    Ok(())
}

/// What the attempt has.
fn collect_facts(ctx: &Ctx, row: &Row, identity: Option<&ProviderIdentity>) -> SignUpFacts {
    let word = || {
        let identity = identity.filter(|identity| names(identity, row.email.as_deref()))?;
        linking::is_enough(identity.profile.email_trust, &policy(ctx)).then_some(AddressEvidence::Provider)
    };
    let by_verification = row.proven_by.map(|_| AddressEvidence::Verification);
    SignUpFacts {
        email: row.email.as_ref().map(|_| by_verification.or_else(word).unwrap_or(AddressEvidence::No)),
        username: row.username.is_some(),
        password: row.password_digest.is_some(),
        first_name: row.first_name.is_some(),
        last_name: row.last_name.is_some(),
        legal_accepted: row.legal_accepted_at.is_some(),
        social: identity.is_some(),
    }
}

/// Whether `email` is the address that the provider named.
fn names(identity: &ProviderIdentity, email: Option<&str>) -> bool {
    email.is_some_and(|email| identity.names(email))
}

/// A sign-up that has all it needs.
struct ReadySignUp<'a> {
    attempt: &'a SignUpAttempt<'a>,
    row: &'a Row,
    identity: Option<&'a ProviderIdentity>,
    /// Its address is verified, or a provider's claim is enough.
    is_verified: bool,
}

impl ReadySignUp<'_> {
    /// Whether somebody else took the identity, the address or the name meanwhile.
    async fn find_conflict(&self, ctx: &Ctx, db: &mut InstanceConnection<'_>) -> Result<Option<Finished>, Aborted> {
        let Self { attempt, row, identity, is_verified } = *self;
        let claimed = || Aborted::from(code::IDENTIFICATION_CLAIMED.because(Reason::AccountInUse, "meanwhile"));
        let email = row.email.as_deref();
        let (provider, id) =
            identity.map_or(("", ""), |identity| (&identity.provider, &identity.profile.provider_user_id));
        let known = external_accounts::known(db, provider, id, email, attempt.client).await?;
        if known.account.is_some() {
            return Err(claimed());
        }
        let has_owner = known.owner.is_some_and(|owner| owner.status != IdentificationStatus::Unverified);
        if has_owner && is_verified {
            // In strict mode nobody was shown it before they had verified the address that their provider named; a sign-in
            // decides by that one, too.
            let is_strict = ctx.instance.settings.enumeration_protection == EnumerationProtection::Strict;
            let may_transfer =
                is_strict && row.proven_by.is_some() && identity.is_some_and(|identity| names(identity, email));
            return if may_transfer { Ok(Some(Finished::Transferable)) } else { Err(claimed()) };
        }
        if let (Some(username), None) = (&row.username, identity)
            && users::has_username(&mut *db, username).await?
        {
            return Err(claimed());
        }
        Ok(None)
    }

    /// Makes the user, with address, account and session.
    async fn create(&self, ctx: &Ctx, db: &mut InstanceConnection<'_>) -> Result<Finished, Aborted> {
        let Self { attempt, row, identity, is_verified } = *self;
        let user = UserId::new(ctx.now, ctx.rng());
        let identification = IdentificationId::new(ctx.now, ctx.rng());
        let vouched = || identity.map(ProviderIdentity::address_strategy);
        let by_mail = AddressStrategy::Mail(MailStrategy::EmailCode);
        let proven_by = row.proven_by.map(AddressStrategy::Mail).or_else(vouched).unwrap_or(by_mail);
        let email = row.email.as_deref();
        let new = NewUser {
            id: &user,
            username: row.username.as_deref(),
            first_name: row.first_name.as_deref(),
            last_name: row.last_name.as_deref(),
            image_url: identity.and_then(|identity| identity.profile.avatar_url.as_deref()),
            locale: row.locale.as_deref(),
            unsafe_metadata: Some(&row.unsafe_metadata),
            legal_accepted_at: row.legal_accepted_at,
            password_digest: row.password_digest.as_deref(),
            email: email.map(|value| NewAddress { id: &identification, value, is_verified, strategy: &proven_by }),
        };
        if !users::create(db, &new).await? {
            return Err(Aborted::Conflict);
        }
        if let Some(email) = email.filter(|_| is_verified) {
            lose_claims(ctx, db, &user, email).await?;
        }
        if let Some(identity) = identity {
            let vouched = names(identity, email).then_some(&identification);
            connect(ctx, db, identity, &user, vouched).await?;
        }
        let social = identity.map(ProviderIdentity::strategy);
        let by = social.or_else(|| row.proven_by.map(Strategy::from)).unwrap_or(Strategy::Password);
        let begun = begin::begin(ctx, db, &Begin { client: attempt.client, user: &user, strategy: &by }).await?;
        let (session, issued) = begun.ok_or_else(|| Error::internal("a new user could not begin a session"))?;
        sign_ups::complete(db, attempt.id, &user, &session, attempt.by).await?;
        record_outcome::signed_up(ctx, db, &user, &session).await?;
        Ok(Finished::Complete(issued))
    }
}

/// What keeps this person from becoming a user at all.
async fn find_restriction(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    row: &Row,
    identity: Option<&ProviderIdentity>,
) -> Result<Option<SignUpRestriction>, Aborted> {
    let settings = &ctx.instance.settings;
    let users = match settings.sign_up.user_quota {
        0 => 0,
        _ => users::count(&mut *db).await?,
    };
    let mut is_subaddress = false;
    if let (Some(identity), Some(email)) = (identity, row.email.as_deref().and_then(EmailAddress::parse)) {
        let config = provider_configs::get(&mut *db, &identity.provider).await?;
        if config.is_some_and(|config| config.blocks_email_subaddresses) {
            is_subaddress = users::has_base(&mut *db, &email.base()).await?;
        }
    }
    Ok(sign_up::may_sign_up(settings, is_subaddress, users).err())
}

/// Stores the account of a new user and its tokens; it vouches for their address only if it named that one.
async fn connect(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    identity: &ProviderIdentity,
    user: &UserId,
    vouched: Option<&IdentificationId>,
) -> Result<(), Aborted> {
    let account = identity.connect(ctx, db, user, vouched).await?;
    Ok(record_outcome::account_linked(ctx, db, user, &account).await?)
}
