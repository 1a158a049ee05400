//! The index of the development pages: what it shows.

use askama::Template;
use axum::response::Response;

use super::content_security_policy::FormTarget;
use super::layout::{Layout, Reply, page};
use crate::model::instance::Instance;

/// Somebody to sign in as.
#[derive(Clone, Debug)]
pub struct Person {
    /// What the simulated provider is configured to do.
    pub hint: String,
    /// The name people read.
    pub name: String,
}

impl Person {
    fn initial(&self) -> String {
        self.name.chars().next().map(|first| first.to_uppercase().collect()).unwrap_or_default()
    }
}

/// The names under which frameworks read the publishable key.
const FRAMEWORKS: &[(&str, &str)] = &[
    ("Next.js", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"),
    ("React and Vite", "VITE_CLERK_PUBLISHABLE_KEY"),
    ("Astro", "PUBLIC_CLERK_PUBLISHABLE_KEY"),
    ("Nuxt", "NUXT_PUBLIC_CLERK_PUBLISHABLE_KEY"),
    ("Expo", "EXPO_PUBLIC_CLERK_PUBLISHABLE_KEY"),
];

/// The lines of an app's environment file.
fn environment(instance: &Instance) -> String {
    let lines = instance.app_variables().into_iter().map(|(name, value)| format!("{name}={value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    /// Which instance.
    pub instance: &'a Instance,
    /// People whom the simulated providers know.
    pub people: Vec<Person>,
    /// Addresses of pages that exist.
    pub links: Vec<&'static str>,
    /// Where the people's form is posted.
    pub action: String,
    /// The hidden field of that form.
    pub csrf: String,
    /// Where a sign-in from here ends.
    pub form_action: Vec<FormTarget>,
}

#[derive(Template)]
#[template(path = "dev.html")]
struct DevPage<'a> {
    shell: Layout,
    people: &'a [Person],
    links: &'a [&'static str],
    environment: String,
    frameworks: &'static [(&'static str, &'static str)],
    action: &'a str,
    csrf: &'a str,
    name: &'a str,
    id: &'a str,
    issuer: &'a str,
}

impl Index<'_> {
    /// The page.
    pub fn render(&self) -> Response {
        let view = DevPage {
            shell: Layout::new(self.instance, "dev.index", "index", "development.step"),
            people: &self.people,
            links: &self.links,
            environment: environment(self.instance),
            frameworks: FRAMEWORKS,
            action: &self.action,
            csrf: &self.csrf,
            name: &self.instance.name,
            id: self.instance.id.as_str(),
            issuer: &self.instance.origin,
        };
        page(&view, Reply { form_action: &self.form_action, ..Reply::default() })
    }
}
