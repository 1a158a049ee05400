//! The pages around a forgotten password that hold a field: whose it is, and the new one. The code between them is typed on
//! the page of codes.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::content_security_policy::FormTarget;
use super::fields_view::Field;
use super::layout::{Layout, PageState, Reply, page};
use crate::model::instance::Instance;

/// What the page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetForm {
    /// Who it is.
    Who,
    /// The new password.
    Password,
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct ResetPage<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// What it asks for.
    pub asks: ResetForm,
    /// The field.
    pub fields: Vec<Field>,
    /// Something is wrong with no field in particular: a sentence.
    pub problem: Option<String>,
    /// Seconds to wait before the next try.
    pub wait: Option<u32>,
    /// Where the form is posted.
    pub action: String,
    /// Its hidden field.
    pub csrf: String,
    /// Back to the ways of signing in.
    pub other_href: String,
    /// Where it leads in the end.
    pub form_action: Vec<FormTarget>,
}

#[derive(Template)]
#[template(path = "reset.html")]
struct View<'a> {
    shell: Layout,
    heading: &'static str,
    lead: &'static str,
    problem: Option<String>,
    fields: &'a [Field],
    button: &'static str,
    action: &'a str,
    csrf: &'a str,
    other_href: &'a str,
}

impl ResetPage<'_> {
    fn state(&self) -> PageState {
        let has_problem = self.problem.is_some() || self.fields.iter().any(|field| field.problem.is_some());
        match self.asks {
            _ if self.wait.is_some() => "rate-limited".into(),
            _ if has_problem => PageState::error("error.reset"),
            ResetForm::Who => "reset.begin".into(),
            ResetForm::Password => "reset.new".into(),
        }
    }

    /// The page.
    pub fn render(&self) -> Response {
        let shell = Layout::new(self.instance, "sign-in.reset", self.state(), "new_password.step");
        let (heading, lead, button) = match self.asks {
            ResetForm::Who => ("new_password.heading_begin", "new_password.lead_begin", "new_password.send"),
            ResetForm::Password => ("new_password.heading", "new_password.lead", "new_password.submit"),
        };
        let status = if self.state().is_error() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let wait = self.wait.map(|seconds| shell.fill("start.wait", "seconds", &seconds.to_string()));
        let view = View {
            heading: shell.text(heading),
            lead: shell.text(lead),
            button: shell.text(button),
            problem: wait.or_else(|| self.problem.clone()),
            fields: &self.fields,
            action: &self.action,
            csrf: &self.csrf,
            other_href: &self.other_href,
            shell,
        };
        page(&view, Reply { status, wait: self.wait, form_action: &self.form_action, ..Reply::default() })
    }
}
