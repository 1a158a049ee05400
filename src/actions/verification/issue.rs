//! Asking for a verification: a fresh secret, of which only the hash stays here, and a message that carries it.

use super::delivery;
use super::message::{self, Purpose};
pub use super::method::VerificationMethod;
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, SessionId, VerificationId};
use crate::model::problem::Result;
use crate::model::random;
use crate::model::verification::{Role, TEST_CODE};
use crate::store::InstanceConnection;
use crate::store::outbox::Effort;
use crate::store::verifications::{self, NewVerification};

/// Digits of a code.
const DIGITS: usize = 6;

/// Who gets the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// Whoever has the address.
    Owner,
    /// Nobody: the address has no account here, and the answer must not say so.
    Nobody,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct VerificationRequest<'a> {
    /// The id of the attempt, session or address that it is for.
    pub owner: &'a str,
    /// What it verifies to the owner.
    pub role: Role,
    /// The client that asks; only it can answer by code. Locked by the caller.
    pub client: &'a ClientId,
    /// The session that asks, where it is about one.
    pub session: Option<&'a SessionId>,
    /// The address.
    pub address: &'a EmailAddress,
    /// The address's id, where it belongs to a user.
    pub identification: Option<&'a str>,
    /// By what.
    pub method: VerificationMethod<'a>,
    /// Who gets the message.
    pub recipient: Recipient,
}

/// Asks; what was asked of this owner before is dead. Test addresses are sent nothing and accept a fixed code.
///
/// # Errors
/// Storage faults, a fault where the instance cannot send (see [`delivery::can_send`]).
pub async fn issue(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    request: &VerificationRequest<'_>,
) -> Result<VerificationId> {
    let id = VerificationId::new(ctx.now, ctx.rng());
    let is_test = request.address.is_test() && ctx.instance.has_test_mode();
    let secret = match request.method {
        VerificationMethod::Code | VerificationMethod::ResetCode if is_test => TEST_CODE.to_owned(),
        VerificationMethod::Code | VerificationMethod::ResetCode => random::digits(ctx.rng(), DIGITS),
        VerificationMethod::Link(_) => random::token(ctx.rng()),
    };
    let hash = hash(ctx, request.method, &id, &secret);
    let (code, link, redirect_url) = match request.method {
        VerificationMethod::Code | VerificationMethod::ResetCode => (Some(&hash), None, None),
        VerificationMethod::Link(target) => (None, Some(&hash), Some(target)),
    };
    let strategy = request.method.strategy();
    let new = NewVerification {
        id: &id,
        owner: request.owner,
        role: request.role,
        client: request.client,
        session: request.session,
        strategy: &strategy,
        address: Some(request.address.as_str()),
        identification: request.identification,
        code,
        link,
        redirect_url,
    };
    verifications::create(db, &new).await?;
    let effort = if request.recipient == Recipient::Owner { Effort::Real } else { Effort::Pretended };
    flow_steps::log_message(ctx, &strategy, request.address, effort == Effort::Real && !is_test);
    if !is_test {
        let mail = message::mail(ctx, request.address, request.method, purpose(request), &secret)?;
        delivery::send(ctx, db, &mail, effort).await?;
    }
    Ok(id)
}

fn hash(ctx: &Ctx, method: VerificationMethod<'_>, id: &VerificationId, secret: &str) -> LookupHash {
    let label = match method {
        VerificationMethod::Code | VerificationMethod::ResetCode => Lookup::OneTimeCode(id.as_str()),
        VerificationMethod::Link(_) => Lookup::EmailLink,
    };
    ctx.app.ring.lookup_hash(label, secret)
}

fn purpose(request: &VerificationRequest<'_>) -> Purpose {
    match (request.role, request.session) {
        // No message verifies an account at a provider.
        (Role::EmailAddress | Role::ExternalAccount, _) => Purpose::Address,
        (Role::FirstFactor, None) if request.method == VerificationMethod::ResetCode => Purpose::NewPassword,
        (Role::FirstFactor, None) => Purpose::SignIn,
        (Role::FirstFactor, Some(_)) => Purpose::Reverification,
    }
}
