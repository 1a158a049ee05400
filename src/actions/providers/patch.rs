//! What somebody wants of a provider's settings, and what comes of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ProviderError;
use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::problem::{Error, code};
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::store::provider_configs;

/// What becomes of a setting that can be absent.
#[derive(Clone, Debug, Default)]
pub enum Set<T> {
    /// It stays.
    #[default]
    Leave,
    /// It goes.
    Clear,
    /// It is this from now on.
    To(T),
}

impl<T: Clone> Set<T> {
    fn apply(&self, place: &mut Option<T>) {
        match self {
            Self::Leave => {}
            Self::Clear => *place = None,
            Self::To(value) => *place = Some(value.clone()),
        }
    }
}

/// Settings of a provider; what is `None` stays as it is.
#[derive(Debug, Default)]
pub struct Patch {
    /// Flows may use it.
    pub is_enabled: Option<bool>,
    /// It may be used to sign in and up; otherwise only connected.
    pub is_authenticatable: Option<bool>,
    /// A sign-up is not complete without it.
    pub is_required: Option<bool>,
    /// Not shown as a button.
    pub is_not_selectable: Option<bool>,
    /// Refuses subaddresses of addresses that have an account.
    pub blocks_email_subaddresses: Option<bool>,
    /// One user may have several accounts there.
    pub allows_multiple_accounts: Option<bool>,
    /// Whose credentials. A client id alone says "the operator's own"; the simulation forgets what was there.
    pub credentials: Option<Credentials>,
    /// The operator's client id.
    pub client_id: Set<String>,
    /// The operator's client secret.
    pub client_secret: Set<Secret>,
    /// Scopes beyond the base ones.
    pub scopes: Option<Vec<String>>,
    /// The scopes that an app may ask for beyond those; cleared = any.
    pub allowed_additional_scopes: Set<Vec<String>>,
    /// Tenant, host and the like.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Members of a custom provider's description; null removes one.
    pub custom: Option<Map<String, Value>>,
}

const CLIENT_ID_LENGTH: usize = 255;
const SECRET_LENGTH: usize = 4096;
const SCOPES: usize = 100;
const SCOPE_LENGTH: usize = 255;

impl Patch {
    /// Writes every setting but the custom description into `config`.
    pub(super) fn apply(&self, ctx: &Ctx, config: &mut ProviderConfig) -> Result<(), ProviderError> {
        let flags = [
            (self.is_enabled, &mut config.is_enabled),
            (self.is_authenticatable, &mut config.is_authenticatable),
            (self.is_required, &mut config.is_required),
            (self.is_not_selectable, &mut config.is_not_selectable),
            (self.blocks_email_subaddresses, &mut config.blocks_email_subaddresses),
            (self.allows_multiple_accounts, &mut config.allows_multiple_accounts),
        ];
        for (wanted, place) in flags {
            *place = wanted.unwrap_or(*place);
        }
        self.apply_credentials(ctx, config)?;
        if let Some(scopes) = &self.scopes {
            let takes_scopes = ctx
                .app
                .catalogue
                .get(&config.provider)
                .is_none_or(|known| known.authorize.scope_separator.is_some() || scopes.is_empty());
            if !takes_scopes {
                return Err(ProviderError::setting(
                    "scopes",
                    code::FORM_PARAM_VALUE_INVALID,
                    "This provider has no scopes.",
                ));
            }
            config.scopes = checked_scopes("scopes", scopes)?;
        }
        self.allowed_additional_scopes.apply(&mut config.allowed_additional_scopes);
        if let Set::To(scopes) = &self.allowed_additional_scopes {
            config.allowed_additional_scopes = Some(checked_scopes("allowed_additional_scopes", scopes)?);
        }
        if let Some(parameters) = &self.parameters {
            config.parameters = parameters.clone();
        }
        Ok(())
    }

    fn apply_credentials(&self, ctx: &Ctx, config: &mut ProviderConfig) -> Result<(), ProviderError> {
        let is_own = matches!(self.client_id, Set::To(_)) || matches!(self.client_secret, Set::To(_));
        match self.credentials {
            Some(Credentials::Simulated) if is_own => {
                let what = "A simulated provider has credentials of its own.";
                return Err(ProviderError::setting("credentials", code::FORM_PARAM_VALUE_INVALID, what));
            }
            Some(Credentials::Simulated) => {
                check_simulation(ctx, &config.provider)?;
                (config.client_id, config.client_secret_sealed) = (None, None);
                config.credentials = Credentials::Simulated;
            }
            Some(Credentials::Custom) => config.credentials = Credentials::Custom,
            None if is_own => config.credentials = Credentials::Custom,
            None => {}
        }
        if let Set::To(id) = &self.client_id {
            let is_good = (1..=CLIENT_ID_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_good {
                let what = "A client id has 1 to 255 visible ASCII characters.";
                return Err(ProviderError::setting("client_id", code::FORM_PARAM_FORMAT_INVALID, what));
            }
        }
        self.client_id.apply(&mut config.client_id);
        match &self.client_secret {
            Set::Leave => {}
            Set::Clear => config.client_secret_sealed = None,
            Set::To(secret) => config.client_secret_sealed = Some(sealed(ctx, &config.provider, secret)?),
        }
        Ok(())
    }
}

/// Real users would be let in by whoever asks; and there must be something to simulate.
fn check_simulation(ctx: &Ctx, slug: &str) -> Result<(), ProviderError> {
    if !ctx.instance.allows_simulated_providers() {
        return Err(ProviderError::Production);
    }
    match ctx.app.catalogue.get(slug) {
        Some(_) => Ok(()),
        None => Err(ProviderError::NoSimulation(slug.to_owned())),
    }
}

fn sealed(ctx: &Ctx, slug: &str, secret: &Secret) -> Result<Vec<u8>, ProviderError> {
    let text = secret.expose_secret();
    let is_good = (1..=SECRET_LENGTH).contains(&text.len()) && !text.contains(char::is_control) && text.trim() == text;
    if !is_good {
        let what = "A client secret has 1 to 4096 characters, no blanks around it and no line breaks in it.";
        return Err(ProviderError::setting("client_secret", code::FORM_PARAM_FORMAT_INVALID, what));
    }
    let at = provider_configs::secret_at(ctx.instance_id(), slug);
    Ok(ctx.app.ring.seal(ctx.rng(), &at, text.as_bytes()).map_err(Error::internal)?)
}

/// Scopes (RFC 6749 section 3.3), each once and in order.
pub(super) fn checked_scopes(setting: &str, scopes: &[String]) -> Result<Vec<String>, ProviderError> {
    let is_scope = |scope: &String| {
        let fits = (1..=SCOPE_LENGTH).contains(&scope.len());
        fits && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    if scopes.len() > SCOPES || !scopes.iter().all(is_scope) {
        let what = "At most 100 scopes of at most 255 visible ASCII characters, without quotes and backslashes.";
        return Err(ProviderError::setting(setting, code::FORM_PARAM_FORMAT_INVALID, what));
    }
    let mut once: Vec<String> = Vec::new();
    for scope in scopes {
        if !once.contains(scope) {
            once.push(scope.clone());
        }
    }
    Ok(once)
}
