//! The page on which a code is typed: while signing in, while signing up, and before something important. What happens
//! on it is in `factor_one.rs` and `sign_up_steps.rs`.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::content_security_policy::{FormTarget, Opener};
use super::fields_view::Field;
use super::layout::{Layout, PageState, Reply, page};
use super::messages::{fill, text};
use super::reasons::{self, TextKey};
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
    /// The address of somebody who has forgotten their password.
    Reset,
    /// Somebody who is signed in, before something important.
    Reverify,
}

/// What is wrong with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeProblem {
    /// It is another than was sent.
    Wrong,
    /// It is over: a new one is to be asked for.
    Over,
    /// Too many were asked for or tried.
    Limited,
}

/// What the page waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodePageState {
    /// A code.
    Code,
    /// A code, sent once more just now.
    CodeAgain,
    /// A link, opened in this browser.
    Link,
    /// A choice of method: nothing was sent yet.
    Method,
    /// The password.
    Password,
    /// The password, for what was typed was wrong, or too much: a sentence, and the seconds to wait if it was too much.
    PasswordProblem(String, Option<u32>),
    /// A new code: the old one is over, or wrong; a sentence, and the seconds to wait if there were too many.
    Problem(CodeProblem, String, Option<u32>),
}

impl CodePageState {
    /// What a refused code or message leaves to wait for.
    pub fn after(problem: &Problem, verification: Option<&Verification>) -> Self {
        Self::after_guess(problem, verification.map_or(GUESSES, |verification| GUESSES - verification.attempts))
    }

    /// The same where so many guesses are left.
    pub fn after_guess(problem: &Problem, left: i16) -> Self {
        let key = problem
            .why
            .map_or(TextKey::OurFault, |why| reasons::text_key(why.reason, why.detail).unwrap_or(TextKey::Wrong));
        let mut sentence = reasons::sentence(key, None);
        match problem.code() {
            code::FORM_CODE_INCORRECT => {
                if left < 3 {
                    let left = fill("code.left", &[("count", &left.max(0).to_string())]);
                    sentence = format!("{sentence} {left}");
                }
                Self::Problem(CodeProblem::Wrong, sentence, None)
            }
            code::ACCOUNT_LOCKOUT_WARNING => Self::Problem(CodeProblem::Wrong, explained(problem), None),
            code::VERIFICATION_CODE_TOO_MANY_REQUESTS | code::TOO_MANY_REQUESTS => {
                Self::Problem(CodeProblem::Limited, waiting_time(problem), Some(seconds(problem)))
            }
            _ => Self::Problem(CodeProblem::Over, sentence, None),
        }
    }

    /// What a refused password leaves to wait for.
    pub fn after_password(problem: &Problem) -> Self {
        match problem.code() {
            code::TOO_MANY_REQUESTS => Self::PasswordProblem(waiting_time(problem), Some(seconds(problem))),
            code::ACCOUNT_LOCKOUT_WARNING => Self::PasswordProblem(explained(problem), None),
            _ => Self::PasswordProblem(reasons::sentence(TextKey::Wrong, None), None),
        }
    }

    fn state(&self, step: Step) -> PageState {
        use CodeProblem::{Limited, Over, Wrong};
        match (self, step) {
            (Self::Problem(Wrong | Over, ..), Step::Link) => PageState::error("error.proof"),
            (Self::Problem(Wrong | Over, ..), Step::VerifyEmail) => PageState::error("error.verify"),
            (Self::PasswordProblem(_, Some(_)), _) | (Self::Problem(Limited, ..), _) => "rate-limited".into(),
            (Self::PasswordProblem(..), _) => PageState::error("error.credentials"),
            (Self::Password, _) => "password".into(),
            (Self::Problem(Wrong, ..), _) => PageState::error("error.code"),
            (Self::Problem(Over, ..), _) => PageState::error("error.expired"),
            (Self::Method, Step::Link) => "confirm".into(),
            (_, Step::Link) => "proof".into(),
            (_, Step::VerifyEmail) => "verify.email".into(),
            (Self::Code, _) => "code".into(),
            (Self::CodeAgain, _) => "code.resent".into(),
            (Self::Link, _) => "link.waiting".into(),
            (Self::Method, _) => "methods".into(),
        }
    }
}

/// How long to wait, in words.
fn waiting_time(problem: &Problem) -> String {
    fill("start.wait", &[("seconds", &seconds(problem).to_string())])
}

