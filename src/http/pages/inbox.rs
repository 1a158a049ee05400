//! `/_dev/inbox`: messages that a development instance stored because it has no mail server, with their codes and
//! links.

use askama::Template;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::answer;
use super::super::extract::Query;
use super::super::problem::Answer;
use super::super::route::{Route, Rules, get};
use super::dev;
use super::layout::{Layout, Reply, page};
use super::outcome;
use crate::actions::verification::delivery::{self, InboxMessage};
use crate::context::Ctx;
use crate::model::instance::Instance;
use crate::model::problem::Result;
use crate::model::time::millis;

/// Messages shown at once.
const SHOWN: i64 = 100;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get("/_dev/inbox", Rules::PAGE, show), get("/_dev/inbox.json", Rules::PAGE, list)]
}

/// `GET /_dev/inbox`.
async fn show(ctx: Ctx) -> Response {
    outcome::page(&ctx, shown(&ctx).await)
}

async fn shown(ctx: &Ctx) -> Result<Response> {
    dev::exists(ctx)?;
    let messages = delivery::inbox(ctx, SHOWN).await?;
    Ok(Inbox { instance: &ctx.instance, messages: messages.iter().map(Message::of).collect() }.render())
}

/// `GET /_dev/inbox.json`: for test suites; `?to=` names one recipient.
async fn list(ctx: Ctx, query: Query) -> Answer {
    dev::exists(&ctx)?;
    let messages = delivery::inbox(&ctx, SHOWN).await?;
    let to = query.0.text("to");
    let messages = messages.iter().filter(|message| to.is_none_or(|to| message.mail.to == to)).map(json);
    Ok(answer::json(&json!({ "messages": messages.collect::<Vec<_>>() })))
}

fn json(message: &InboxMessage) -> Value {
    let mail = &message.mail;
    json!({
        "id": message.id,
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "code": mail.code,
        "link": mail.link,
        "created_at": millis(message.created_at),
    })
}

/// A message as the page shows it.
#[derive(Clone, Debug)]
pub struct Message {
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// When, in UTC.
    pub at: String,
    /// The code it carries.
    pub code: Option<String>,
    /// The link it carries.
    pub link: Option<String>,
    /// What it says.
    pub text: String,
}

impl Message {
    fn of(opened: &InboxMessage) -> Self {
        let (date, time) = (opened.created_at.date(), opened.created_at.time());
        let mail = &opened.mail;
        Self {
            to: mail.to.clone(),
            subject: mail.subject.clone(),
            at: format!("{date} {:02}:{:02}:{:02} UTC", time.hour(), time.minute(), time.second()),
            code: mail.code.clone(),
            link: mail.link.clone(),
            text: mail.text.clone(),
        }
    }
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Inbox<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// The newest first.
    pub messages: Vec<Message>,
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage<'a> {
    shell: Layout,
    messages: &'a [Message],
}

impl Inbox<'_> {
    /// The page.
    pub fn render(&self) -> Response {
        let state = if self.messages.is_empty() { "empty" } else { "list" };
        let shell = Layout::new(self.instance, "dev.inbox", state, "inbox.step");
        page(&InboxPage { shell, messages: &self.messages }, Reply::default())
    }
}
