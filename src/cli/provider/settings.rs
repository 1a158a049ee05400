//! The settings of a provider as options of `vestibule provider add` and `set`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::secret;
use super::usage;
use crate::actions::providers::{Patch, Set};
use crate::model::provider_config::ProviderConfig;

/// As allowed scopes: all that there are.
const ANY: &str = "any";

/// What both commands take.
#[derive(Debug, Default, Args)]
pub struct Settings {
    /// Client id at the provider: the real service
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// File with the client secret; - reads it from stdin
    #[arg(long, value_name = "PATH")]
    client_secret_file: Option<PathBuf>,
    /// Scopes beyond the provider's usual ones, separated by blanks
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<String>,
    /// Scopes that apps may ask signed-in people for beyond those, separated by blanks; "any" for all
    #[arg(long, value_name = "SCOPES")]
    allowed_scopes: Option<String>,
    /// Whether it can be used to sign in and up; if not, signed-in people can connect it
    #[arg(long, value_name = "BOOL")]
    authenticatable: Option<bool>,
    /// Whether a sign-up needs it
    #[arg(long, value_name = "BOOL")]
    required: Option<bool>,
    /// Whether pages hide its button
    #[arg(long, value_name = "BOOL")]
    not_selectable: Option<bool>,
    /// Whether it refuses new people whose address is a subaddress (ada+x@) of one with an account
    #[arg(long, value_name = "BOOL")]
    block_subaddresses: Option<bool>,
    /// Whether one user may connect several accounts of it
    #[arg(long, value_name = "BOOL")]
    multiple_accounts: Option<bool>,
    /// A parameter of the provider (tenant, host)
    #[arg(long = "parameter", value_name = "NAME=VALUE", action = ArgAction::Append)]
    parameters: Vec<String>,
    #[command(flatten, next_help_heading = "Custom providers")]
    custom: Custom,
}

/// How a custom provider is described.
#[derive(Debug, Default, Args)]
struct Custom {
    /// Address of its issuer: the discovery document says the rest
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Address of its discovery document, where the issuer's is not the usual one
    #[arg(long, value_name = "URL")]
    discovery_url: Option<String>,
    /// Where people are sent to sign in, if there is no discovery document
    #[arg(long, value_name = "URL")]
    authorization_url: Option<String>,
    /// Where codes become tokens
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// Who somebody is
    #[arg(long, value_name = "URL")]
    userinfo_url: Option<String>,
    /// The keys of its id_tokens
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// What people read on its button [default: the issuer's host]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Picture on its button
    #[arg(long, value_name = "URL")]
    logo_url: Option<String>,
    /// How we authenticate ourselves [default: what the discovery document says, else client_secret_basic]
    #[arg(long, value_name = "METHOD", value_parser = ["client_secret_basic", "client_secret_post", "none"])]
    token_auth: Option<String>,
    /// Whether PKCE is used; always without a secret
    #[arg(long, value_name = "BOOL")]
    pkce: Option<bool>,
    /// Its usual scopes, separated by blanks [default: openid profile email]
    #[arg(long, value_name = "SCOPES")]
    base_scopes: Option<String>,
    /// Believe its claim that an address is verified. Whoever runs it can then take accounts by address
    #[arg(long, value_name = "BOOL")]
    trust_email_verified: Option<bool>,
    /// Where an attribute comes from (email=data.0.mail); an empty source leaves the attribute out
    #[arg(long = "map", value_name = "ATTRIBUTE=SOURCE", action = ArgAction::Append)]
    map: Vec<String>,
    /// An attribute's value where the source has none
    #[arg(long = "map-default", value_name = "ATTRIBUTE=VALUE", action = ArgAction::Append)]
    map_default: Vec<String>,
}

impl Settings {
    /// The patch that the options say; `found` is what there is. The secret is read only now.
    pub(super) fn patch(&self, found: Option<&ProviderConfig>) -> Result<Patch, Failure> {
        let words = |text: &String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut parameters = found.map(|found| found.parameters.clone()).unwrap_or_default();
        for pair in &self.parameters {
            let (name, value) = split(pair, "--parameter")?;
            parameters.insert(name.to_owned(), value.to_owned());
        }
        let secret = self.client_secret_file.as_deref().map(secret::read).transpose()?;
        Ok(Patch {
            is_authenticatable: self.authenticatable,
            is_required: self.required,
            is_not_selectable: self.not_selectable,
            blocks_email_subaddresses: self.block_subaddresses,
            allows_multiple_accounts: self.multiple_accounts,
            client_id: self.client_id.as_ref().map_or(Set::Leave, |id| Set::To(id.trim().to_owned())),
            client_secret: secret.map_or(Set::Leave, Set::To),
            scopes: self.scopes.as_ref().map(words),
            allowed_additional_scopes: self.allowed_scopes.as_ref().map_or(Set::Leave, |text| allowed_scopes(text)),
            parameters: (!self.parameters.is_empty()).then_some(parameters),
            custom: self.custom.members(found)?,
            ..Patch::default()
        })
    }

