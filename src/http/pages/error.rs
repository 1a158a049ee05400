//! Error pages: what went wrong in plain words, what to do next, one main action, and a reference. They need no
//! database. Callers that do not accept HTML get the JSON error of their API instead.
//!
//! A refusal does not know the request it belongs to, so it leaves a [`Refused`] in the answer's extensions, and the
//! outermost layer, which knows what the caller accepts and the request's id, has it [`complete`]d.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::problem::{self, ErrorCode, to_problem};
use super::super::status;
use super::layout::{Brand, Layout, PageStatus, Reply, page};
use super::messages::fill;
use super::reasons::{self, NextAction, TextKey};
use super::{error_kinds, messages};
use crate::actions::flow_hint;
use crate::model::instance::Instance;
use crate::model::problem::{Error, Problem, code};
use crate::model::reason::{Reason, Why};

/// A link on an error page.
#[derive(Clone, Debug)]
pub struct Action {
    /// Stable id of the link.
    pub id: &'static str,
    /// The text on it.
    pub label: &'static str,
    /// Where it leads: an address of ours or a validated target, never text from the request.
    pub href: String,
}

impl Action {
    /// Loads the page again; an empty reference is the page's own address, its query included.
    pub fn reload() -> Self {
        Self { id: "reload", label: messages::text("error_page.reload"), href: String::new() }
    }

    /// To the sign-in page.
    pub fn sign_in() -> Self {
        Self { id: "sign-in", label: messages::text("error_page.sign_in"), href: "/sign-in".to_owned() }
    }

    /// To the application's home, or the profile page.
    pub fn home(instance: &Instance) -> Self {
        let home = super::redirect_params::home(instance);
        Self { id: "home", label: messages::text("error_page.home"), href: home }
    }

    /// What a failed flow offers; `start` is the start page with the query kept, `target` where the flow was to end.
    pub fn of_offer(offer: NextAction, start: &str, target: &str) -> Self {
        let (id, label, href) = match offer {
            NextAction::StartAgain => ("start-again", messages::text("error_page.start"), start),
            NextAction::TryAgain => ("try-again", messages::text("error_page.try_again"), start),
            NextAction::OtherMethod => ("use-another-method", messages::text("error_page.other_method"), start),
            NextAction::ThatAccount => ("use-that-account", messages::text("error_page.that_account"), start),
            NextAction::OtherAccount => ("use-another-account", messages::text("error_page.other_account"), start),
            NextAction::GoOn => ("continue", messages::text("error_page.go_on"), target),
        };
        Self { id, label, href: href.to_owned() }
    }
}

/// What an error page speaks of.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// A refused request: the state of its kind.
    Request(&'static str),
    /// A flow that failed.
    Flow(TextKey),
}

impl Subject {
    /// `data-page`. What the application did wrong is no failure of a provider.
    fn page(self) -> &'static str {
        match self {
            Self::Request(_) | Self::Flow(TextKey::AppFault | TextKey::ClientRequest) => "error",
            Self::Flow(_) => "provider.error",
        }
    }

    /// `data-state`.
    fn state(self) -> &'static str {
        match self {
            Self::Request(state) => state,
            Self::Flow(text_key) => text_key.as_str(),
        }
    }

    /// These two never say more than their sentence: no detail that helps guessing.
    fn is_terse(self) -> bool {
        matches!(self, Self::Flow(TextKey::Closed | TextKey::AccountClosed))
    }
}

/// A refusal on its way to a page or to JSON.
#[derive(Clone, Debug)]
pub struct Refused {
    problem: Problem,
    status: StatusCode,
    /// For callers that are answered in JSON.
    json_status: StatusCode,
    brand: Option<Brand>,
    subject: Subject,
    heading: String,
    next: Vec<String>,
    client: Option<String>,
    actions: Vec<Action>,
    details: Vec<String>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    shell: Layout,
    heading: &'a str,
    next: &'a [String],
    client: Option<&'a str>,
    actions: &'a [Action],
    details: &'a [String],
    reference: &'a str,
}

impl Refused {
    /// A refusal with the text of its code or status.
    pub fn new(instance: Option<&Instance>, problem: Problem) -> Self {
        let status = status::of_problem(&problem);
        Self::answered(instance, problem, status)
    }

    /// The same with another status than its code has.
    pub fn answered(instance: Option<&Instance>, problem: Problem, status: StatusCode) -> Self {
        let kind = error_kinds::of(&problem, status);
        let mut next = vec![messages::text(kind.next).to_owned()];
        if let Some(seconds) = problem.retry_after.filter(|_| status == StatusCode::TOO_MANY_REQUESTS) {
            next.push(fill("error_page.wait", &[("seconds", &seconds.to_string())]));
        }
        let action = match (kind.action, instance) {
            (error_kinds::Main::Home, Some(instance)) => Action::home(instance),
            (error_kinds::Main::Home | error_kinds::Main::SignIn, _) => Action::sign_in(),
            (error_kinds::Main::Reload, _) => Action::reload(),
        };
        let explains = instance.is_some_and(Instance::explains_refusals);
        let details = if explains { error_kinds::details(&problem) } else { Vec::new() };
        Self {
            // No branding where no instance was found, and none where the database is away: neither is known for sure.
            brand: instance.filter(|_| kind.status != StatusCode::SERVICE_UNAVAILABLE).map(Brand::of),
            status: kind.status,
            json_status: status,
            subject: Subject::Request(kind.state),
            heading: messages::text(kind.heading).to_owned(),
            next,
            client: None,
            actions: vec![action],
            details,
            problem,
        }
    }