fn seconds(problem: &Problem) -> u32 {
    problem.retry_after.unwrap_or(30)
}

/// The sentence that a refusal itself says: it counts the tries that are left.
fn explained(problem: &Problem) -> String {
    problem.errors.first().map(|item| item.long_message.clone()).unwrap_or_default()
}

/// Another way to go on.
#[derive(Clone, Debug)]
pub struct Method {
    /// What the form says is chosen: a strategy, and the address's id after a colon.
    pub value: String,
    /// The text on the button.
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
    pub waits: CodePageState,
    /// The address in question, masked as far as it must be.
    pub address: String,
    /// Where its forms are posted.
    pub action: String,
    /// Their hidden field.
    pub csrf: String,
    /// Other ways.
    pub methods: Vec<Method>,
    /// Where somebody goes who has forgotten the password; `None` where that helps nobody.
    pub forgot: Option<String>,
    /// Where to go to begin with somebody else; back, for somebody who is signed in.
    pub other_href: String,
    /// Where it leads in the end.
    pub form_action: Vec<FormTarget>,
}

#[derive(Template)]
#[template(path = "code.html")]
struct View<'a> {
    shell: Layout,
    heading: &'static str,
    lead: String,
    problem: Option<&'a str>,
    resent: bool,
    wants_code: bool,
    wants_link: bool,
    password: &'a [Field],
    offers_resend: bool,
    forgot: Option<&'a str>,
    other: &'static str,
    action: &'a str,
    csrf: &'a str,
    methods: &'a [Method],
    other_href: &'a str,
}

impl CodePage<'_> {
    /// `data-page`, the part of the title, heading.
    fn texts(&self) -> (&'static str, &'static str, &'static str) {
        match self.step {
            Step::FactorOne => ("sign-in.factor-one", "sign_in.step", "code.heading"),
            Step::VerifyEmail => ("sign-up.verify", "sign_up.step", "code.heading_address"),
            Step::Link => ("sign-in.link", "sign_in.step", "code.heading_link"),
            Step::Reset => ("sign-in.reset", "new_password.step", "new_password.heading_code"),
            Step::Reverify => ("user.reverify", "user.reverify", "prove_again.heading"),
        }
    }

    fn lead(&self) -> String {
        let key = match self.waits {
            CodePageState::Password | CodePageState::PasswordProblem(..) => "code.lead_password",
            CodePageState::Method if self.step == Step::Reverify => "prove_again.lead_method",
            CodePageState::Method => "code.lead_method",
            CodePageState::Link => "code.lead_link",
            CodePageState::Code | CodePageState::CodeAgain | CodePageState::Problem(..) => "code.lead",
        };
        fill(key, &[("address", &self.address)])
    }

    /// The page.
    pub fn render(&self) -> Response {
        let (name, step, heading) = self.texts();
        let (status, problem, wait) = match &self.waits {
            CodePageState::Problem(_, sentence, wait) | CodePageState::PasswordProblem(sentence, wait) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(sentence.as_str()), *wait)
            }
            _ => (StatusCode::OK, None, None),
        };
        let is_over = matches!(self.waits, CodePageState::Problem(CodeProblem::Over, ..));
        let wants_password = matches!(self.waits, CodePageState::Password | CodePageState::PasswordProblem(..));
        let nothing_sent = wants_password || self.waits == CodePageState::Method;
        let password = Vec::from_iter(Field::of("password", true).filter(|_| wants_password));
        let is_signed_in = self.step == Step::Reverify;
        let view = View {
            shell: Layout::new(self.instance, name, self.waits.state(self.step), step),
            heading: text(if wants_password && !is_signed_in { "code.heading_password" } else { heading }),
            lead: self.lead(),
            problem,
            resent: self.waits == CodePageState::CodeAgain,
            wants_code: !is_over && !nothing_sent && self.waits != CodePageState::Link,
            wants_link: self.waits == CodePageState::Link,
            password: &password,
            offers_resend: !nothing_sent,
            forgot: self.forgot.as_deref().filter(|_| wants_password),
            other: if is_signed_in { "prove_again.back" } else { "code.other" },
            action: &self.action,
            csrf: &self.csrf,
            methods: &self.methods,
            other_href: &self.other_href,
        };
        let opener = if is_signed_in { Opener::Cut } else { Opener::Shared };
        page(&view, Reply { status, wait, form_action: &self.form_action, opener, ..Reply::default() })
    }
}
