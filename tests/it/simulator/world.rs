//! The two who speak to a simulated provider: a browser without script, and our adapters.

use crate::support::TestApp;
use http::header;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use vestibule::crypto::SystemRng;
use vestibule::model::profile::Profile;
use vestibule::upstream::error::UpstreamError;
use vestibule::upstream::oidc::NonceCheck;
use vestibule::upstream::profile::{self, Answers};
use vestibule::upstream::provider::Provider;
use vestibule::upstream::request::{AuthorizationRequest, Verifier, authorization_url};
use vestibule::upstream::simulated::SimulatorSite;
use vestibule::upstream::token::{self, CodeExchange, TokenAnswer};

pub const STATE: &str = "state-of-this-flow";
pub const NONCE: &str = "nonce-of-this-flow";

/// A server with its development instance.
pub struct World {
    pub app: TestApp,
    pub verifier: Verifier,
    pub browser: reqwest::Client,
}

/// What the browser was sent back with.
pub struct Callback {
    pub status: u16,
    pub parameters: BTreeMap<String, String>,
}

impl World {
    pub async fn start() -> Self {
        Self { app: TestApp::start().await, verifier: Verifier::new(&SystemRng), browser: browser() }
    }

    pub fn provider(&self, slug: &str) -> Provider {
        let app = self.app.app();
        let site = SimulatorSite { ring: &app.ring, instance_id: &self.app.instance, origin: &self.app.origin() };
        site.provider(Arc::clone(app.catalogue.get(slug).unwrap()), Vec::new()).unwrap()
    }

    pub async fn advance(&self, seconds: u64) {
        self.app.advance(Duration::from_secs(seconds)).await;
    }

    pub fn secret(&self, slug: &str) -> String {
        self.provider(slug).client_secret.unwrap().expose_secret().to_owned()
    }

    pub fn callback_url(&self) -> Url {
        Url::parse(&self.app.url("/v1/oauth_callback")).unwrap()
    }

    pub fn url(&self, slug: &str, path: &str) -> String {
        self.app.url(&format!("/_dev/providers/{slug}/{path}"))
    }

    /// Where our adapter sends the browser.
    pub fn start_url(&self, slug: &str, prompt: Option<&str>) -> Url {
        let provider = self.provider(slug);
        let scopes = provider.scopes(&[]);
        let request = AuthorizationRequest {
            state: STATE,
            nonce: provider.uses_nonce(&scopes).then_some(NONCE),
            verifier: provider.sends_pkce().then_some(&self.verifier),
            redirect_uri: &self.callback_url(),
            scopes: &scopes,
            login_hint: None,
            prompt,
        };
        authorization_url(&provider, &request)
    }

    /// The page that the provider's real path leads to.
    pub async fn page_url(&self, start: Url) -> Url {
        let answer = self.browser.get(start.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 302);
        let page = start.join(answer.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        assert_eq!(page.query(), start.query());
        page
    }

    /// Presses a button on the page.
    pub async fn press(&self, start: Url, form: &[(&str, &str)]) -> Callback {
        let page = self.page_url(start).await;
        self.came_back(self.browser.post(page).form(form).send().await.unwrap())
    }

    /// `login_hint=…&auto=1`.
    pub async fn auto(&self, mut start: Url, hint: &str) -> Callback {
        start.query_pairs_mut().append_pair("login_hint", hint).append_pair("auto", "1");
        self.came_back(self.browser.get(start).send().await.unwrap())
    }

    /// The same, with a fault.
    pub async fn fail(&self, slug: &str, hint: &str, fault: &str) -> Callback {
        let mut start = self.start_url(slug, None);
        start.query_pairs_mut().append_pair("fail", fault);
        self.auto(start, hint).await
    }

    /// A request to Google's token endpoint that it accepts, to be sent as it is.
    pub fn google_token(&self, grant: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let secret = self.secret("google");
        let mut form = vec![("client_id", "sim_google"), ("client_secret", secret.as_str())];
        form.extend(grant);
        self.browser.post(self.url("google", "token")).form(&form)
    }

    /// The same for a code.
    pub fn google_code(&self, callback: &Callback) -> reqwest::RequestBuilder {
        let redirect_uri = self.callback_url();
        self.google_token(&[
            ("grant_type", "authorization_code"),
            ("code", &callback.parameters["code"]),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", self.verifier.expose()),
        ])
    }

    pub fn came_back(&self, answer: reqwest::Response) -> Callback {
        let location = Url::parse(answer.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        let parameters = location.query_pairs().into_owned().collect();
        let mut bare = location;
        bare.set_query(None);
        assert_eq!(bare, self.callback_url());
        Callback { status: answer.status().as_u16(), parameters }
    }

    pub async fn exchange(&self, slug: &str, callback: &Callback) -> Result<TokenAnswer, UpstreamError> {
        let provider = self.provider(slug);
        let code = SecretString::from(callback.parameters["code"].clone());
        let redirect_uri = self.callback_url();
        let verifier = provider.sends_pkce().then_some(&self.verifier);
        let exchange = CodeExchange { code: &code, verifier, redirect_uri: redirect_uri.as_str() };
        token::exchange(&self.app.app().upstream.outbound, &provider, &exchange).await
    }

    pub async fn refresh(&self, slug: &str, token: &SecretString) -> Result<TokenAnswer, UpstreamError> {
        token::refresh(&self.app.app().upstream.outbound, &self.provider(slug), token).await
    }

    pub async fn profile(&self, slug: &str, tokens: &TokenAnswer) -> Result<Profile, UpstreamError> {
        let provider = self.provider(slug);
        let is_ours = |nonce: &str| nonce == NONCE;
        let uses_nonce = provider.uses_nonce(&provider.scopes(&[]));
        let nonce = if uses_nonce { NonceCheck::Demanded(&is_ours) } else { NonceCheck::NotSent };
        let now = self.app.ctx().await.now;
        let answers = Answers { callback: &BTreeMap::new(), tokens };
        profile::fetch(&self.app.app().upstream, &provider, &answers, nonce, now).await
    }

    /// From the start to the profile, as the person that the hint names.
    pub async fn sign_in(&self, slug: &str, hint: &str) -> (TokenAnswer, Profile) {
        let callback = self.auto(self.start_url(slug, None), hint).await;
        let tokens = self.exchange(slug, &callback).await.unwrap();
        let profile = self.profile(slug, &tokens).await.unwrap();
        (tokens, profile)
    }

    /// A switch of the provider.
    pub async fn switch(&self, slug: &str, switches: Value) -> Value {
        let answer = self.browser.post(self.url(slug, "state")).json(&switches).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// Its switches and counters.
    pub async fn state(&self, slug: &str) -> Value {
        self.browser.get(self.url(slug, "state")).send().await.unwrap().json().await.unwrap()
    }

    /// What the provider knows of a code or token.
    pub async fn describe(&self, slug: &str, token: &SecretString) -> Value {
        self.switch(slug, serde_json::json!({"describe": token.expose_secret()})).await["described"].clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "a browser, not a request of ours")]
fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().no_gzip().build().unwrap()
}
