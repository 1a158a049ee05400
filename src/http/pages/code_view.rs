//! The page on which a code is typed: while signing in, while signing up, and before something important. What happens on
//! it is in `factor_one.rs` and `sign_up_steps.rs`.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::messages::{fill, text};
use super::policy::FormTarget;
use super::reasons;
use super::shell::{Reply, Shell, page};
use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};
use crate::model::verification::{GUESSES, Verification};

/// Which step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first factor of a sign-in.
    FactorOne,
    /// The address of a sign-up.
    VerifyEmail,
    /// The address of an account that a provider's identity is to be joined to.
    Link,
}

/// What the page waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A code.
    Code,
    /// A code, sent once more just now.
    CodeAgain,
    /// A link, opened in this browser.
    Link,
    /// A choice of method: nothing was sent yet.
    Method,
    /// A new code: the old one is over, or wrong; a sentence, and the status to answer with.
    Problem(&'static str, String, StatusCode),
}

impl Waits {
    /// What a refused code or message leaves to wait for.
    pub fn after(problem: &Problem, proof: Option<&Verification>) -> Self {
        let key = problem.why.map_or("our_fault", |why| reasons::text_key(why.reason, why.detail).unwrap_or("wrong"));
        let mut sentence = reasons::sentence(key, None);
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match problem.code() {
            code::FORM_CODE_INCORRECT => {
                let left = proof.map_or(GUESSES, |proof| (GUESSES - proof.attempts).max(0));
                if left < 3 {
                    let left = fill("code.left", &[("count", &left.to_string())]);
                    sentence = format!("{sentence} {left}");
                }
                Self::Problem("error.code", sentence, unprocessable)
            }
            code::VERIFICATION_CODE_TOO_MANY_REQUESTS | code::TOO_MANY_REQUESTS => {
                let seconds = problem.retry_after.unwrap_or(30).to_string();
                let sentence = fill("start.wait", &[("seconds", &seconds)]);
                Self::Problem("rate-limited", sentence, StatusCode::TOO_MANY_REQUESTS)
            }
            _ => Self::Problem("error.expired", sentence, unprocessable),
        }
    }

    fn state(&self, step: Step) -> &'static str {
        match (self, step) {
            (Self::Problem("error.code" | "error.expired", ..), Step::Link) => "error.proof",
            (Self::Problem("error.code" | "error.expired", ..), Step::VerifyEmail) => "error.verify",
            (Self::Problem(state, ..), _) => state,
            (Self::Method, Step::Link) => "confirm",
            (_, Step::Link) => "proof",
            (_, Step::VerifyEmail) => "verify.email",
            (Self::Code, _) => "code",
            (Self::CodeAgain, _) => "code.resent",
            (Self::Link, _) => "link.waiting",
            (Self::Method, _) => "methods",
        }
    }
}

/// Another way to go on.
#[derive(Clone, Debug)]
pub struct Method {
    /// What the form says is chosen: a strategy, and the address's id after a colon.
    pub value: String,
    /// The words on the button.
    pub label: String,
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct CodePage<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// Which step.
    pub step: Step,
    /// What it waits for.
    pub waits: Waits,
    /// The address in question, masked as far as it must be.
    pub address: String,
    /// Where its forms are posted.
    pub action: String,
    /// Their hidden field.
    pub csrf: String,
    /// Other ways.
    pub methods: Vec<Method>,
    /// Where to go to begin with somebody else.
    pub other_href: String,
    /// Where it leads in the end.
    pub form_action: Vec<FormTarget>,
}

#[derive(Template)]
#[template(path = "code.html")]
struct View<'a> {
    shell: Shell,
    heading: &'static str,
    lead: String,
    problem: Option<&'a str>,
    resent: bool,
    wants_code: bool,
    wants_link: bool,
    offers_resend: bool,
    action: &'a str,
    csrf: &'a str,
    methods: &'a [Method],
    other_href: &'a str,
}

impl CodePage<'_> {
    /// `data-page`, the part of the title, heading.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self.step {
            Step::FactorOne => ("sign-in.factor-one", "sign_in.step", "code.heading"),
            Step::VerifyEmail => ("sign-up.verify", "sign_up.step", "code.heading_address"),
            Step::Link => ("sign-in.link", "sign_in.step", "code.heading_link"),
        }
    }

    fn lead(&self) -> String {
        let key = match self.waits {
            Waits::Method => "code.lead_method",
            Waits::Link => "code.lead_link",
            Waits::Code | Waits::CodeAgain | Waits::Problem(..) => "code.lead",
        };
        fill(key, &[("address", &self.address)])
    }

    /// The page.
    pub fn render(&self) -> Response {
        let (name, step, heading) = self.words();
        let (status, problem) = match &self.waits {
            Waits::Problem(_, sentence, status) => (*status, Some(sentence.as_str())),
            _ => (StatusCode::OK, None),
        };
        let is_over = matches!(self.waits, Waits::Problem("error.expired", ..));
        let view = View {
            shell: Shell::new(self.instance, name, self.waits.state(self.step), step),
            heading: text(heading),
            lead: self.lead(),
            problem,
            resent: self.waits == Waits::CodeAgain,
            wants_code: !is_over && !matches!(self.waits, Waits::Link | Waits::Method),
            wants_link: self.waits == Waits::Link,
            offers_resend: self.waits != Waits::Method,
            action: &self.action,
            csrf: &self.csrf,
            methods: &self.methods,
            other_href: &self.other_href,
        };
        page(&view, Reply { status, form_action: &self.form_action, ..Reply::default() })
    }
}
