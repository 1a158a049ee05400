//! The factors of an account that an attempt is shown, and the one that is asked for.

use crate::actions::linking_policy::policy;
use crate::actions::verification;
use crate::context::Ctx;
use crate::model::client::{SignIn, SignUp};
use crate::model::defences::Defences;
use crate::model::email::EmailAddress;
use crate::model::factor::Factor;
use crate::model::first_factors::{self, SupportedFactors};
use crate::model::linking;
use crate::model::problem::{Problem, Result, code};
use crate::model::sign_in;
use crate::model::sign_up::{self, AddressEvidence, SignUpFacts};
use crate::model::strategy::{Meaning, RequestedStrategy, Strategy};
use crate::model::verification::{Status, Verification};

/// What the instance offers.
pub fn supported_factors(ctx: &Ctx) -> SupportedFactors<'_> {
    SupportedFactors { settings: &ctx.instance.settings, sends_mail: verification::can_send(&ctx.app, &ctx.instance) }
}

/// Fills in what the attempt is shown, while it waits for a first factor.
pub fn fill(ctx: &Ctx, attempt: &mut SignIn) {
    if attempt.status == sign_in::Status::NeedsFirstFactor {
        attempt.first_factors = Some(first_factors::first_factors(supported_factors(ctx), attempt));
    }
}

/// The strategy that a request names, if this server knows it.
///
/// # Errors
/// `form_param_value_invalid` for a name that does not exist, `strategy_for_user_invalid` for one that is nobody's
/// factor here.
pub fn known<'a>(named: &'a RequestedStrategy<'_>) -> Result<&'a Strategy> {
    match &named.meaning {
        Meaning::Known(strategy) => Ok(strategy),
        Meaning::NoProvider | Meaning::NotHere => Err(code::STRATEGY_FOR_USER_INVALID.into()),
        Meaning::Unknown => Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("strategy").into()),
    }
}

/// The factor that `strategy` and the address's id name; without an id the first one.
///
/// # Errors
/// `strategy_for_user_invalid` for a strategy that is no factor of this account, `resource_forbidden` for an address
/// that is not the account's.
pub fn find_factor<'a>(factors: &'a [Factor], strategy: &Strategy, address: Option<&str>) -> Result<&'a Factor> {
    let mut named = factors.iter().filter(|factor| factor.strategy == *strategy).peekable();
    if named.peek().is_none() {
        return Err(code::STRATEGY_FOR_USER_INVALID.into());
    }
    let has_id = |factor: &&Factor| factor.address.as_ref().is_none_or(|known| address.is_none_or(|id| known.id == id));
    Ok(named.find(has_id).ok_or(code::RESOURCE_FORBIDDEN)?)
}

/// Fills in what a sign-up has to bring, and how its address is verified.
pub fn fill_sign_up(ctx: &Ctx, attempt: &mut SignUp) {
    let is = |verification: &Option<Verification>, status| {
        verification.as_ref().is_some_and(|verification| verification.status == status)
    };
    let verification =
        attempt.email_verification.as_ref().filter(|verification| verification.status == Status::Verified);
    let by_verification = verification
        .filter(|verification| verification.address == attempt.email_address)
        .map(|_| AddressEvidence::Verification);
    let social = is(&attempt.external_account, Status::Verified);
    let word = attempt.provider_profile.as_ref().filter(|profile| {
        let named = profile.email.as_deref().and_then(EmailAddress::parse);
        let is_same = named.is_some_and(|named| Some(named.as_str()) == attempt.email_address.as_deref());
        social && is_same && linking::is_enough(profile.email_trust, &policy(ctx))
    });
    let vouched = by_verification.or(word.map(|_| AddressEvidence::Provider)).unwrap_or(AddressEvidence::No);
    let given = SignUpFacts {
        email: attempt.email_address.as_ref().map(|_| vouched),
        username: attempt.username.is_some(),
        password: attempt.has_password,
        first_name: attempt.first_name.is_some(),
        last_name: attempt.last_name.is_some(),
        legal_accepted: attempt.legal_accepted_at.is_some(),
        social,
    };
    attempt.fields = Some(sign_up::fields(&ctx.instance.settings, &given, Defences::ALL));
    attempt.verification_strategies = supported_factors(ctx).verification_strategies();
}
