//! Asking for a proof: a fresh secret, of which only the hash stays here, and a message that carries it.

use super::delivery;
pub use super::means::Means;
use super::message::{self, Purpose};
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::flows::timeline;
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, SessionId, VerificationId};
use crate::model::problem::Result;
use crate::model::random;
use crate::model::verification::{Role, TEST_CODE};
use crate::store::outbox::Effort;
use crate::store::pool::PgConnection;
use crate::store::verifications::{self, NewProof};

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
pub struct Ask<'a> {
    /// The id of the attempt, session or address that it is for.
    pub owner: &'a str,
    /// What it proves to the owner.
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
    pub means: Means<'a>,
    /// Who gets the message.
    pub recipient: Recipient,
}

/// Asks; what was asked of this owner before is dead. Test addresses are sent nothing and accept a fixed code.
///
/// # Errors
/// Storage faults, a fault where the instance cannot send (see [`delivery::can_send`]).
pub async fn issue(ctx: &Ctx, db: &mut PgConnection, ask: &Ask<'_>) -> Result<VerificationId> {
    let id = VerificationId::new(ctx.now, ctx.rng());
    let is_test = ask.address.is_test() && ctx.instance.has_test_mode();
    let secret = match ask.means {
        Means::Code | Means::ResetCode if is_test => TEST_CODE.to_owned(),
        Means::Code | Means::ResetCode => random::digits(ctx.rng(), DIGITS),
        Means::Link(_) => random::token(ctx.rng()),
    };
    let hash = hash(ctx, ask.means, &id, &secret);
    let (code, link, redirect_url) = match ask.means {
        Means::Code | Means::ResetCode => (Some(&hash), None, None),
        Means::Link(target) => (None, Some(&hash), Some(target)),
    };
    let new = NewProof {
        id: &id,
        owner: ask.owner,
        role: ask.role,
        client: ask.client,
        session: ask.session,
        strategy: ask.means.strategy(),
        address: Some(ask.address.as_str()),
        identification: ask.identification,
        code,
        link,
        redirect_url,
    };
    verifications::ask(db, ctx.instance_id(), &new, ctx.offset()).await?;
    let effort = if ask.recipient == Recipient::Owner { Effort::Real } else { Effort::Pretended };
    timeline::proof_sent(ctx, ask.means.strategy(), ask.address, effort == Effort::Real && !is_test);
    if !is_test {
        let mail = message::mail(ctx, ask.address, ask.means, purpose(ask), &secret)?;
        delivery::send(ctx, db, &mail, effort).await?;
    }
    Ok(id)
}

fn hash(ctx: &Ctx, means: Means<'_>, id: &VerificationId, secret: &str) -> LookupHash {
    let label = match means {
        Means::Code | Means::ResetCode => Lookup::OneTimeCode(id.as_str()),
        Means::Link(_) => Lookup::EmailLink,
    };
    ctx.app.ring.lookup_hash(label, secret)
}

fn purpose(ask: &Ask<'_>) -> Purpose {
    match (ask.role, ask.session) {
        (Role::EmailAddress, _) => Purpose::Address,
        (Role::FirstFactor, None) if ask.means == Means::ResetCode => Purpose::NewPassword,
        (Role::FirstFactor, None) => Purpose::SignIn,
        (Role::FirstFactor, Some(_)) => Purpose::Reverification,
    }
}
