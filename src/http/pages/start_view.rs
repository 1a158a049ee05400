//! The start pages of signing in and signing up: what they show. What happens on them is in `sign_in.rs`.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::content_security_policy::{FormTarget, Robots};
use super::fields_view::Field;
use super::layout::{Layout, PageState, Reply, page};
use super::messages::text;
use super::redirect_params::{EntryPage, RedirectParams};
use crate::model::instance::Instance;

/// Providers shown as full buttons; the rest stands under "More options".
const FULL_BUTTONS: usize = 6;

/// A provider to continue with.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    /// The strategy without `oauth_`: `google`, `custom_acme`.
    pub key: String,
    /// The name people read.
    pub name: String,
    /// Somebody signed in with it on this browser last.
    pub was_last: bool,
    /// Where pressing it leads: the origin of the authorization endpoint. `None` for our own simulation.
    pub leads_to: Option<FormTarget>,
}

impl ProviderButton {
    /// What stands in for a mark.
    pub(super) fn initial(&self) -> String {
        self.name.chars().next().map(|first| first.to_uppercase().collect()).unwrap_or_default()
    }
}

/// What there is to say on the page beside its buttons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartMessage {
    /// Nothing.
    #[default]
    None,
    /// Something happened: a sentence.
    FlashMessage(String),
    /// Starting failed: a sentence, and the status to answer with.
    Problem(String, StatusCode),
    /// The budget of this address is spent: seconds to wait.
    Wait(u32),
}

/// A start page.
#[derive(Debug)]
pub struct Start<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// Which.
    pub entry: EntryPage,
    /// Where it leads in the end.
    pub redirects: &'a RedirectParams,
    /// A place that lies after the sign-in: the OAuth client that asked for the sign-in.
    pub beyond: Option<FormTarget>,
    /// The hidden field.
    pub csrf: String,
    /// The providers, in the instance's order.
    pub providers: Vec<ProviderButton>,
    /// What somebody without a provider fills in; none where nobody can go on without one.
    pub fields: Vec<Field>,
    /// Where somebody goes who has forgotten the password; `None` where that helps nobody.
    pub forgot: Option<String>,
    /// What there is to say.
    pub remark: StartMessage,
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage<'a> {
    shell: Layout,
    heading: String,
    lead: &'static str,
    problem: Option<String>,
    notice: Option<String>,
    none: String,
    none_development: &'static str,
    action: String,
    csrf: &'a str,
    buttons: &'a [ProviderButton],
    more: &'a [ProviderButton],
    fields: &'a [Field],
    forgot: Option<&'a str>,
    submit: &'static str,
    other: &'static str,
    other_link: &'static str,
    other_href: String,
}

/// The texts in which the two pages differ.
struct EntryTexts {
    page: &'static str,
    step: &'static str,
    heading: &'static str,
    lead: &'static str,
    other: &'static str,
    other_link: &'static str,
    none: &'static str,
    none_development: &'static str,
}

const SIGN_IN: EntryTexts = EntryTexts {
    page: "sign-in.start",
    step: "sign_in.step",
    heading: "sign_in.heading",
    lead: "sign_in.lead",
    other: "sign_in.other",
    other_link: "sign_in.other_link",
    none: "sign_in.none",
    none_development: "sign_in.none_development",
};
const SIGN_UP: EntryTexts = EntryTexts {
    page: "sign-up.start",
    step: "sign_up.step",
    heading: "sign_up.heading",
    lead: "sign_up.lead",
    other: "sign_up.other",
    other_link: "sign_up.other_link",
    none: "sign_up.none",
    none_development: "sign_up.none_development",
};

impl Start<'_> {
    fn state(&self) -> PageState {
        let is_alone = self.fields.is_empty();
        match (&self.remark, self.providers.len(), self.entry) {
            _ if self.has_field_problem() => PageState::error("error.field"),
            (StartMessage::Wait(_), ..) => "rate-limited".into(),
            (StartMessage::Problem(..), ..) => PageState::error("error.provider"),
            (StartMessage::FlashMessage(_), ..) => "notice".into(),
            (StartMessage::None, 0, _) if is_alone => "no-methods".into(),
            (StartMessage::None, 1, _) if is_alone => "only-provider".into(),
            (StartMessage::None, _, EntryPage::SignIn) => "empty".into(),
            (StartMessage::None, _, EntryPage::SignUp) => "start".into(),
        }
    }

    fn has_field_problem(&self) -> bool {
        self.fields.iter().any(|field| field.problem.is_some())
    }

    /// The page.
    pub fn render(&self) -> Response {
        let texts = match self.entry {
            EntryPage::SignIn => SIGN_IN,
            EntryPage::SignUp => SIGN_UP,
        };
        let shell = Layout::new(self.instance, texts.page, self.state(), texts.step);
        let full = self.providers.len().min(FULL_BUTTONS);
        let (buttons, more) = self.providers.split_at(full);
        let (status, problem, notice) = match &self.remark {
            StartMessage::None if self.has_field_problem() => (StatusCode::UNPROCESSABLE_ENTITY, None, None),
            StartMessage::None => (StatusCode::OK, None, None),
            StartMessage::FlashMessage(sentence) => (StatusCode::OK, None, Some(sentence.clone())),
            StartMessage::Problem(sentence, status) => (*status, Some(sentence.clone()), None),
            StartMessage::Wait(seconds) => {
                let sentence = shell.fill("start.wait", "seconds", &seconds.to_string());
                (StatusCode::OK, Some(sentence), None)
            }
        };
        let wait = match self.remark {
            StartMessage::Wait(seconds) => Some(seconds),
            _ => None,
        };
        let view = StartPage {
            heading: shell.text_with_application(texts.heading),
            lead: text(texts.lead),
            problem,
            notice,
            none: shell.text_with_application(texts.none),
            none_development: text(texts.none_development),
            action: self.redirects.carry(self.entry.path()),
            csrf: &self.csrf,
            buttons,
            more,
            fields: &self.fields,
            forgot: self.forgot.as_deref(),
            submit: if self.entry == EntryPage::SignIn { "sign-in-submit" } else { "continue" },
            other: text(texts.other),
            other_link: text(texts.other_link),
            other_href: self.redirects.carry(self.entry.other().path()),
            shell,
        };
        let mut form_action: Vec<FormTarget> = self.providers.iter().filter_map(|p| p.leads_to.clone()).collect();
        form_action.extend(self.redirects.form_target());
        form_action.extend(self.beyond.clone());
        page(&view, Reply { status, wait, form_action: &form_action, robots: self.robots(), ..Reply::default() })
    }

    /// The sign-in page of a production instance may be found; nothing else may.
    fn robots(&self) -> Robots {
        if self.entry == EntryPage::SignIn && !self.instance.shows_development_banner() {
            Robots::Welcome
        } else {
            Robots::Away
        }
    }
}
