//! The connected accounts: what the page shows, and the page that asks before one is removed.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::content_security_policy::{FormTarget, Opener};
use super::layout::{Layout, PageState, Reply, page};
use super::start_view::ProviderButton;
use crate::model::instance::Instance;
use crate::model::text_enum::text_enum;

/// A connected account, or one that could not be connected.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Names it.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// How the person is called there.
    pub name: Option<String>,
    /// The address there.
    pub email: Option<String>,
    /// What it may do, in words.
    pub scopes: Vec<String>,
    /// The day it was connected; `None` for one that never was.
    pub since: Option<String>,
    /// How its token is doing, as a sentence; `None` for one that never was connected.
    pub token: Option<String>,
    /// What is wrong with it, as a sentence.
    pub problem: Option<String>,
    /// Only the person can mend it.
    pub needs_reconnect: bool,
}

text_enum! {
    /// What was done before the page is shown again: `done` of its query.
    pub enum Done {
        /// An account was connected.
        Connected = "connected",
        /// An account was removed.
        Removed = "removed",
        /// The person has shown once more who they are.
        Confirmed = "confirmed",
    }
}

impl Done {
    /// The message that says so.
    fn message(self) -> &'static str {
        match self {
            Self::Connected => "connections.connected",
            Self::Removed => "connections.removed",
            Self::Confirmed => "connections.confirmed",
        }
    }
}

/// What there is to say on the page beside the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConnectionsMessage {
    /// Nothing.
    #[default]
    None,
    /// What the person wanted is done.
    Done(Done),
    /// Something was refused: a sentence.
    Problem(String),
    /// The budget of this address is spent: seconds to wait.
    Wait(u32),
}

/// The page of connected accounts.
#[derive(Debug)]
pub struct Connections<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// Accounts, oldest first.
    pub accounts: Vec<Connection>,
    /// Providers that can be connected.
    pub offered: Vec<ProviderButton>,
    /// Providers whose accounts can be connected again: where that leads.
    pub leads_to: Vec<FormTarget>,
    /// What there is to say.
    pub remark: ConnectionsMessage,
    /// The hidden field.
    pub csrf: String,
}

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage<'a> {
    shell: Layout,
    accounts: &'a [Connection],
    offered: &'a [ProviderButton],
    done: Option<&'a str>,
    problem: Option<String>,
    csrf: &'a str,
}

impl Connections<'_> {
    fn state(&self) -> PageState {
        match &self.remark {
            ConnectionsMessage::Problem(_) => PageState::error("error.refused"),
            ConnectionsMessage::Wait(_) => "rate-limited".into(),
            ConnectionsMessage::Done(Done::Connected) => "reconnected".into(),
            ConnectionsMessage::Done(_) | ConnectionsMessage::None => {
                if self.accounts.iter().any(|account| account.needs_reconnect) {
                    "needs-attention".into()
                } else if self.accounts.is_empty() {
                    "empty".into()
                } else {
                    "connections".into()
                }
            }
        }
    }

    /// The page. Its forms lead to providers, and back here.
    pub fn render(&self) -> Response {
        let shell = Layout::new(self.instance, "user.connections", self.state(), "connections.step");
        let done = match &self.remark {
            ConnectionsMessage::Done(done) => Some(shell.text(done.message())),
            _ => None,
        };
        let problem = match &self.remark {
            ConnectionsMessage::Problem(sentence) => Some(sentence.clone()),
            ConnectionsMessage::Wait(seconds) => Some(shell.fill("start.wait", "seconds", &seconds.to_string())),
            ConnectionsMessage::None | ConnectionsMessage::Done(_) => None,
        };
        let status = match &self.remark {
            ConnectionsMessage::Problem(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ConnectionsMessage::Wait(_) | ConnectionsMessage::None | ConnectionsMessage::Done(_) => StatusCode::OK,
        };
        let wait = match self.remark {
            ConnectionsMessage::Wait(seconds) => Some(seconds),
            _ => None,
        };
        let (accounts, offered, csrf) = (&self.accounts, &self.offered, &self.csrf);
        let view = ConnectionsPage { accounts, offered, done, problem, csrf, shell };
        let mut form_action: Vec<FormTarget> = self.offered.iter().filter_map(|p| p.leads_to.clone()).collect();
        form_action.extend(self.leads_to.iter().cloned());
        page(&view, Reply { status, wait, form_action: &form_action, opener: Opener::Cut, ..Reply::default() })
    }
}

/// The page that asks before an account is removed.
#[derive(Debug)]
pub struct Removal<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// The account.
    pub account: Connection,
    /// Why it was refused.
    pub problem: Option<String>,
    /// The hidden field.
    pub csrf: String,
}

#[derive(Template)]
#[template(path = "connection_remove.html")]
struct RemovalPage<'a> {
    shell: Layout,
    account: &'a Connection,
    problem: Option<&'a str>,
    csrf: &'a str,
}

impl Removal<'_> {
    /// The page.
    pub fn render(&self) -> Response {
        let (state, status) = match self.problem {
            Some(_) => (PageState::error("error.remove"), StatusCode::UNPROCESSABLE_ENTITY),
            None => ("remove.confirm".into(), StatusCode::OK),
        };
        let shell = Layout::new(self.instance, "user.connections", state, "connections.step");
        let view = RemovalPage { shell, account: &self.account, problem: self.problem.as_deref(), csrf: &self.csrf };
        page(&view, Reply { status, opener: Opener::Cut, ..Reply::default() })
    }
}
