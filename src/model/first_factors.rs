//! The factors of an account that an attempt may be shown, in their order: password, codes,
//! links, providers.

use super::client::SignIn;
use super::email::EmailAddress;
use super::factor::{Factor, FactorAddress};
use super::id::IdentificationId;
use super::settings::{EnumerationProtection, Settings};
use super::strategy::{MailStrategy, ProviderSlug, Strategy};
use super::user::{Identification, IdentificationStatus, User};

/// What an instance offers besides its settings.
#[derive(Clone, Copy, Debug)]
pub struct SupportedFactors<'a> {
    /// Its settings.
    pub settings: &'a Settings,
    /// It can send mail.
    pub sends_mail: bool,
}

impl SupportedFactors<'_> {
    /// The ways to verify an address, codes before links.
    fn mail_strategies(&self) -> impl Iterator<Item = MailStrategy> {
        let email = &self.settings.email;
        MailStrategy::ALL.iter().copied().filter(|way| {
            let is_on = match way {
                MailStrategy::EmailCode => email.code,
                MailStrategy::EmailLink => email.link,
            };
            is_on && self.sends_mail
        })
    }

    /// The strategies by which a sign-up verifies its address.
    pub fn verification_strategies(&self) -> Vec<MailStrategy> {
        self.mail_strategies().collect()
    }

    fn mail_factors(&self, addresses: &[FactorAddress]) -> Vec<Factor> {
        self.mail_strategies()
            .flat_map(|way| addresses.iter().map(move |address| Factor::mailed(way.into(), address)))
            .collect()
    }

    /// There are passwords, and whoever has forgotten theirs can be sent a code.
    pub fn resets_passwords(&self) -> bool {
        self.sends_mail && self.settings.attributes.password.is_enabled()
    }

    fn resets(&self, addresses: &[FactorAddress]) -> Vec<Factor> {
        let resets = addresses.iter().filter(|_| self.resets_passwords());
        resets.map(|address| Factor::mailed(Strategy::ResetPasswordEmailCode, address)).collect()
    }
}

/// The first factors of a sign-in that waits for one.
pub fn first_factors(supported: SupportedFactors<'_>, attempt: &SignIn) -> Vec<Factor> {
    let is_strict = supported.settings.enumeration_protection == EnumerationProtection::Strict;
    if attempt.has_pending_account {
        let wanted = |address: &&Identification| Some(&address.id) == attempt.identification_id.as_ref();
        let address = attempt.user.iter().flat_map(User::emails).find(wanted).and_then(of_user);
        return supported.mail_factors(&Vec::from_iter(address));
    }
    match &attempt.user {
        Some(user) if !is_strict => of_known(supported, attempt, user),
        _ => of_anybody(supported, attempt, is_strict),
    }
}

/// The factors that verify once more who is signed in: no provider among them.
pub fn reverification_factors(supported: SupportedFactors<'_>, user: &User, has_password: bool) -> Vec<Factor> {
    let addresses = verified_addresses(user, supported.settings);
    let password = has_password.then(|| Factor::plain(Strategy::Password));
    let mail = supported.mail_factors(&addresses).into_iter().filter(|factor| factor.strategy == Strategy::EmailCode);
    password.into_iter().chain(mail).collect()
}

fn of_known(supported: SupportedFactors<'_>, attempt: &SignIn, user: &User) -> Vec<Factor> {
    let mut factors = Vec::new();
    if attempt.has_password && supported.settings.attributes.password.is_enabled() {
        factors.push(Factor::plain(Strategy::Password));
    }
    let addresses = verified_addresses(user, supported.settings);
    factors.extend(supported.mail_factors(&addresses));
    if attempt.has_password {
        factors.extend(supported.resets(&addresses));
    }
    let has = |slug: &&ProviderSlug| user.external_accounts.iter().any(|eac| eac.is_verified && eac.provider == **slug);
    let connected: Vec<&ProviderSlug> = attempt.providers.iter().filter(has).collect();
    let shown = if factors.is_empty() && connected.is_empty() { attempt.providers.iter().collect() } else { connected };
    factors.extend(shown.into_iter().map(|slug| Factor::plain(Strategy::OAuth(slug.clone()))));
    factors
}

/// What can be said without knowing, or without telling, who it is.
fn of_anybody(supported: SupportedFactors<'_>, attempt: &SignIn, is_strict: bool) -> Vec<Factor> {
    let mut factors = Vec::new();
    if is_strict && supported.settings.attributes.password.is_enabled() {
        factors.push(Factor::plain(Strategy::Password));
    }
    let typed = attempt.identifier.as_deref().and_then(EmailAddress::parse);
    let address = typed.map(|value| FactorAddress {
        id: alias(attempt),
        value,
        identification: attempt.identification_id.clone(),
        is_primary: true,
    });
    let addresses = Vec::from_iter(address);
    factors.extend(supported.mail_factors(&addresses));
    if is_strict {
        factors.extend(supported.resets(&addresses));
    }
    factors
}

/// An id that says no more than the attempt's own.
fn alias(attempt: &SignIn) -> String {
    let tail = attempt.id.as_str().split('_').nth(1).unwrap_or_default();
    format!("{}_{tail}", IdentificationId::PREFIX)
}

/// The addresses that identify a user, the primary one first.
fn verified_addresses(user: &User, settings: &Settings) -> Vec<FactorAddress> {
    let counts = |address: &&Identification| {
        address.status != IdentificationStatus::Unverified || !settings.attributes.email_address.verify_at_sign_up
    };
    user.emails().filter(counts).filter_map(of_user).collect()
}

fn of_user(address: &Identification) -> Option<FactorAddress> {
    Some(FactorAddress {
        id: address.id.as_str().to_owned(),
        value: EmailAddress::parse(&address.value)?,
        identification: Some(address.id.clone()),
        is_primary: address.is_primary,
    })
}
