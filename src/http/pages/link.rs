//! Where an e-mail link leads: the button that opens it, and what became of it (`/sign-in/verify`, `/sign-up/verify`).

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::super::extract::{Browser, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get};
use super::content_security_policy::FormTarget;
use super::layout::{Layout, Reply, page};
use super::outcome;
use super::redirect_params::{EntryPage, RedirectParams};
use crate::actions;
use crate::context::Ctx;
use crate::model::instance::Instance;
use crate::model::problem::Result;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get("/sign-in/verify", Rules::PAGE, show_sign_in), get("/sign-up/verify", Rules::PAGE, show_sign_up)]
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet: there is a button.
    Confirm,
    /// Verified.
    Verified,
    /// Too late.
    Expired,
    /// It opens nothing.
    Failed,
    /// Opened in another browser.
    ClientMismatch,
    /// Opened before.
    AlreadyUsed,
}

impl State {
    /// All of them, for the gallery.
    #[cfg(test)]
    pub const ALL: [Self; 6] =
        [Self::Confirm, Self::Verified, Self::Expired, Self::Failed, Self::ClientMismatch, Self::AlreadyUsed];

    /// What `__clerk_status` says.
    fn of(status: &str) -> Self {
        match status {
            "verified" => Self::Verified,
            "expired" => Self::Expired,
            "client_mismatch" => Self::ClientMismatch,
            _ => Self::Failed,
        }
    }

    /// `data-state`, keys of heading and text, status.
    fn texts(self) -> (&'static str, &'static str, &'static str, StatusCode) {
        match self {
            Self::Confirm => ("confirm", "mail_link.confirm", "mail_link.confirm_next", StatusCode::OK),
            Self::Verified => ("verified", "mail_link.verified", "mail_link.verified_next", StatusCode::OK),
            Self::Expired => ("expired", "mail_link.expired", "mail_link.expired_next", StatusCode::BAD_REQUEST),
            Self::Failed => ("failed", "mail_link.failed", "mail_link.failed_next", StatusCode::BAD_REQUEST),
            Self::ClientMismatch => {
                ("client-mismatch", "mail_link.mismatch", "mail_link.mismatch_next", StatusCode::FORBIDDEN)
            }
            Self::AlreadyUsed => ("already-used", "mail_link.used", "mail_link.used_next", StatusCode::BAD_REQUEST),
        }
    }
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct LinkPage<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// What became of the link.
    pub state: State,
    /// Where the button or link leads.
    pub action: String,
    /// The link's token, behind the button.
    pub token: String,
    /// The hidden field of the button's form.
    pub csrf: String,
    /// Where the button leads in the end.
    pub form_target: Option<String>,
}

#[derive(Template)]
#[template(path = "link.html")]
struct View<'a> {
    shell: Layout,
    heading: String,
    next: String,
    is_form: bool,
    go_on: &'static str,
    action: &'a str,
    token: &'a str,
    csrf: &'a str,
}

impl<'a> LinkPage<'a> {
    /// A page without a form; `action` is where its one link leads.
    pub fn new(instance: &'a Instance, state: State, action: impl Into<String>) -> Self {
        let (token, csrf) = (String::new(), String::new());
        Self { instance, state, action: action.into(), token, csrf, form_target: None }
    }

    /// The page.
    pub fn render(&self) -> Response {
        let (state, heading, next, status) = self.state.texts();
        let shell = Layout::new(self.instance, "link.landing", state, "mail_link.step");
        let view = View {
            heading: shell.text_with_application(heading),
            next: shell.text_with_application(next),
            is_form: self.state == State::Confirm,
            go_on: if self.state == State::Verified { "mail_link.go_on" } else { "mail_link.begin" },
            action: &self.action,
            token: &self.token,
            csrf: &self.csrf,
            shell,
        };
        let form_action = Vec::from_iter(self.form_target.as_deref().and_then(FormTarget::of_url));
        page(&view, Reply { status, form_action: &form_action, ..Reply::default() })
    }
}

/// `GET /sign-in/verify`.
async fn show_sign_in(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    outcome::page(&ctx, show_outcome(&ctx, &browser, EntryPage::SignIn, query).await)
}

/// `GET /sign-up/verify`.
async fn show_sign_up(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    outcome::page(&ctx, show_outcome(&ctx, &browser, EntryPage::SignUp, query).await)
}

/// The status in the query is what somebody says; whether it leads on is the client's state alone.
async fn show_outcome(
    ctx: &Ctx,
    browser: &Browser,
    entry: EntryPage,
    query: Result<Query, Failure>,
) -> Result<Response> {
    let Query(query) = query.map_err(|failure| failure.0)?;
    let redirects = RedirectParams::read(&ctx.instance, entry, &query);
    let state = State::of(query.text("__clerk_status").unwrap_or_default());
    let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
    let is_signed_in = client.as_ref().is_some_and(|client| client.active_session().is_some());
    let action = match (state, is_signed_in) {
        (State::Verified, true) => redirects.target.clone(),
        (State::Verified, false) => redirects.carry(entry.next_path()),
        _ => redirects.carry(entry.path()),
    };
    Ok(LinkPage::new(&ctx.instance, state, action).render())
}