    /// A failed flow, in the sentence of its reason, answered with the status of `problem`.
    pub fn of_reason(instance: &Instance, problem: Problem, reason: Reason, detail: &str) -> Self {
        let key = reasons::text_key(reason, detail).unwrap_or(TextKey::OurFault);
        let refused = Self::new(Some(instance), problem).with_text(instance, key, None, "/sign-in", None);
        refused.explained(instance, reason, detail, None)
    }

    /// A failed attempt that is shown on a page of its own: the page is the result, not a refusal of its request.
    pub fn of_attempt(
        instance: &Instance,
        text_key: TextKey,
        provider: Option<&str>,
        start: &str,
        target: &str,
    ) -> Self {
        let mut refused = Self::new(Some(instance), code::OAUTH_CALLBACK_INVALID.into());
        refused.details.clear();
        refused.status(StatusCode::OK).with_text(instance, text_key, provider, start, Some(target))
    }

    /// Speaks with the sentence of a text key and offers what it allows. `start` is the start page to go back to,
    /// `target` the validated place the flow was to end at.
    #[must_use]
    pub fn with_text(
        mut self,
        instance: &Instance,
        text_key: TextKey,
        provider: Option<&str>,
        start: &str,
        target: Option<&str>,
    ) -> Self {
        let home = super::redirect_params::home(instance);
        let offers = reasons::offers(text_key).iter();
        self.subject = Subject::Flow(text_key);
        self.heading = reasons::sentence(text_key, provider);
        self.next = vec![messages::text("error_page.flow_next").to_owned()];
        self.actions = match text_key {
            TextKey::AppFault | TextKey::ClientRequest => vec![Action::home(instance)],
            _ => offers.map(|offer| Action::of_offer(*offer, start, target.unwrap_or(&home))).collect(),
        };
        if self.subject.is_terse() {
            self.details.clear();
        }
        self
    }

    /// Adds what a developer looks for first: the reason, its condition, and where to look. Kept on development
    /// instances only; `provider` is the slug.
    #[must_use]
    pub fn explained(self, instance: &Instance, reason: Reason, detail: &str, provider: Option<&str>) -> Self {
        let condition = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        let words = flow_hint::fill(flow_hint::hint(reason, detail), provider, &instance.url("/v1/oauth_callback"));
        self.detail(format!("{reason}{condition}")).detail(words)
    }

    /// Replaces the page's status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Names the OAuth client; only one that exists in this instance.
    #[must_use]
    pub fn client(mut self, name: &str) -> Self {
        self.client = Some(name.to_owned());
        self
    }

    /// Adds a sentence for developers; kept on development instances only, and not where a page says nothing but its
    /// sentence.
    #[must_use]
    pub fn detail(mut self, sentence: impl Into<String>) -> Self {
        if self.brand.as_ref().is_some_and(|brand| brand.is_development) && !self.subject.is_terse() {
            self.details.push(sentence.into());
        }
        self
    }

    fn render(&self, reference: &str) -> Response {
        let shell = Layout {
            brand: self.brand.clone(),
            page: self.subject.page(),
            state: self.subject.state(),
            step: self.heading.clone(),
            mood: PageStatus::Error,
        };
        let view = ErrorPage {
            shell,
            heading: &self.heading,
            next: &self.next,
            client: self.client.as_deref(),
            actions: &self.actions,
            details: &self.details,
            reference,
        };
        let mut response = page(&view, Reply { status: self.status, ..Reply::default() });
        let wait = match self.status {
            // The page says "in a moment", and people are slower than programs.
            StatusCode::SERVICE_UNAVAILABLE => Some(5),
            _ => self.problem.retry_after,
        };
        if let Some(seconds) = wait {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Left in the extensions of an answer that [`complete`] has to finish.
#[derive(Clone)]
struct Unfinished(Arc<Refused>);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(ErrorCode(self.problem.code().name));
        if let Some(why) = self.problem.why {
            response.extensions_mut().insert(why);
        }
        response.extensions_mut().insert(Unfinished(Arc::new(self)));
        response
    }
}

/// A refusal as a page. A callback that cannot be believed speaks in the sentence of its reason.
pub fn refusal(instance: Option<&Instance>, error: Error) -> Response {
    let problem = to_problem(error);
    let Some(instance) = instance.filter(|_| problem.code() == code::OAUTH_CALLBACK_INVALID) else {
        return Refused::new(instance, problem).into_response();
    };
    let why = problem.why.unwrap_or(Why::new(Reason::StateMissing, ""));
    Refused::of_reason(instance, problem, why.reason, why.detail).into_response()
}

/// The page for an address that does not exist.
pub fn not_found() -> Response {
    refusal(None, code::RESOURCE_NOT_FOUND.into())
}

/// True if the caller is a browser that navigates; programs, `fetch` and curl accept anything, or JSON.
pub fn accepts_pages(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|accept| accept.contains("text/html"))
}

/// Finishes a refusal for this caller; every other answer passes unchanged. Headers that the refusal was given on its
/// way (`Allow`, cookies) stay.
pub fn complete(response: Response, accepts_pages: bool, reference: &str) -> Response {
    let Some(Unfinished(refused)) = response.extensions().get::<Unfinished>().cloned() else { return response };
    let (mut parts, _) = response.into_parts();
    let finished = match accepts_pages {
        true => refused.render(reference),
        false => problem::answer(&refused.problem, refused.json_status),
    };
    let (said, body) = finished.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    for (name, value) in &said.headers {
        parts.headers.insert(name, value.clone());
    }
    parts.status = said.status;
    parts.extensions.extend(said.extensions);
    Response::from_parts(parts, body)
}
