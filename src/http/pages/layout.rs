//! The shell of every page: title, header, footer, banner, and the answer around it.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::assets;
use super::content_security_policy::{self, FormTarget, Opener, Policy, Robots};
use super::messages::{fill, text};
use crate::model::instance::Instance;
use crate::model::url_rules::is_web;
use url::Url;

/// What an instance puts on its pages. A page under an unknown host has none.
#[derive(Clone, Debug)]
pub struct Brand {
    /// The name people read.
    pub application: String,
    /// Where to ask.
    pub help: Help,
    /// The banner is shown, and details of failures.
    pub is_development: bool,
}

/// Where a person can ask for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Help {
    /// A page.
    Page(String),
    /// A mailbox.
    Mail(String),
    /// Nothing is configured.
    Unknown,
}

impl Brand {
    /// The brand of `instance`.
    pub fn of(instance: &Instance) -> Self {
        let settings = &instance.settings;
        let is_page = Url::parse(&settings.help_url).is_ok_and(|url| is_web(&url));
        let help = if is_page {
            Help::Page(settings.help_url.clone())
        } else if settings.support_email.contains('@') {
            Help::Mail(settings.support_email.clone())
        } else {
            Help::Unknown
        };
        Self {
            application: instance.display_name().to_owned(),
            help,
            is_development: instance.shows_development_banner(),
        }
    }
}

/// What the layout needs to know; every view holds one under the name `shell`.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Whose page it is.
    pub brand: Option<Brand>,
    /// `data-page`: `sign-in.start`. Part of the contract.
    pub page: &'static str,
    /// `data-state`: `empty`. Part of the contract.
    pub state: &'static str,
    /// The page's part of the title.
    pub step: String,
    /// The page shows an error: its title says so.
    pub mood: PageStatus,
}

/// Whether a page shows an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStatus {
    /// It does not.
    Calm,
    /// It does.
    Error,
}

/// What a page is about to show: its `data-state`, and whether that is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageState {
    text: &'static str,
    mood: PageStatus,
}

impl PageState {
    /// A state in which something is wrong.
    pub const fn error(text: &'static str) -> Self {
        Self { text, mood: PageStatus::Error }
    }

    /// Something is wrong.
    pub fn is_error(self) -> bool {
        self.mood == PageStatus::Error
    }
}

impl From<&'static str> for PageState {
    fn from(text: &'static str) -> Self {
        Self { text, mood: PageStatus::Calm }
    }
}

impl Layout {
    /// The shell of a page of `instance`; `step` is a key of the message file.
    pub fn new(instance: &Instance, page: &'static str, state: impl Into<PageState>, step: &str) -> Self {
        let PageState { text: state, mood } = state.into();
        Self { brand: Some(Brand::of(instance)), page, state, step: text(step).to_owned(), mood }
    }

    /// "step – application", with "Error: " in front where one is shown.
    pub fn title(&self) -> String {
        let title = match &self.brand {
            Some(brand) => format!("{} – {}", self.step, brand.application),
            None => self.step.clone(),
        };
        match self.mood {
            PageStatus::Calm => title,
            PageStatus::Error => fill("shell.title_error", &[("title", &title)]),
        }
    }

    /// The application's name, or an empty text.
    pub fn application(&self) -> &str {
        self.brand.as_ref().map_or("", |brand| &brand.application)
    }

    /// True on development instances.
    pub fn is_development(&self) -> bool {
        self.brand.as_ref().is_some_and(|brand| brand.is_development)
    }

    /// The page where to ask.
    pub fn help_page(&self) -> Option<&str> {
        match &self.brand.as_ref()?.help {
            Help::Page(url) => Some(url),
            _ => None,
        }
    }

    /// The mailbox to ask.
    pub fn help_mail(&self) -> Option<&str> {
        match &self.brand.as_ref()?.help {
            Help::Mail(address) => Some(address),
            _ => None,
        }
    }

    /// The sentence under `key`.
    pub fn text<'k>(&self, key: &'k str) -> &'k str {
        text(key)
    }

    /// The sentence under `key` with one placeholder filled.
    pub fn fill(&self, key: &str, name: &str, value: &str) -> String {
        fill(key, &[(name, value), ("application", self.application())])
    }

    /// The sentence under `key` with the application's name in it.
    pub fn text_with_application(&self, key: &str) -> String {
        fill(key, &[("application", self.application())])
    }

    /// The stylesheet's address.
    pub fn style(&self) -> &str {
        &assets::STYLE.path
    }

    /// The script's address.
    pub fn script(&self) -> &str {
        &assets::SCRIPT.path
    }
}

/// How a page is answered, beside its content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reply<'a> {
    /// The status; 200 by default.
    pub status: StatusCode,
    /// Seconds to wait before the next try, for programs as the page says it to people. The status is 429 then.
    pub wait: Option<u32>,
    /// Where its forms may end, beside our own origin.
    pub form_action: &'a [FormTarget],
    /// Whether it may lie inside a popup sign-in.
    pub opener: Opener,
    /// Whether search engines may list it.
    pub robots: Robots,
}

/// Answers with a page.
pub fn page(view: &impl Template, reply: Reply<'_>) -> Response {
    let status = reply.wait.map_or(reply.status, |_| StatusCode::TOO_MANY_REQUESTS);
    let mut response = answer(view, status, Policy::Page(reply.form_action), reply.opener, reply.robots);
    if let Some(seconds) = reply.wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Answers with a page under the policy of form_post.
pub(super) fn form_post_page(view: &impl Template, target: Option<&FormTarget>) -> Response {
    answer(view, StatusCode::OK, Policy::FormPost(target), Opener::Shared, Robots::Away)
}

fn answer(view: &impl Template, status: StatusCode, policy: Policy<'_>, opener: Opener, robots: Robots) -> Response {
    let (status, body) = match view.render() {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(%error, "a page does not render");
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    content_security_policy::apply(response.headers_mut(), policy, opener, robots);
    response
}
