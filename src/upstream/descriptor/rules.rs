//! The rules between the members of a provider file, and what follows from its members.

use super::{Descriptor, EmailLevel, Hook, Pkce, ProfilePaths, RefreshSupport};
use crate::upstream::path::Expression;

/// Why a provider file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Not TOML, an unknown member or value, or a path that does not parse.
    #[error("provider file does not parse: {0}")]
    Parse(#[from] toml::de::Error),
    /// A rule between members is broken.
    #[error("provider `{slug}`: {what}")]
    Rule {
        /// Whose file.
        slug: String,
        /// The rule.
        what: String,
    },
}

impl Descriptor {
    /// Parses and checks a provider file.
    pub fn parse(text: &str) -> Result<Self, DescriptorError> {
        toml::from_str::<Self>(text)?.checked()
    }

    /// The same descriptor, if it keeps the rules between its members.
    pub fn checked(self) -> Result<Self, DescriptorError> {
        match self.check() {
            Ok(()) => Ok(self),
            Err(what) => Err(DescriptorError::Rule { slug: self.slug, what }),
        }
    }

    /// The strategy by which SDKs name this provider.
    pub fn strategy(&self) -> String {
        format!("oauth_{}", self.slug)
    }

    /// Whether addresses with `+`, `=` or `#` are refused unless the operator says otherwise.
    pub fn blocks_email_subaddresses(&self) -> bool {
        self.hooks.contains(&Hook::GoogleEmailSubaddressBlock)
    }

    /// Rules between members.
    fn check(&self) -> Result<(), String> {
        check_slug(&self.slug)?;
        if self.authorize.send_pkce && self.authorize.pkce == Pkce::Rejected {
            return Err("send_pkce where PKCE is rejected".to_owned());
        }
        if !self.authorize.send_pkce && self.authorize.pkce == Pkce::Required {
            return Err("PKCE is required but not sent".to_owned());
        }
        if self.authorize.scope_separator.is_none() && !self.authorize.base_scopes.is_empty() {
            return Err("base scopes without a separator".to_owned());
        }
        if self.profile.provider_user_id.is_none() {
            return Err("profile.provider_user_id is needed".to_owned());
        }
        if (self.email.trust == EmailLevel::Claim) == self.profile.email_verified.is_empty() {
            return Err("email.trust = \"claim\" and profile.email_verified go together".to_owned());
        }
        if self.email.trust != EmailLevel::None && self.profile.email.is_none() {
            return Err("profile.email is needed unless email.trust is \"none\"".to_owned());
        }
        if self.refresh.exchange.is_some() && self.refresh.supported == RefreshSupport::Always {
            return Err("refresh.exchange where refresh tokens always come".to_owned());
        }
        self.check_roots()
    }

    /// Every root of a path must be an answer that exists.
    fn check_roots(&self) -> Result<(), String> {
        let mut roots = vec!["token", "callback"];
        if self.oidc.is_some() {
            roots.push("id_token");
        }
        for call in &self.calls {
            if roots.contains(&call.id.as_str()) || call.id == "answer" {
                return Err(format!("call id `{}` is taken", call.id));
            }
            roots.push(&call.id);
        }
        match self.profile.expressions().flat_map(Expression::roots).find(|root| !roots.contains(root)) {
            Some(unknown) => Err(format!("a path begins with `{unknown}`, which is no call")),
            None => Ok(()),
        }
    }
}

impl ProfilePaths {
    /// Every path, the id's first.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let single = [
            &self.provider_user_id,
            &self.email,
            &self.username,
            &self.first_name,
            &self.last_name,
            &self.name,
            &self.avatar_url,
            &self.phone,
            &self.locale,
        ];
        single.into_iter().flatten().chain(&self.email_verified).chain(self.public_metadata.values())
    }
}

/// A slug is part of addresses and row keys.
fn check_slug(slug: &str) -> Result<(), String> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if slug.is_empty() || slug.len() > 71 || !slug.bytes().all(is_word) {
        return Err("a slug has 1 to 71 of a-z, 0-9, _".to_owned());
    }
    Ok(())
}
