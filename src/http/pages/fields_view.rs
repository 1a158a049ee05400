//! Fields that people fill in to say who they are: on the start pages, and where a sign-up lacks something.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::content_security_policy::FormTarget;
use super::layout::{Layout, PageState, Reply, page};
use super::messages::{fill, text};
use crate::model::instance::Instance;
use crate::model::settings::PasswordAttribute;
use crate::model::text_enum::text_enum;

text_enum! {
    /// How a field is filled in: the type of its `input`.
    pub enum InputType {
        /// Typed.
        Text = "text",
        /// An address, typed.
        Email = "email",
        /// Typed, and a secret.
        Password = "password",
        /// Ticked.
        Checkbox = "checkbox",
    }
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name and id.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// How it is filled in.
    pub input: InputType,
    /// What a browser may fill in.
    pub autocomplete: &'static str,
    /// It cannot be left out.
    pub is_required: bool,
    /// What to know before typing.
    pub hint: Option<String>,
    /// What was typed before; never a password.
    pub value: String,
    /// What is wrong with that.
    pub problem: Option<String>,
}

impl Field {
    /// The field `name`; `None` for a name that is no field.
    pub fn of(name: &str, is_required: bool) -> Option<Self> {
        let (name, label, input, autocomplete) = match name {
            "identifier" => ("identifier", "fields.identifier", InputType::Text, "username"),
            "first_name" => ("first_name", "fields.first_name", InputType::Text, "given-name"),
            "last_name" => ("last_name", "fields.last_name", InputType::Text, "family-name"),
            "username" => ("username", "fields.username", InputType::Text, "username"),
            "email_address" => ("email_address", "fields.email_address", InputType::Email, "email"),
            "password" => ("password", "fields.password", InputType::Password, "current-password"),
            "new-password" => ("new-password", "fields.new_password", InputType::Password, "new-password"),
            "legal_accepted" => ("legal_accepted", "fields.legal_accepted", InputType::Checkbox, "off"),
            _ => return None,
        };
        let label = text(label);
        Some(Self { name, label, input, autocomplete, is_required, hint: None, value: String::new(), problem: None })
    }

    /// The same where somebody signs up, or chooses: a password is a new one there, and its rule stands beside it.
    pub fn chosen(name: &str, is_required: bool, rules: &PasswordAttribute) -> Option<Self> {
        let field = Self::of(name, is_required)?;
        if !field.is_password() {
            return Some(field);
        }
        let (least, _) = rules.lengths();
        let rule = fill("fields.password_rule", &[("count", &least.to_string())]);
        Some(Self { autocomplete: "new-password", hint: Some(rule), ..field })
    }

    /// The same with what was typed into it, which is not shown again where it is a secret.
    pub fn typed(self, value: Option<&str>) -> Self {
        let value = value.filter(|_| !self.is_password()).unwrap_or_default().to_owned();
        Self { value, ..self }
    }

    /// What is typed into it is a secret.
    pub fn is_password(&self) -> bool {
        self.input == InputType::Password
    }

    /// The ids of what describes it, for assistive technology.
    pub fn described_by(&self) -> String {
        let named = |is_there: bool, part: &str| is_there.then(|| format!("{}-{part}", self.name));
        let ids = [named(self.hint.is_some(), "hint"), named(self.problem.is_some(), "problem")];
        ids.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// It is ticked, not typed.
    pub fn is_checkbox(&self) -> bool {
        self.input == InputType::Checkbox
    }
}

/// What a sign-up still lacks.
#[derive(Clone, Debug)]
pub struct Continue<'a> {
    /// Whose.
    pub instance: &'a Instance,
    /// The provider and name that it began with.
    pub begun_with: Option<String>,
    /// What is missing.
    pub fields: Vec<Field>,
    /// Something is wrong with no field in particular: a sentence.
    pub problem: Option<String>,
    /// Seconds to wait before the next try.
    pub wait: Option<u32>,
    /// Where the form is posted.
    pub action: String,
    /// Its hidden field.
    pub csrf: String,
    /// Where to begin with another account.
    pub other_href: String,
    /// Where it leads in the end.
    pub form_action: Vec<FormTarget>,
}

#[derive(Template)]
#[template(path = "continue.html")]
struct View<'a> {
    shell: Layout,
    lead: Option<String>,
    problem: Option<String>,
    fields: &'a [Field],
    action: &'a str,
    csrf: &'a str,
    other_href: &'a str,
}

impl Continue<'_> {
    fn state(&self) -> PageState {
        let has_problem = self.problem.is_some() || self.fields.iter().any(|field| field.problem.is_some());
        match self.fields.first() {
            _ if self.wait.is_some() => "rate-limited".into(),
            _ if has_problem => PageState::error("error.field"),
            Some(field) if field.name == "email_address" => "continue.email-needed".into(),
            _ => "continue".into(),
        }
    }

    /// The page.
    pub fn render(&self) -> Response {
        let shell = Layout::new(self.instance, "sign-up.continue", self.state(), "sign_up.step");
        let status = if self.state().is_error() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let wait = self.wait.map(|seconds| shell.fill("start.wait", "seconds", &seconds.to_string()));
        let view = View {
            lead: self.begun_with.as_deref().map(|with| fill("fields.begun_with", &[("account", with)])),
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
