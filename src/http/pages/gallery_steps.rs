//! The steps of signing in and up, and the pages between, as [`super::gallery`] shows them.

use axum::response::Response;

use super::code_view::{self, CodePage, CodePageState, CodeProblem, Method};
use super::fields_view::{Continue, Field};
use super::fixtures::HOSTILE;
use super::popup::{Popup, PopupMessage};
use super::reset_password_view::{ResetForm, ResetPage};
use crate::model::instance::Instance;

/// Fields of a sign-up, with and without what is wrong.
pub fn fields(problem: Option<&str>) -> Vec<Field> {
    let names = ["email_address", "username", "password", "legal_accepted"];
    let field = |name| Field {
        value: HOSTILE.to_owned(),
        problem: problem.map(str::to_owned),
        ..Field::of(name, true).unwrap()
    };
    names.into_iter().map(field).collect()
}

/// The pages on which codes and passwords are typed, in every state.
pub fn codes(instance: &Instance) -> Vec<Response> {
    let text = || HOSTILE.to_owned();
    let problem = |state| CodePageState::Problem(state, text(), None);
    let waits = [
        CodePageState::Code,
        CodePageState::CodeAgain,
        CodePageState::Link,
        CodePageState::Method,
        CodePageState::Password,
        CodePageState::PasswordProblem(text(), None),
        CodePageState::PasswordProblem(text(), Some(7)),
        problem(CodeProblem::Wrong),
        problem(CodeProblem::Over),
        CodePageState::Problem(CodeProblem::Limited, text(), Some(7)),
    ];
    let page = |step, waits: &CodePageState| {
        let methods = vec![Method { value: text(), label: text() }];
        let (address, csrf) = (text(), text());
        let (action, other_href) = ("/sign-in?a=1&b=\"".to_owned(), "/sign-up?a=1&b=\"".to_owned());
        let waits = waits.clone();
        let (forgot, form_action) = (Some("/sign-in/reset-password?a=1&b=\"".to_owned()), Vec::new());
        CodePage { instance, step, waits, address, action, csrf, methods, forgot, other_href, form_action }.render()
    };
    use code_view::Step::{FactorOne, Link, Reset, Reverify, VerifyEmail};
    let steps = [FactorOne, VerifyEmail, Link, Reset, Reverify];
    let mut pages: Vec<Response> = steps.iter().flat_map(|step| waits.iter().map(|waits| page(*step, waits))).collect();
    let asked = [
        (fields(None), None, None),
        (fields(Some(HOSTILE)), None, None),
        (fields(None), Some(text()), None),
        (fields(None), Some(text()), Some(7)),
    ];
    for (names, problem, wait) in asked {
        for begun_with in [None, Some(text())] {
            let page = Continue {
                instance,
                begun_with,
                fields: names.clone(),
                problem: problem.clone(),
                wait,
                action: "/sign-up/continue?a=1&b=\"".to_owned(),
                csrf: text(),
                other_href: "/sign-up?a=1&b=\"".to_owned(),
                form_action: Vec::new(),
            };
            pages.push(page.render());
        }
    }
    pages
}

/// The pages around a forgotten password.
pub fn resets(instance: &Instance) -> Vec<Response> {
    let text = || HOSTILE.to_owned();
    let field = |problem: Option<String>| {
        let field = Field::chosen("new-password", true, &instance.settings.attributes.password).unwrap();
        Field { problem, ..field }
    };
    let page = |asks, fields, problem, wait| {
        let page = ResetPage {
            instance,
            asks,
            fields: vec![fields],
            problem,
            wait,
            action: "/sign-in/reset-password?a=1&b=\"".to_owned(),
            csrf: text(),
            other_href: "/sign-in?a=1&b=\"".to_owned(),
            form_action: Vec::new(),
        };
        page.render()
    };
    let who = || Field::of("identifier", true).unwrap().typed(Some(HOSTILE));
    vec![
        page(ResetForm::Who, who(), None, None),
        page(ResetForm::Who, who(), Some(text()), None),
        page(ResetForm::Who, who(), None, Some(9)),
        page(ResetForm::Password, field(None), None, None),
        page(ResetForm::Password, field(Some(text())), None, None),
    ]
}

/// The page that ends a sign-in in a popup.
pub fn popups(instance: &Instance) -> Vec<Response> {
    let place = || format!("https://app.example/{HOSTILE}");
    let tells = |key| PopupMessage { key, value: place(), origin: place() };
    let shown = [Some(tells("session")), Some(tells("return_url")), None];
    shown.into_iter().map(|tells| Popup { instance, tells }.render()).collect()
}
