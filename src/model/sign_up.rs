//! A sign-up attempt as rules: what it must have, what must be verified of it, and who
//! may become a user at all.

use super::defences::Defences;
use super::settings::{Settings, SignUpMode};
use super::text_enum::text_enum;

pub use super::sign_in::{AttemptLife, Refused};

text_enum! {
    /// Where an attempt stands.
    pub enum Status {
        /// It has to bring more, or something of it must be verified.
        MissingRequirements = "missing_requirements",
        /// It made a user.
        Complete = "complete",
    }
}

/// Something a sign-up can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// E-mail address.
    EmailAddress,
    /// Username.
    Username,
    /// Password.
    Password,
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// Consent to the terms.
    LegalAccepted,
}

impl Field {
    /// In the order in which people are asked.
    const ALL: [Self; 6] =
        [Self::EmailAddress, Self::Username, Self::Password, Self::FirstName, Self::LastName, Self::LegalAccepted];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmailAddress => "email_address",
            Self::Username => "username",
            Self::Password => "password",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::LegalAccepted => "legal_accepted",
        }
    }
}

/// What vouches for the address of a sign-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressEvidence {
    /// Nothing yet.
    No,
    /// The provider's claim, for the very address it named.
    Provider,
    /// A code or link that came back.
    Verification,
}

/// What a sign-up has so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct SignUpFacts {
    /// The address, and what vouches for it.
    pub email: Option<AddressEvidence>,
    /// A username.
    pub username: bool,
    /// A password.
    pub password: bool,
    /// A given name.
    pub first_name: bool,
    /// A family name.
    pub last_name: bool,
    /// The terms were accepted.
    pub legal_accepted: bool,
    /// A provider verified an identity that nobody else has.
    pub social: bool,
}

impl SignUpFacts {
    fn has(&self, field: Field) -> bool {
        match field {
            Field::EmailAddress => self.email.is_some(),
            Field::Username => self.username,
            Field::Password => self.password,
            Field::FirstName => self.first_name,
            Field::LastName => self.last_name,
            Field::LegalAccepted => self.legal_accepted,
        }
    }

    /// Whether the address counts as verified.
    pub fn is_email_verified(&self, defences: Defences) -> bool {
        match self.email {
            Some(AddressEvidence::Provider | AddressEvidence::Verification) => true,
            Some(AddressEvidence::No) => !defences.verified_at_sign_up,
            None => false,
        }
    }
}

/// What a sign-up has to bring, by the instance's settings and by what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Without these there is no user.
    pub required: Vec<Field>,
    /// These are taken as well.
    pub optional: Vec<Field>,
    /// Required and not there.
    pub missing: Vec<Field>,
    /// There, but must be verified.
    pub unverified: Vec<Field>,
}

impl Fields {
    /// Nothing stands between the attempt and its user.
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty() && self.unverified.is_empty()
    }
}

/// What `given` still needs. A password is not asked of people who come with a provider; who comes with nothing that
/// names them, or with no way to come back, is asked for it even if the settings require nothing.
pub fn fields(settings: &Settings, given: &SignUpFacts, defences: Defences) -> Fields {
    let rules = &settings.attributes;
    let mut fields = Fields::default();
    for field in Field::ALL {
        let (enabled, required) = match field {
            Field::EmailAddress => (rules.email_address.enabled, rules.email_address.required),
            Field::Username => (rules.username.is_enabled(), rules.username.required),
            Field::Password => (rules.password.is_enabled(), rules.password.required && !given.social),
            Field::FirstName => (rules.first_name.is_enabled(), rules.first_name.required),
            Field::LastName => (rules.last_name.is_enabled(), rules.last_name.required),
            Field::LegalAccepted => (settings.legal_consent, settings.legal_consent),
        };
        if required {
            fields.required.push(field);
        } else if enabled {
            fields.optional.push(field);
        }
        if required && !given.has(field) {
            fields.missing.push(field);
        }
    }
    if let Some(field) = lacking(settings, given)
        && !fields.missing.contains(&field)
    {
        fields.missing.insert(0, field);
    }
    if given.email.is_some() && rules.email_address.verify_at_sign_up && !given.is_email_verified(defences) {
        fields.unverified.push(Field::EmailAddress);
    }
    fields
}

/// What would make the difference between a user and nobody.
fn lacking(settings: &Settings, given: &SignUpFacts) -> Option<Field> {
    let names_him = given.social || given.email.is_some() || given.username;
    if !names_him {
        let by_address = settings.attributes.email_address.enabled || !settings.attributes.username.is_enabled();
        return Some(if by_address { Field::EmailAddress } else { Field::Username });
    }
    let comes_back = given.social || given.email.is_some() || given.password;
    (!comes_back).then_some(Field::Password)
}

/// Whether an attempt may be changed.
///
/// # Errors
/// It is over, or a newer one took its place.
pub fn may_change(life: AttemptLife, is_complete: bool) -> Result<(), Refused> {
    match life {
        AttemptLife::Replaced if !is_complete => Err(Refused::Replaced),
        AttemptLife::Current if !is_complete => Ok(()),
        _ => Err(Refused::State),
    }
}

/// Why somebody may not become a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUpRestriction {
    /// Only whom the operator invites.
    Restricted,
    /// Only whom the operator lets off the waitlist.
    Waitlist,
    /// A subaddress of an address that has an account.
    Subaddress,
    /// There are as many users as the instance takes.
    Quota,
}

/// Whether somebody may become a user; asked when the user would be made. `is_subaddress`: the provider's settings
/// refuse subaddresses and the address's base has an account.
///
/// # Errors
/// The first rule that says no.
pub fn may_sign_up(settings: &Settings, is_subaddress: bool, users: i64) -> Result<(), SignUpRestriction> {
    match settings.sign_up.mode {
        SignUpMode::Restricted => return Err(SignUpRestriction::Restricted),
        SignUpMode::Waitlist => return Err(SignUpRestriction::Waitlist),
        SignUpMode::Public => {}
    }
    if is_subaddress {
        return Err(SignUpRestriction::Subaddress);
    }
    let quota = i64::from(settings.sign_up.user_quota);
    if quota > 0 && users >= quota { Err(SignUpRestriction::Quota) } else { Ok(()) }
}

#[cfg(test)]
#[path = "sign_up_tests.rs"]
mod tests;
