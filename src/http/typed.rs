//! The fields of a sign-up as a form or a call carries them.

use super::extract::Params;
use crate::actions::sign_up::change::Typed;
use crate::crypto::Secret;
use crate::model::email::EmailAddress;
use crate::model::problem::{Problem, code};
use crate::model::text::{METADATA_SIZE, is_person_name};
use crate::store::attempts::SignUpFields;

/// The longest name, in characters.
const NAME_LENGTH: usize = 256;

/// What somebody typed, or the app sends along.
///
/// # Errors
/// `form_param_format_invalid`, `form_param_exceeds_allowed_size`.
pub fn typed(params: &Params) -> Result<Typed, Problem> {
    let wrong = |param: &str| Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(param);
    let name = |param: &str| match params.text(param) {
        Some(name) if name.chars().count() > NAME_LENGTH || !is_person_name(name) => Err(wrong(param)),
        name => Ok(name.map(str::to_owned)),
    };
    let unsafe_metadata = params.object("unsafe_metadata")?;
    if unsafe_metadata.as_ref().is_some_and(|metadata| metadata.to_string().len() > METADATA_SIZE) {
        return Err(Problem::new(code::FORM_PARAM_EXCEEDS_ALLOWED_SIZE).param("unsafe_metadata"));
    }
    let email = params.text("email_address");
    let email = email.map(|text| EmailAddress::parse(text).ok_or_else(|| wrong("email_address"))).transpose()?;
    let legal_accepted = params.flag("legal_accepted")?;
    let fields = SignUpFields {
        unsafe_metadata,
        first_name: name("first_name")?,
        last_name: name("last_name")?,
        locale: params.text("locale").filter(|locale| locale.len() <= 35).map(str::to_owned),
        legal_accepted: legal_accepted == Some(true),
    };
    let password = params.text("password").map(|text| Secret::from(text.to_owned()));
    Ok(Typed { email, username: params.text("username").map(str::to_owned), password, legal_accepted, fields })
}
