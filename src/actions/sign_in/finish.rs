//! From a verified factor on: the only way to a signed-in user. Links the account that waited for the verification,
//! makes the address the user's, takes an account over from whoever only claimed it, and begins the session.

use crate::actions::client::Issued;
use crate::actions::identity::ProviderIdentity;
use crate::actions::record_outcome;
use crate::actions::session::begin::{self, Begin};
use crate::context::Ctx;
use crate::model::defences::Defences;
use crate::model::id::{ClientId, IdentificationId, UserId};
use crate::model::linking::UserStatus;
use crate::model::problem::{Error, Problem, code};
use crate::model::reason::Reason;
use crate::model::sign_in::{
    self, Address, AttemptLife, Factor, Reassignment, Refused, State, Status, Step, UserFactors,
};
use crate::model::strategy::{AddressStrategy, MailStrategy, ProviderSlug, Strategy};
use crate::store::InstanceConnection;
use crate::store::addresses::{self, RetainedAddress};
use crate::store::attempts::CompletedBy;
use crate::store::sign_ins::{self, PendingAccount, Row};
use crate::store::transact::Aborted;
use crate::store::{external_accounts, provider_authorizations, users};

/// The attempt that a verification is for. The caller holds its client's lock.
pub struct SignInAttempt<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its client.
    pub client: &'a ClientId,
    /// Whether the finished attempt stays on the client.
    pub by: CompletedBy,
}

/// What was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresentedFactor<'a> {
    /// An identity at this provider that is the user's.
    Provider(&'a ProviderSlug),
    /// A code or link that went to this address of the user.
    Address(&'a IdentificationId, MailStrategy),
    /// A code that went to this address of the user, to choose a new password.
    ResetCode(&'a IdentificationId),
    /// The password.
    Password,
    /// A new password was chosen, and is stored.
    NewPassword,
}

impl<'a> PresentedFactor<'a> {
    /// The address that is verified with it, and what the address remembers.
    fn address(self) -> Option<(&'a IdentificationId, MailStrategy)> {
        match self {
            Self::Address(address, by) => Some((address, by)),
            Self::ResetCode(address) => Some((address, MailStrategy::EmailCode)),
            Self::Provider(_) | Self::Password | Self::NewPassword => None,
        }
    }

    /// What the session remembers.
    fn strategy(self) -> Strategy {
        match self {
            Self::Provider(slug) => Strategy::OAuth(slug.clone()),
            Self::Address(_, by) => by.into(),
            Self::ResetCode(_) => Strategy::EmailCode,
            Self::Password | Self::NewPassword => Strategy::Password,
        }
    }
}

/// What became of the attempt.
pub enum Finished {
    /// Signed in: the client has a new session and a new token.
    Complete(Issued),
    /// It goes on: `needs_new_password`, `needs_second_factor`.
    Waits(Status),
    /// The user may not sign in; nothing was written.
    Closed(UserStatus, UserId),
}

/// Goes on from a verified factor.
///
/// # Errors
/// `client_state_invalid`, `resource_forbidden`, `strategy_for_user_invalid` where the verification does not count;
/// `identification_claimed` when the waiting account or its address became another user's meanwhile;
/// [`Aborted::Conflict`] after a lost race: roll back and call again.
pub async fn apply_first_factor(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &SignInAttempt<'_>,
    presented: PresentedFactor<'_>,
) -> Result<Finished, Aborted> {
    let address = presented.address();
    let row = sign_ins::row(db, attempt.id, address.map(|(id, _)| id)).await?;
    let row = row.ok_or(code::RESOURCE_NOT_FOUND).map_err(Problem::from)?;
    let Some(user) = row.user.clone() else { return Err(refusal(Refused::State).into()) };
    match users::lock(db, &user, attempt.client).await? {
        Some(UserStatus::Active) => {}
        Some(user_status) => return Ok(Finished::Closed(user_status, user)),
        None => {
            let deleted = code::SIGN_IN_IDENTIFICATION_OR_USER_DELETED.because(Reason::UserBanned, "deleted");
            return Err(deleted.into());
        }
    }
    let user_factors = UserFactors { has_password: row.has_password, second_factor: false };
    let step =
        sign_in::apply_factor(&state(&row), factor(&row, presented), user_factors, Defences::ALL).map_err(refusal)?;
    if let Some(address) = address {
        take_address(ctx, db, &row, (&user, attempt.client), address, step).await?;
    }
    if let (Some((address, _)), Some(account)) = (address, &row.pending) {
        link(ctx, db, attempt.id, &user, address, account).await?;
    }
    match step.status {
        Status::Complete => complete(ctx, db, attempt, user, &presented.strategy()).await,
        status => {
            if !sign_ins::set_status(db, attempt.id, status).await? {
                return Err(Aborted::Conflict);
            }
            Ok(Finished::Waits(status))
        }
    }
}

fn refusal(refused: Refused) -> Problem {
    match refused {
        Refused::State => code::CLIENT_STATE_INVALID.because(Reason::AttemptExpired, "done"),
        Refused::Replaced => code::RESOURCE_FORBIDDEN.because(Reason::AttemptReplaced, ""),
        Refused::Foreign => Problem::new(code::RESOURCE_FORBIDDEN),
        Refused::Strategy => Problem::new(code::STRATEGY_FOR_USER_INVALID),
    }
}

fn state(row: &Row) -> State {
    let life = match (row.is_replaced, row.is_abandoned) {
        (true, _) if row.status != Status::Complete => AttemptLife::Replaced,
        (false, false) => AttemptLife::Current,
        _ => AttemptLife::Abandoned,
    };
    let waits_for = row.identification.clone().filter(|_| row.pending.is_some());
    State { status: row.status, life, waits_for }
}

/// The verification with what is known of the address it is about.
fn factor<'a>(row: &Row, presented: PresentedFactor<'a>) -> Factor<'a> {
    let address = |id| Address { id, status: row.address_status, is_somebody_else: row.is_somebody_else };
    match presented {
        PresentedFactor::Provider(_) => Factor::Provider,
        PresentedFactor::Address(id, _) => Factor::Address(address(id)),
        PresentedFactor::ResetCode(id) => Factor::ResetCode(address(id)),
        PresentedFactor::Password => Factor::Password,
        PresentedFactor::NewPassword => Factor::NewPassword,
    }
}

