//! The ways into an account that an attempt is shown, and the one that is asked for.

use crate::context::Ctx;
use crate::flows::policy::policy;
use crate::flows::proof;
use crate::model::client::{SignIn, SignUp};
use crate::model::defences::Defences;
use crate::model::email::EmailAddress;
use crate::model::factor::Factor;
use crate::model::first_factors::{self, Offer};
use crate::model::linking;
use crate::model::problem::{Problem, Result, code};
use crate::model::sign_up::{self, Given, Vouched};
use crate::model::verification::{Status, Verification};

/// Names of strategies that exist, whether or not this server offers them: others are misspelled.
const STRATEGIES: &[&str] = &[
    "password",
    "email_code",
    "email_link",
    "phone_code",
    "reset_password_email_code",
    "reset_password_phone_code",
    "passkey",
    "ticket",
    "totp",
    "backup_code",
    "enterprise_sso",
    "saml",
    "google_one_tap",
];

/// What the instance offers.
pub fn offer(ctx: &Ctx) -> Offer<'_> {
    Offer { settings: &ctx.instance.settings, sends_mail: proof::can_send(&ctx.app, &ctx.instance) }
}

/// Fills in what the attempt is shown, while it waits for a first factor.
pub fn fill(ctx: &Ctx, attempt: &mut SignIn) {
    if attempt.status == "needs_first_factor" {
        attempt.first_factors = Some(first_factors::first_factors(offer(ctx), attempt));
    }
}

/// The factor that `strategy` and the address's id name; without an id the first one.
///
/// # Errors
/// `form_param_value_invalid` for a name that does not exist, `strategy_for_user_invalid` for one that is no way into
/// this account, `resource_forbidden` for an address that is not the account's.
pub fn chosen<'a>(factors: &'a [Factor], strategy: &str, address: Option<&str>) -> Result<&'a Factor> {
    if !STRATEGIES.contains(&strategy) && !strategy.starts_with("oauth_") && !strategy.starts_with("web3_") {
        return Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("strategy").into());
    }
    let mut named = factors.iter().filter(|factor| factor.strategy == strategy).peekable();
    if named.peek().is_none() {
        return Err(code::STRATEGY_FOR_USER_INVALID.into());
    }
    let has_id = |factor: &&Factor| factor.address.as_ref().is_none_or(|known| address.is_none_or(|id| known.id == id));
    Ok(named.find(has_id).ok_or(code::RESOURCE_FORBIDDEN)?)
}

/// Fills in what a sign-up has to bring, and how its address is proven.
pub fn fill_sign_up(ctx: &Ctx, attempt: &mut SignUp) {
    let is = |proof: &Option<Verification>, status| proof.as_ref().is_some_and(|proof| proof.status == status);
    let proof = attempt.email_verification.as_ref().filter(|proof| proof.status == Status::Verified);
    let by_hand = proof.filter(|proof| proof.address == attempt.email_address).map(|_| Vouched::Proof);
    let social = is(&attempt.external_account, Status::Verified);
    let word = attempt.provider_profile.as_ref().filter(|profile| {
        let named = profile.email.as_deref().and_then(EmailAddress::parse);
        let is_same = named.is_some_and(|named| Some(named.as_str()) == attempt.email_address.as_deref());
        social && is_same && linking::is_enough(profile.email_trust, &policy(ctx))
    });
    let vouched = by_hand.or(word.map(|_| Vouched::Provider)).unwrap_or(Vouched::No);
    let given = Given {
        email: attempt.email_address.as_ref().map(|_| vouched),
        username: attempt.username.is_some(),
        password: attempt.has_password,
        first_name: attempt.first_name.is_some(),
        last_name: attempt.last_name.is_some(),
        legal_accepted: attempt.legal_accepted_at.is_some(),
        social,
    };
    attempt.fields = Some(sign_up::fields(&ctx.instance.settings, &given, Defences::ALL));
    attempt.proofs = offer(ctx).proofs();
}
