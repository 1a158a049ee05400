//! `/popup-callback`: where a sign-in in a popup ends. The page tells the window that opened it
//! which session began, or where to go on, and closes itself. It sees no client cookie, for the browser SDK wants it on
//! the `accounts.` sibling: what it tells stands in its address, and to whom is what was written down when the attempt
//! was created.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::super::extract::{Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get};
use super::layout::{Layout, Reply, page};
use super::{assets, outcome, redirect_params};
use crate::context::Ctx;
use crate::model::id::SessionId;
use crate::model::instance::Instance;
use crate::model::problem::Result;
use crate::model::redirect::{CREATED_SESSION, POPUP_PAGE, RedirectTarget};
use crate::store::sessions;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(POPUP_PAGE, Rules::PAGE, show)]
}

/// What the opener receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopupMessage {
    /// `session`, `return_url`: the member of the message.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// The only origin that may read it.
    pub origin: String,
}

/// The page. Whether there is an opener only the browser knows: it is rendered as if there were none, and its script
/// makes it `sent`.
#[derive(Clone, Debug)]
pub struct Popup<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// What it tells; `None` where the address names no session that began here, nor an allowed place to go on.
    pub tells: Option<PopupMessage>,
}

#[derive(Template)]
#[template(path = "popup.html")]
struct View<'a> {
    shell: Layout,
    heading: &'static str,
    next: &'static str,
    script: &'static str,
    tells: Option<&'a PopupMessage>,
    href: &'a str,
}

impl Popup<'_> {
    /// The page.
    pub fn render(&self) -> Response {
        let (state, heading, next, status) = match self.tells {
            Some(_) => ("no-opener", "popup_page.heading", "popup_page.no_opener", StatusCode::OK),
            None => ("refused", "popup_page.refused", "popup_page.refused_next", StatusCode::BAD_REQUEST),
        };
        let home = redirect_params::home(self.instance);
        let href = match &self.tells {
            Some(tells) if tells.key == RETURN => &tells.value,
            Some(tells) => &tells.origin,
            None => &home,
        };
        let shell = Layout::new(self.instance, "popup.callback", state, "popup_page.step");
        let script = &assets::POPUP.path;
        let view = View { shell, heading, next, script, tells: self.tells.as_ref(), href };
        page(&view, Reply { status, ..Reply::default() })
    }
}

const SESSION: &str = "session";
const RETURN: &str = "return_url";

/// `GET /popup-callback`.
async fn show(ctx: Ctx, query: Result<Query, Failure>) -> Response {
    outcome::page(&ctx, respond(&ctx, query).await)
}

async fn respond(ctx: &Ctx, query: Result<Query, Failure>) -> Result<Response> {
    let Query(query) = query.map_err(|failure| failure.0)?;
    let tells = match of_session(ctx, &query).await? {
        Some(tells) => Some(tells),
        None => query.text(RETURN).and_then(|raw| of_return(&ctx.instance, raw)),
    };
    Ok(Popup { instance: &ctx.instance, tells }.render())
}

/// The session that the callback began, shown to the page that began it.
async fn of_session(ctx: &Ctx, query: &Params) -> Result<Option<PopupMessage>> {
    let Some(session) = query.text(CREATED_SESSION).and_then(SessionId::parse) else { return Ok(None) };
    let began = sessions::page_that_began(&mut ctx.db(), &session).await?;
    let origin = began.filter(|origin| ctx.instance.is_own_origin(origin));
    Ok(origin.map(|origin| PopupMessage { key: SESSION, value: session.as_str().to_owned(), origin }))
}

/// The place where the app goes on, shown to its own origin.
fn of_return(instance: &Instance, raw: &str) -> Option<PopupMessage> {
    let target = RedirectTarget::parse_return(instance, raw).ok()?;
    Some(PopupMessage { key: RETURN, origin: target.origin(), value: target.into_string() })
}