/// The address is the user's from now on, and nobody else's.
async fn take_address(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    row: &Row,
    (user, client): (&UserId, &ClientId),
    (address, by): (&IdentificationId, MailStrategy),
    step: Step,
) -> Result<(), Aborted> {
    if step.takes_over {
        let retained = RetainedAddress { address, client };
        addresses::reassign_address(db, user, &retained, Reassignment::with(Defences::ALL)).await?;
        record_outcome::address_reassigned(ctx, db, user, address).await?;
    }
    if step.verifies_address {
        if !addresses::verify(db, user, address, &AddressStrategy::Mail(by)).await? {
            return Err(code::IDENTIFICATION_CLAIMED.because(Reason::AccountInUse, "meanwhile").into());
        }
        record_outcome::address_verified(ctx, db, user, address).await?;
    }
    let value = row.address.as_deref().unwrap_or_default();
    lose_claims(ctx, db, user, value).await
}

/// Everybody who only claims an address that `owner` has verified loses it.
///
/// # Errors
/// Storage faults.
pub async fn lose_claims(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    owner: &UserId,
    address: &str,
) -> Result<(), Aborted> {
    for loser in addresses::drop_claims(db, owner, address).await? {
        record_outcome::address_lost(ctx, db, &loser).await?;
    }
    Ok(())
}

/// The account that waited for the verification of its address becomes the user's, with the tokens that came with it.
async fn link(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &str,
    user: &UserId,
    address: &IdentificationId,
    claimed: &PendingAccount,
) -> Result<(), Aborted> {
    let (provider, id) = (&claimed.provider, &claimed.provider_user_id);
    let is_taken = external_accounts::is_connected(db, provider, id).await?;
    let waiting = provider_authorizations::waiting(db, attempt).await?;
    let waiting = waiting.filter(|waiting| waiting.id == claimed.authorization);
    let (false, Some(authorization)) = (is_taken, waiting) else {
        return Err(code::IDENTIFICATION_CLAIMED.because(Reason::AccountInUse, "meanwhile").into());
    };
    let identity = ProviderIdentity::reopen(ctx, &authorization)?;
    let account = identity.connect(ctx, db, user, Some(address)).await?;
    provider_authorizations::forget_tokens(db, &authorization.id).await?;
    fill(db, user, &identity).await?;
    Ok(record_outcome::account_linked(ctx, db, user, &account).await?)
}

/// Fills the user's names and picture where they are still empty.
///
/// # Errors
/// Storage faults.
pub async fn fill(db: &mut InstanceConnection<'_>, user: &UserId, identity: &ProviderIdentity) -> Result<(), Aborted> {
    let profile = &identity.profile;
    let (first, last, image) = (&profile.first_name, &profile.last_name, &profile.avatar_url);
    let (first, last, image) = (first.as_deref(), last.as_deref(), image.as_deref());
    Ok(users::fill_if_empty(db, user, first, last, image).await?)
}

async fn complete(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    attempt: &SignInAttempt<'_>,
    user: UserId,
    strategy: &Strategy,
) -> Result<Finished, Aborted> {
    let begun = begin::begin(ctx, db, &Begin { client: attempt.client, user: &user, strategy }).await?;
    let (session, issued) = begun.ok_or_else(|| Error::internal("a locked user could not begin a session"))?;
    // Read before the user's lock; whoever had it may have replaced the attempt.
    if !sign_ins::complete(db, attempt.id, &user, &session, attempt.by).await? {
        return Err(Aborted::Conflict);
    }
    record_outcome::signed_in(ctx, db, &user, &session).await?;
    Ok(Finished::Complete(issued))
}