    /// True if no option was given.
    pub(super) fn is_empty(&self) -> bool {
        let flags = [
            self.authenticatable,
            self.required,
            self.not_selectable,
            self.block_subaddresses,
            self.multiple_accounts,
            self.custom.pkce,
            self.custom.trust_email_verified,
        ];
        let texts = [&self.client_id, &self.scopes, &self.allowed_scopes]
            .into_iter()
            .chain(self.custom.texts().map(|(_, text)| text));
        let lists = [&self.parameters, &self.custom.map, &self.custom.map_default];
        self.client_secret_file.is_none()
            && flags.iter().all(Option::is_none)
            && texts.into_iter().all(Option::is_none)
            && lists.iter().all(|list| list.is_empty())
    }

    /// True if the provider gets credentials of the operator's.
    pub(super) fn has_client(&self) -> bool {
        self.client_id.is_some()
    }

    /// True if a secret comes along.
    pub(super) fn has_secret(&self) -> bool {
        self.client_secret_file.is_some()
    }
}

impl Custom {
    /// The options that are texts, by the member they fill.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &Option<String>)> {
        [
            ("issuer", &self.issuer),
            ("discovery_url", &self.discovery_url),
            ("authorization_url", &self.authorization_url),
            ("token_url", &self.token_url),
            ("userinfo_url", &self.userinfo_url),
            ("jwks_url", &self.jwks_url),
            ("name", &self.label),
            ("logo_url", &self.logo_url),
            ("client_auth", &self.token_auth),
            ("scopes", &self.base_scopes),
        ]
        .into_iter()
    }

    /// The members of the description that the options say; `None` if there is none.
    fn members(&self, found: Option<&ProviderConfig>) -> Result<Option<Map<String, Value>>, Failure> {
        let mut members = Map::new();
        for (name, text) in self.texts() {
            let Some(text) = text else { continue };
            let value = if name == "scopes" { json!(text.split_whitespace().collect::<Vec<_>>()) } else { json!(text) };
            members.insert(name.to_owned(), value);
        }
        let flags = [("use_pkce", self.pkce), ("trust_email_verified", self.trust_email_verified)];
        members.extend(flags.into_iter().filter_map(|(name, flag)| Some((name.to_owned(), json!(flag?)))));
        if !self.map.is_empty() || !self.map_default.is_empty() {
            members.insert("attribute_mapping".to_owned(), self.mapping(found)?);
        }
        Ok((!members.is_empty()).then_some(members))
    }

    /// The stored mapping with the named attributes changed.
    fn mapping(&self, found: Option<&ProviderConfig>) -> Result<Value, Failure> {
        let stored = found.and_then(|found| found.custom.as_ref()?.get("attribute_mapping")?.as_object().cloned());
        let mut mapping = stored.unwrap_or_default();
        for pair in &self.map {
            let (target, source) = split(pair, "--map")?;
            let default = mapping.get(target).and_then(|known| known.get("default")).cloned();
            mapping.insert(target.to_owned(), json!({ "source": source, "default": default }));
        }
        for pair in &self.map_default {
            let (target, default) = split(pair, "--map-default")?;
            let known = mapping.get(target).and_then(|known| known.get("source")).cloned();
            let Some(source) = known else {
                return Err(usage(&format!("--map-default {target}=… needs --map {target}=SOURCE")));
            };
            mapping.insert(target.to_owned(), json!({ "source": source, "default": default }));
        }
        Ok(Value::Object(mapping))
    }
}

/// What `--allowed-scopes` means.
fn allowed_scopes(text: &str) -> Set<Vec<String>> {
    if text == ANY { Set::Clear } else { Set::To(text.split_whitespace().map(str::to_owned).collect()) }
}

fn split<'a>(pair: &'a str, option: &str) -> Result<(&'a str, &'a str), Failure> {
    pair.split_once('=').ok_or_else(|| usage(&format!("{option} wants NAME=VALUE, not \"{pair}\"")))
}
