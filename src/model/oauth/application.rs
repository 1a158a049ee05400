//! An OAuth application (a client of our authorization server) and the rules for making one.

use super::redirect_uri::{self, PlainHttp};
use super::scope::{self, Scopes};
use crate::model::id::ApplicationId;
use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};
use crate::model::text::is_plain_name;
use crate::model::text_enum::text_enum;
use crate::model::time::Timestamp;

/// The longest name, in characters.
pub const MAX_NAME_LENGTH: usize = 256;
/// Characters of a client id (base62, 95 bits: unguessable, not secret).
pub const CLIENT_ID_LENGTH: usize = 16;
/// Characters of a client secret (base62, 190 bits).
pub const CLIENT_SECRET_LENGTH: usize = 32;

text_enum! {
    /// Who made an application known.
    pub enum Kind {
        /// An administrator.
        Managed = "managed",
        /// The application itself (RFC 7591).
        Registered = "registered",
        /// A client id metadata document.
        MetadataDocument = "metadata_document",
    }
}

text_enum! {
    /// Which claims go into an id_token.
    pub enum IdTokenClaims {
        /// Those of the granted scopes too: client libraries that never call userinfo need them.
        Full = "full",
        /// The protocol's own only.
        Minimal = "minimal",
    }
}

/// An application as stored; its secret is never among what is read.
#[derive(Clone, Debug)]
pub struct Application {
    /// Names it in the backend API.
    pub id: ApplicationId,
    /// Names it in the protocol.
    pub client_id: String,
    /// Who made it known.
    pub kind: Kind,
    /// Shown on the consent page.
    pub name: String,
    /// It has no secret and must use PKCE.
    pub is_public: bool,
    /// PKCE is demanded although it has a secret.
    pub pkce_required: bool,
    /// People are asked before it gets anything.
    pub consent_screen_enabled: bool,
    /// Where codes may be sent, never empty.
    pub redirect_uris: Vec<String>,
    /// The most it may ask for.
    pub scopes: Scopes,
    /// Its home page, shown as text.
    pub client_uri: Option<String>,
    /// Which claims its id_tokens hold.
    pub id_token_claims: IdTokenClaims,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Application {
    /// A code for it must be bound to a PKCE challenge.
    pub fn needs_pkce(&self) -> bool {
        self.is_public || self.pkce_required
    }
}

/// What an administrator says about a new application, unchecked.
#[derive(Clone, Debug, Default)]
pub struct NewApplication {
    /// See [`Application::name`].
    pub name: Option<String>,
    /// See [`Application::redirect_uris`].
    pub redirect_uris: Vec<String>,
    /// The deprecated single form of the same.
    pub callback_url: Option<String>,
    /// Space-separated; absent means `profile email`.
    pub scopes: Option<String>,
    /// See [`Application::consent_screen_enabled`]; absent means true.
    pub consent_screen_enabled: Option<bool>,
    /// See [`Application::pkce_required`]; absent means false.
    pub pkce_required: Option<bool>,
    /// See [`Application::is_public`]; absent means false.
    pub public: Option<bool>,
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedApplication {
    /// Trimmed, 1 to [`MAX_NAME_LENGTH`] characters.
    pub name: String,
    /// 1 to [`redirect_uri::MAX_COUNT`] registrable URIs, each once.
    pub redirect_uris: Vec<String>,
    /// Known scopes.
    pub scopes: Scopes,
    /// See [`Application::consent_screen_enabled`].
    pub consent_screen_enabled: bool,
    /// See [`Application::pkce_required`].
    pub pkce_required: bool,
    /// See [`Application::is_public`].
    pub is_public: bool,
}

impl NewApplication {
    /// Checks everything and tells all faults at once, in field order.
    ///
    /// # Errors
    /// `form_param_missing`, `form_param_exceeds_allowed_size`, `form_param_format_invalid`, `form_param_value_invalid`.
    pub fn check(self, instance: &Instance) -> Result<CheckedApplication, Problem> {
        let plain_http = match instance.allows_plain_http_clients() {
            true => PlainHttp::Anywhere,
            false => PlainHttp::LoopbackOnly,
        };
        let name = check_name(self.name);
        let redirect_uris = check_redirect_uris(self.redirect_uris, self.callback_url, plain_http);
        let scopes = check_scopes(self.scopes.as_deref());
        let problems = [name.as_ref().err(), redirect_uris.as_ref().err(), scopes.as_ref().err()];
        if let Some(all) = problems.into_iter().flatten().cloned().reduce(Problem::and) {
            return Err(all);
        }
        let is_public = self.public.unwrap_or(false);
        Ok(CheckedApplication {
            name: name?,
            redirect_uris: redirect_uris?,
            scopes: scopes?,
            consent_screen_enabled: self.consent_screen_enabled.unwrap_or(true),
            pkce_required: is_public || self.pkce_required.unwrap_or(false),
            is_public,
        })
    }
}

fn check_name(name: Option<String>) -> Result<String, Problem> {
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::new(code::FORM_PARAM_MISSING).param("name"))?;
    if name.chars().count() > MAX_NAME_LENGTH {
        return Err(Problem::new(code::FORM_PARAM_EXCEEDS_ALLOWED_SIZE).param("name"));
    }
    // Shown to people as the name of who asks.
    if !is_plain_name(&name) {
        return Err(Problem::new(code::FORM_PARAM_FORMAT_INVALID).param("name"));
    }
    Ok(name)
}

fn check_redirect_uris(
    listed: Vec<String>,
    single: Option<String>,
    plain_http: PlainHttp,
) -> Result<Vec<String>, Problem> {
    let param = if listed.is_empty() && single.is_some() { "callback_url" } else { "redirect_uris" };
    let mut uris = Vec::<String>::new();
    for uri in listed.into_iter().chain(single) {
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    if uris.is_empty() {
        return Err(Problem::new(code::FORM_PARAM_MISSING).param(param));
    }
    if uris.len() > redirect_uri::MAX_COUNT {
        return Err(Problem::new(code::FORM_PARAM_EXCEEDS_ALLOWED_SIZE).param(param));
    }
    for uri in &uris {
        redirect_uri::check_registrable(uri, plain_http).map_err(|why| {
            Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(param).explain(format!("The redirect URI {why}."))
        })?;
    }
    Ok(uris)
}

fn check_scopes(text: Option<&str>) -> Result<Scopes, Problem> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(Scopes::of_new_application());
    };
    if text.len() > scope::MAX_LENGTH {
        return Err(Problem::new(code::FORM_PARAM_EXCEEDS_ALLOWED_SIZE).param("scopes"));
    }
    let scopes = Scopes::parse(text).map_err(|_| Problem::new(code::FORM_PARAM_FORMAT_INVALID).param("scopes"))?;
    if let Some(unknown) = scopes.iter().find(|name| scope::built_in(name).is_none()) {
        let words = format!("{unknown} is not a scope of this instance.");
        return Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("scopes").explain(words));
    }
    Ok(scopes)
}

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
