//! The providers that this version knows, parsed once at start.

use super::descriptor::{Descriptor, DescriptorError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The files compiled in. A new provider adds its file and its line here.
const FILES: &[&str] = &[
    include_str!("../../config/providers/google.toml"),
    include_str!("../../config/providers/notion.toml"),
    include_str!("../../config/providers/github.toml"),
];

/// The built-in providers by slug.
#[derive(Clone, Debug)]
pub struct Catalogue {
    providers: BTreeMap<String, Arc<Descriptor>>,
}

/// What a strategy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'s> {
    /// A built-in provider, by its slug.
    BuiltIn(&'s str),
    /// A custom provider of the instance, by its slug `custom_<key>`.
    Custom(&'s str),
}

impl Named<'_> {
    /// The value of `provider_configs.provider` and `external_accounts.provider`.
    pub fn slug(&self) -> &str {
        match self {
            Self::BuiltIn(slug) | Self::Custom(slug) => slug,
        }
    }
}

impl Catalogue {
    /// Parses and checks every file that is compiled in.
    pub fn load() -> Result<Self, DescriptorError> {
        Self::of(FILES)
    }

    /// The providers that `files` describe.
    pub fn of(files: &[&str]) -> Result<Self, DescriptorError> {
        let mut providers = BTreeMap::new();
        for text in files {
            let descriptor = Descriptor::parse(text)?;
            let slug = descriptor.slug.clone();
            if providers.insert(slug.clone(), Arc::new(descriptor)).is_some() {
                return Err(DescriptorError::Rule { slug, what: "two files with one slug".to_owned() });
            }
        }
        Ok(Self { providers })
    }

    /// The built-in provider of that slug, or of which that is an older name.
    pub fn get(&self, slug: &str) -> Option<&Arc<Descriptor>> {
        let by_alias = || self.all().find(|descriptor| descriptor.aliases.iter().any(|alias| alias == slug));
        self.providers.get(slug).or_else(by_alias)
    }

    /// Every built-in provider, by slug.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Descriptor>> {
        self.providers.values()
    }

    /// What a provider's name, with or without `oauth_` (`/users/{id}/oauth_access_tokens/{provider}`),
    /// stands for.
    pub fn by_name<'s>(&'s self, name: &'s str) -> Option<Named<'s>> {
        self.by_slug(name.strip_prefix("oauth_").unwrap_or(name))
    }

    /// What a slug (`google`, `custom_acme`) names; `None` for what names no provider we know. Whether a custom provider
    /// exists, and whether either is enabled, is the instance's matter.
    pub fn by_slug<'s>(&'s self, slug: &'s str) -> Option<Named<'s>> {
        if let Some(key) = slug.strip_prefix("custom_") {
            return super::custom::is_key(key).then_some(Named::Custom(slug));
        }
        self.get(slug).map(|descriptor| Named::BuiltIn(&descriptor.slug))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_compiled_in_under_its_own_name() {
        let catalogue = Catalogue::load().unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(files, catalogue.all().map(|descriptor| descriptor.slug.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn slugs_and_names_lead_to_providers() {
        let catalogue = Catalogue::load().unwrap();
        assert_eq!(catalogue.by_slug("google"), Some(Named::BuiltIn("google")));
        assert_eq!(catalogue.by_slug("custom_acme"), Some(Named::Custom("custom_acme")));
        assert_eq!(catalogue.by_name("notion").map(|named| named.slug().to_owned()), Some("notion".to_owned()));
        assert_eq!(catalogue.by_name("oauth_notion"), Some(Named::BuiltIn("notion")));
        for unknown in ["oauth_google", "", "nope", "password", "Google", "custom_", "custom_A"] {
            assert_eq!(catalogue.by_slug(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_misspelt_member_is_refused() {
        let good = FILES[0];
        assert!(Descriptor::parse(good).is_ok());
        for (from, to) in [
            ("send_pkce = true", "send_pcke = true"),
            ("\"supported\"", "\"whatever\""),
            ("trust = \"claim\"", "trust = \"never\""),
            ("id_token.sub", "idtoken.sub"),
            ("id_token.email\"", "id_token[email\""),
            ("\"google_email_subaddress_block\"", "\"a_hook_of_tomorrow\""),
            ("scope_separator = \" \"\nparams", "params"),
            ("[refresh]", "[refresh]\nexchange = { grant_type = \"longer\", token_param = \"token\" }"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(Descriptor::parse(&good.replace(from, to)).is_err(), "{to}");
        }
    }
}
