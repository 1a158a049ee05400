//! The page that asks whether an application may have access: what it shows. Whether
//! it has to be asked, and what an answer does, is decided elsewhere.

use askama::Template;
use axum::response::Response;

use super::content_security_policy::FormTarget;
use super::layout::{Layout, Reply, page};
use super::messages::{fill, text};
use crate::model::instance::Instance;
use crate::model::oauth::redirect_uri::{self, Destination};
use crate::model::oauth::scope::built_in;

/// A scope in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeLine {
    /// What it allows.
    pub sentence: String,
    /// Stands first, marked.
    pub is_sensitive: bool,
    /// Has to be allowed; the others are listed under "also".
    pub requires_consent: bool,
}

impl ScopeLine {
    /// The line of `scope`; a scope nobody described stands under its own name.
    pub fn of(scope: &str) -> Self {
        match built_in(scope) {
            Some(known) => Self {
                sentence: known.description.to_owned(),
                is_sensitive: known.is_sensitive,
                requires_consent: known.requires_consent,
            },
            None => Self { sentence: scope.to_owned(), is_sensitive: false, requires_consent: true },
        }
    }
}

/// Whether somebody vouches for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeByOperator {
    /// It was made by an operator.
    Yes,
    /// It registered or described itself.
    No,
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Consent<'a> {
    /// Whose users are asked.
    pub instance: &'a Instance,
    /// The application's name.
    pub client: &'a str,
    /// Whether an operator vouches for it.
    pub vouched: MadeByOperator,
    /// The signed-in account, as its owner knows it: an address, a username.
    pub account: &'a str,
    /// Where to choose another account; an address of ours.
    pub other_account: Option<String>,
    /// The scopes asked for, in the order asked.
    pub scopes: Vec<ScopeLine>,
    /// The redirect URI as presented; it matched a registered one.
    pub redirect_uri: &'a str,
    /// Where the form is posted; an address of ours.
    pub action: String,
    /// The hidden field against forged posts, where the endpoint checks one.
    pub csrf: Option<String>,
    /// The original authorization parameters; validated again when they come back.
    pub parameters: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    shell: Layout,
    heading: String,
    client: &'a str,
    as_account: String,
    other_account: Option<&'a str>,
    warnings: Vec<String>,
    asked: Vec<&'a ScopeLine>,
    also: Vec<&'a ScopeLine>,
    goes_to: &'static str,
    domain: Option<String>,
    redirect_uri: &'a str,
    action: &'a str,
    csrf: Option<&'a str>,
    parameters: &'a [(String, String)],
}

impl Consent<'_> {
    fn state(&self, destination: Destination) -> &'static str {
        match (self.vouched, destination) {
            (MadeByOperator::No, _) => "ask.unverified",
            (_, Destination::Loopback | Destination::PrivateUse) => "ask.loopback",
            _ => "ask",
        }
    }

    fn warnings(&self, destination: Destination) -> Vec<String> {
        let words = |key: &str| fill(key, &[("client", self.client)]);
        let unverified = (self.vouched == MadeByOperator::No).then(|| words("consent.warn_unverified"));
        let imitable = match destination {
            Destination::Web => None,
            Destination::Loopback => Some(words("consent.warn_loopback")),
            Destination::PrivateUse => Some(words("consent.warn_private_use")),
        };
        unverified.into_iter().chain(imitable).collect()
    }

    /// The page. Its policy lets the form end at the redirect URI's origin or scheme.
    pub fn render(&self) -> Response {
        let destination = redirect_uri::destination(self.redirect_uri);
        let shell = Layout::new(self.instance, "oauth.consent", self.state(destination), "consent.step");
        let mut asked: Vec<&ScopeLine> = self.scopes.iter().filter(|line| line.requires_consent).collect();
        // Stable: within each kind the order stays as asked.
        asked.sort_by_key(|line| !line.is_sensitive);
        let domain = redirect_uri::registrable_domain(self.redirect_uri)
            .or_else(|| redirect_uri::host(self.redirect_uri).map(str::to_owned));
        let goes_to = match domain {
            Some(_) => text("consent.goes_to"),
            None => text("consent.goes_to_app"),
        };
        let view = ConsentPage {
            heading: shell.fill("consent.heading", "client", self.client),
            as_account: shell.fill("consent.as", "account", self.account),
            warnings: self.warnings(destination),
            asked,
            also: self.scopes.iter().filter(|line| !line.requires_consent).collect(),
            goes_to,
            domain,
            client: self.client,
            other_account: self.other_account.as_deref(),
            redirect_uri: self.redirect_uri,
            action: &self.action,
            csrf: self.csrf.as_deref(),
            parameters: &self.parameters,
            shell,
        };
        let form_action: Vec<FormTarget> = FormTarget::of_redirect_uri(self.redirect_uri).into_iter().collect();
        page(&view, Reply { form_action: &form_action, ..Reply::default() })
    }
}
