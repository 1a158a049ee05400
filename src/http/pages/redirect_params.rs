//! Where the browser goes when a flow of these pages ends. Every candidate is parsed and compared
//! with the instance's origins; what does not pass is dropped and never shown again.

use super::super::extract::{Params, Query};
use super::super::problem::Failure;
use super::content_security_policy::FormTarget;
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::model::instance::Instance;
use crate::model::problem::Result;
use crate::model::redirect::RedirectTarget;

/// Which flow ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPage {
    /// `/sign-in`.
    SignIn,
    /// `/sign-up`.
    SignUp,
}

impl EntryPage {
    /// The start page's path.
    pub fn path(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in",
            Self::SignUp => "/sign-up",
        }
    }

    /// The other start page.
    pub fn other(self) -> Self {
        match self {
            Self::SignIn => Self::SignUp,
            Self::SignUp => Self::SignIn,
        }
    }

    /// Where an attempt that goes on is continued.
    pub fn next_path(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in/factor-one",
            Self::SignUp => "/sign-up/continue",
        }
    }

    /// Where the browser goes when a flow of this entry page could not end at its target.
    pub fn callback_path(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in/sso-callback",
            Self::SignUp => "/sign-up/sso-callback",
        }
    }

    /// The parameters that name a target, the strongest first.
    fn precedence(self) -> [&'static str; 4] {
        match self {
            Self::SignIn => {
                ["sign_in_force_redirect_url", "redirect_url", "sign_in_fallback_redirect_url", "after_sign_in_url"]
            }
            Self::SignUp => {
                ["sign_up_force_redirect_url", "redirect_url", "sign_up_fallback_redirect_url", "after_sign_up_url"]
            }
        }
    }
}

/// All parameters that are carried through the steps, those of the other entry page included.
const CARRIED: &[&str] = &[
    "redirect_url",
    "after_sign_in_url",
    "after_sign_up_url",
    "sign_in_force_redirect_url",
    "sign_in_fallback_redirect_url",
    "sign_up_force_redirect_url",
    "sign_up_fallback_redirect_url",
];

/// What the query of a start page asked for, as far as it is allowed.
#[derive(Clone, Debug)]
pub struct RedirectParams {
    /// The place to land at; absolute.
    pub target: String,
    /// The allowed parameters, to be carried along.
    carried: Vec<(&'static str, String)>,
    /// The parameters that were dropped.
    pub dropped: Vec<&'static str>,
}

impl RedirectParams {
    /// Reads the query of `entry`'s page.
    pub fn read(instance: &Instance, entry: EntryPage, query: &Params) -> Self {
        let (mut carried, mut dropped) = (Vec::new(), Vec::new());
        for name in CARRIED {
            let Some(raw) = query.text(name) else { continue };
            match RedirectTarget::parse(instance, raw, Some(&instance.origin), name) {
                Ok(target) => carried.push((*name, target.into_string())),
                Err(_) => dropped.push(*name),
            }
        }
        let named = |wanted: &str| carried.iter().find(|(name, _)| *name == wanted).map(|(_, target)| target.clone());
        let target = entry.precedence().into_iter().find_map(named).unwrap_or_else(|| home(instance));
        Self { target, carried, dropped }
    }

    /// Where a flow of `entry`'s page leads; what was dropped is logged and noted.
    ///
    /// # Errors
    /// A query that cannot be read.
    pub fn of(ctx: &Ctx, entry: EntryPage, query: Result<Query, Failure>) -> Result<Self> {
        let Query(query) = query.map_err(|failure| failure.0)?;
        let redirects = Self::read(&ctx.instance, entry, &query);
        if !redirects.dropped.is_empty() {
            tracing::info!(reason = "redirect_unlisted", detail = "portal", parameters = ?redirects.dropped, "target dropped");
            flow_steps::log_dropped_target(ctx, &redirects.dropped);
        }
        Ok(redirects)
    }

    /// `path` with what is carried in its query.
    pub fn carry(&self, path: &str) -> String {
        if self.carried.is_empty() {
            return path.to_owned();
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.carried).finish();
        format!("{path}?{query}")
    }

    /// The target's origin, for the policy of the page whose form may end there: a provider that knows the person
    /// sends the browser straight back, and all of it is one chain of redirects after one form.
    pub fn form_target(&self) -> Option<FormTarget> {
        FormTarget::of_url(&self.target)
    }
}

/// Where people go who asked for nothing else: the configured home, or the profile page where there is none that may
/// receive redirects.
pub fn home(instance: &Instance) -> String {
    let home = instance.home_url();
    let allowed = RedirectTarget::parse(instance, &home, None, "home_url");
    allowed.map_or_else(|_| instance.url("/user"), RedirectTarget::into_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::fixtures::production;

    fn read(entry: EntryPage, query: &str) -> RedirectParams {
        let mut instance = production();
        instance.origins = vec!["https://app.example".to_owned()];
        RedirectParams::read(&instance, entry, &Params::from_form(query.as_bytes()).unwrap())
    }

    #[test]
    fn the_strongest_allowed_parameter_wins() {
        let all = "sign_in_fallback_redirect_url=/c&redirect_url=https://app.example/b&sign_in_force_redirect_url=/a";
        assert_eq!(read(EntryPage::SignIn, all).target, "https://id.example/a");
        assert_eq!(read(EntryPage::SignUp, all).target, "https://app.example/b");
        assert_eq!(read(EntryPage::SignIn, "sign_in_fallback_redirect_url=/c").target, "https://id.example/c");
        assert_eq!(read(EntryPage::SignIn, "after_sign_in_url=/d").target, "https://id.example/d");
        assert_eq!(read(EntryPage::SignUp, "after_sign_in_url=/d").target, "https://id.example/user");
    }

    #[test]
    fn what_is_not_allowed_is_dropped_and_the_next_one_counts() {
        let redirects = read(EntryPage::SignIn, "redirect_url=https://evil.example/&sign_in_fallback_redirect_url=/c");
        assert_eq!(redirects.target, "https://id.example/c");
        assert_eq!(redirects.dropped, ["redirect_url"]);
        assert_eq!(redirects.carry("/sign-up"), "/sign-up?sign_in_fallback_redirect_url=https%3A%2F%2Fid.example%2Fc");
        assert_eq!(read(EntryPage::SignIn, "redirect_url=javascript:alert(1)").carry("/sign-in"), "/sign-in");
    }

    #[test]
    fn home_is_the_configured_page_or_the_profile() {
        let mut instance = production();
        assert_eq!(home(&instance), "https://id.example/user");
        instance.settings.home_url = "https://app.example/welcome".to_owned();
        assert_eq!(home(&instance), "https://id.example/user", "not one of the instance's origins");
        instance.origins = vec!["https://app.example".to_owned()];
        assert_eq!(home(&instance), "https://app.example/welcome");
        instance.settings.home_url = "javascript:alert(1)".to_owned();
        assert_eq!(home(&instance), "https://id.example/user");
    }
}
