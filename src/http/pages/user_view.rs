//! The profile page, read-only: what it shows.

use askama::Template;
use axum::response::Response;
use time::macros::format_description;

use super::content_security_policy::Opener;
use super::layout::{Layout, Reply, page};
use crate::model::instance::Instance;
use crate::model::time::Timestamp;

/// An address and its badges.
#[derive(Clone, Debug)]
pub struct Email {
    /// The address.
    pub address: String,
    /// The one that is used where one is needed.
    pub is_primary: bool,
    /// It was verified.
    pub is_verified: bool,
    /// Names of the providers that vouch for it.
    pub linked_to: Vec<String>,
}

/// A connected account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The provider's name.
    pub provider: String,
    /// How the provider knows the person.
    pub name: Option<String>,
    /// The day it was connected.
    pub since: String,
    /// It was not verified, or something is wrong with it.
    pub needs_attention: bool,
    /// How its token is doing, as a sentence.
    pub token: Option<String>,
}

/// A moment on a page: in UTC with the zone written out; the script shows it in the viewer's zone.
#[derive(Clone, Debug)]
pub struct Moment {
    /// RFC 3339.
    pub datetime: String,
    /// For people.
    pub words: String,
}

impl Moment {
    /// The text for `moment`.
    pub fn of(moment: Timestamp) -> Self {
        let datetime = moment.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"));
        let words =
            moment.format(format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC"));
        Self { datetime: datetime.unwrap_or_default(), words: words.unwrap_or_default() }
    }

    /// The day of `moment` in words.
    pub fn day(moment: Timestamp) -> String {
        moment.format(format_description!("[day padding:none] [month repr:long] [year]")).unwrap_or_default()
    }
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What tells the person from others.
    pub identifier: String,
    /// Given and family name.
    pub name: Option<String>,
    /// Username.
    pub username: Option<String>,
    /// Addresses, the primary one first.
    pub emails: Vec<Email>,
    /// Connected accounts, oldest first.
    pub accounts: Vec<Account>,
    /// When this session began.
    pub since: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The hidden field of the sign-out form.
    pub csrf: String,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage<'a> {
    shell: Layout,
    identifier: &'a str,
    name: Option<&'a str>,
    username: Option<&'a str>,
    emails: &'a [Email],
    accounts: &'a [Account],
    since: Moment,
    until: Moment,
    csrf: &'a str,
}

impl Profile {
    /// The page. Nothing signs in from here, so it may cut its opener.
    pub fn render(&self, instance: &Instance) -> Response {
        let state =
            if self.accounts.iter().any(|account| account.needs_attention) { "needs-attention" } else { "profile" };
        let view = UserPage {
            shell: Layout::new(instance, "user.profile", state, "user.step"),
            identifier: &self.identifier,
            name: self.name.as_deref(),
            username: self.username.as_deref(),
            emails: &self.emails,
            accounts: &self.accounts,
            since: Moment::of(self.since),
            until: Moment::of(self.until),
            csrf: &self.csrf,
        };
        page(&view, Reply { opener: Opener::Cut, ..Reply::default() })
    }
}
