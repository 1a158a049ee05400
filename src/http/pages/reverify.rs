//! `/user/reverify`: somebody who is signed in verifies once more who they are, and goes back to what they were about
//! to do. The same steps as by the API.

use axum::response::{IntoResponse, Redirect, Response};

use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Limit, Route, Rules, get, post};
use super::code_view::{CodePage, CodePageState, Step};
use super::csrf;
use super::factor_one::{is_about_verification, method};
use super::form_post::FormPost;
use super::outcome::page;
use super::user::{sign_in_first, signed_in};
use crate::actions::session::reverify::{self, Reverification};
use crate::context::Ctx;
use crate::limits;
use crate::model::client::{Client, Session};
use crate::model::email::EmailAddress;
use crate::model::problem::{Error, Problem, Result};
use crate::model::strategy::Strategy;
use crate::model::verification::{GUESSES, Status};

/// The page's path.
const PATH: &str = "/user/reverify";
/// The page of connected accounts.
pub const CONNECTIONS: &str = "/user/connections";
/// The page that asks before one is removed.
pub const REMOVE: &str = "/user/connections/remove";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(PATH, Rules::PAGE, show), post(PATH, Rules::PAGE, submit)]
}

/// `GET /user/reverify`.
async fn show(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show_step(&ctx, &browser, query).await)
}

/// `POST /user/reverify`.
async fn submit(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, act(&ctx, &browser, post).await)
}

/// What the person was about to do; it stands in the query, names nothing but what is theirs, and is pressed again by
/// the person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReverifyTarget {
    /// The account that was to be removed.
    pub account: Option<String>,
}

impl ReverifyTarget {
    fn read(query: &Params) -> Self {
        Self { account: query.text("account").map(str::to_owned) }
    }

    fn carry(&self, path: &str) -> String {
        match &self.account {
            None => path.to_owned(),
            Some(id) => {
                let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("account", id).finish();
                format!("{path}?{query}")
            }
        }
    }

    /// To the page that asks for the verification.
    pub fn reverify(&self) -> Response {
        Redirect::to(&self.carry(PATH)).into_response()
    }

    /// Back to where the person was about to do it.
    fn return_path(&self) -> String {
        match &self.account {
            Some(_) => self.carry(REMOVE),
            None => format!("{}?done=confirmed", CONNECTIONS),
        }
    }
}

/// A request of somebody who is signed in.
struct ReverifyRequest<'a> {
    ctx: &'a Ctx,
    browser: &'a Browser,
    client: Client,
    session: Session,
    about: ReverifyTarget,
}

async fn request<'a>(
    ctx: &'a Ctx,
    browser: &'a Browser,
    query: Result<Query, Failure>,
) -> Result<Option<ReverifyRequest<'a>>> {
    let Query(query) = query.map_err(|failure| failure.0)?;
    let about = ReverifyTarget::read(&query);
    let found = signed_in(ctx, browser).await?;
    Ok(found.map(|(client, session)| ReverifyRequest { ctx, browser, client, session, about }))
}

async fn show_step(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let Some(request) = request(ctx, browser, query).await? else { return Ok(sign_in_first(ctx, CONNECTIONS)) };
    if reverify::require_recent_verification(ctx, &request.session).await.is_ok() {
        return Ok(Redirect::to(&request.about.return_path()).into_response());
    }
    let stands = reverify::read(ctx, browser.hash.as_ref(), &request.session.id).await?;
    let is_live = stands.asked.as_ref().is_some_and(|asked| {
        asked.strategy == Strategy::EmailCode && asked.status == Status::Unverified && asked.expires_at > ctx.moment()
    });
    let waits = match stands.factors.first().map(|factor| &factor.strategy) {
        None => return Ok(Redirect::to(CONNECTIONS).into_response()),
        Some(_) if is_live => CodePageState::Code,
        Some(Strategy::Password) => CodePageState::Password,
        Some(_) => CodePageState::Method,
    };
    Ok(render(&request, &stands, waits))
}

fn render(request: &ReverifyRequest<'_>, stands: &Reverification, waits: CodePageState) -> Response {
    let sent_to = stands.asked.as_ref().and_then(|asked| asked.address.as_deref()).and_then(EmailAddress::parse);
    let first = stands.factors.iter().find_map(|factor| factor.address.as_ref()).map(|address| address.value.clone());
    let page = CodePage {
        instance: &request.ctx.instance,
        step: Step::Reverify,
        waits,
        address: sent_to.or(first).map(|address| address.masked()).unwrap_or_default(),
        action: request.about.carry(PATH),
        csrf: csrf::field(request.ctx, &request.client.id, PATH),
        methods: stands.factors.iter().filter_map(method).collect(),
        forgot: None,
        other_href: CONNECTIONS.to_owned(),
        form_action: Vec::new(),
    };
    page.render()
}

async fn act(ctx: &Ctx, browser: &Browser, post: FormPost) -> Result<Response> {
    let Body(form) = post.body.map_err(|failure| failure.0)?;
    let Some(request) = request(ctx, browser, post.query).await? else { return Ok(sign_in_first(ctx, CONNECTIONS)) };
    csrf::check(ctx, Some(&request.client.id), PATH, &post.headers, &form)?;
    match submit_verification(&request, &form).await {
        Ok(stands) if stands.is_complete() => Ok(Redirect::to(&request.about.return_path()).into_response()),
        Ok(stands) if form.text("send").is_some() => Ok(render(&request, &stands, CodePageState::CodeAgain)),
        Ok(stands) => Ok(render(&request, &stands, CodePageState::Code)),
        Err(Error::Problem(problem)) if is_about_verification(&problem) => {
            show_refusal(&request, &form, &problem).await
        }
        Err(error) => Err(error),
    }
}

/// Gives the verification that the form holds, or sends the code that it asks for.
async fn submit_verification(request: &ReverifyRequest<'_>, form: &Params) -> Result<Reverification> {
    let (ctx, token, id) = (request.ctx, request.browser.hash, &request.session.id);
    if form.text("code").or(form.text("password")).is_some() {
        limits::spend(ctx, Limit::AttemptProof)?;
    }
    if let Some(guess) = form.text("code") {
        return reverify::attempt_code(ctx, token.as_ref(), id, guess.trim()).await;
    }
    reverify::begin_once(ctx, token.as_ref(), id).await?;
    if let Some(typed) = form.text("password") {
        return reverify::attempt_password(ctx, token.as_ref(), id, typed).await;
    }
    let address = form.text("method").and_then(|method| method.split_once(':')).map(|(_, address)| address);
    reverify::prepare(ctx, token.as_ref(), id, &Strategy::EmailCode.into(), address).await
}

/// The page once more, with what is wrong.
async fn show_refusal(request: &ReverifyRequest<'_>, form: &Params, problem: &Problem) -> Result<Response> {
    let stands = reverify::read(request.ctx, request.browser.hash.as_ref(), &request.session.id).await?;
    // Verified meanwhile, by the same form posted twice or in another tab.
    if reverify::require_recent_verification(request.ctx, &stands.session).await.is_ok() {
        return Ok(Redirect::to(&request.about.return_path()).into_response());
    }
    let waits = match form.text("password") {
        Some(_) => CodePageState::after_password(problem),
        None => {
            let left = stands.asked.as_ref().map_or(GUESSES, |asked| GUESSES - asked.attempts);
            CodePageState::after_guess(problem, left)
        }
    };
    Ok(render(request, &stands, waits))
}
