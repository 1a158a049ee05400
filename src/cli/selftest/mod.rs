//! `vestibule selftest`: walks the three journeys over HTTP against a running development server, as a newcomer's
//! demonstration and an operator's smoke test. It works on an instance of its own, which is gone afterwards.

mod backend;
mod browser;
pub(super) mod command;
mod frontend;
mod oauth_client;

use std::time::{Duration, Instant};

use browser::Browser;
use url::Url;

use crate::crypto::Secret;

/// The instance that is walked through.
pub struct Target {
    /// Its frontend API's origin.
    pub origin: Url,
    /// Its secret key.
    pub secret_key: Secret,
}

/// A step that went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {what}")]
pub struct Failed {
    /// The step.
    pub step: &'static str,
    /// What was found, and what was wanted.
    pub what: String,
}

/// One finished step.
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// Walks; tells each step as it is done.
///
/// # Errors
/// The first step that does not do what it should.
pub async fn walk(target: &Target, tell: &mut dyn FnMut(&Step)) -> Result<(), Failed> {
    let mut walk = Walk { target, began: Instant::now(), tell };
    let browser = walk.browser()?;
    let user = frontend::sign_up_with_google(&mut walk, &browser).await?;
    frontend::session_token(&mut walk, &browser).await?;
    frontend::portal(&mut walk, &browser).await?;
    backend::user(&mut walk, &user).await?;
    backend::notion_token(&mut walk).await?;
    oauth_client::journey(&mut walk, &browser).await
}

/// A walk under way.
pub(super) struct Walk<'a> {
    target: &'a Target,
    began: Instant,
    tell: &'a mut dyn FnMut(&Step),
}

impl Walk<'_> {
    /// A browser without cookies.
    fn browser(&self) -> Result<Browser, Failed> {
        let failed = |what: String| Failed { step: "start", what };
        Browser::new(&self.target.origin).map_err(|error| failed(error.to_string()))
    }

    /// An address on the instance's origin.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// The instance's origin, without trailing slash.
    fn origin(&self) -> String {
        self.target.origin.origin().ascii_serialization()
    }

    /// Tells that a step is done.
    fn done(&mut self, name: &'static str) {
        let now = Instant::now();
        (self.tell)(&Step { name, took: now - self.began });
        self.began = now;
    }
}

/// `found`, or the step's failure.
fn want<T>(step: &'static str, found: Option<T>, wanted: &str, answer: &browser::Answer) -> Result<T, Failed> {
    let text: String = answer.body.chars().take(300).collect();
    found.ok_or_else(|| Failed { step, what: format!("wanted {wanted}, got {} {text}", answer.status) })
}
