//! An OAuth client of the tests, and a person's way through the authorization endpoint.

use super::{Answer, Browser, TestApp};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::Url;

/// The example pair of RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The challenge that [`VERIFIER`] answers.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The redirect URI of the tests' clients.
pub const CALLBACK: &str = "https://client.example/oauth/callback";

/// An application as its developer knows it.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// Its client id.
    pub id: String,
    /// Its secret; none for public ones.
    pub secret: Option<String>,
    /// Its id in the backend API.
    pub application: String,
}

impl TestApp {
    /// Makes an application; `change` overrides the members of an ordinary one.
    pub async fn application(&self, change: Value) -> OAuthClient {
        let mut body = json!({ "name": "Grafana", "callback_url": CALLBACK, "scopes": "profile email" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let made = self.backend(Method::POST, "/v1/oauth_applications", &body).await.expect(200).json();
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        OAuthClient { id: text("client_id").unwrap(), secret: text("client_secret"), application: text("id").unwrap() }
    }

    /// An authorization request of `client` for `openid profile email`; an empty value in `change` takes one away.
    pub fn authorize_url(&self, client: &OAuthClient, change: &[(&str, &str)]) -> Url {
        let mut fields = BTreeMap::from([
            ("client_id", client.id.as_str()),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email profile"),
            ("state", "state-of-the-client"),
        ]);
        fields.extend(change.iter().copied());
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        Url::parse_with_params(&self.url("/oauth/authorize"), fields).unwrap()
    }

    /// Goes through the authorization endpoint and allows what is asked; returns the code.
    pub async fn code(&self, browser: &Browser, client: &OAuthClient, change: &[(&str, &str)]) -> String {
        let url = self.authorize_url(client, change);
        let answer = browser.get(&url).await.expect(302);
        let answer = match answer.location().path() {
            "/oauth-consent" => self.allow(browser, answer.location()).await,
            _ => answer,
        };
        let answered = parameters(&answer.location());
        answered.get("code").unwrap_or_else(|| panic!("no code: {answered:?}")).clone()
    }

    /// Opens the consent page and presses "Allow".
    pub async fn allow(&self, browser: &Browser, consent: Url) -> Answer {
        let page = browser.get(consent).await.expect(200);
        self.press(browser, &page, "true").await
    }

    /// Presses a button of a consent page.
    pub async fn press(&self, browser: &Browser, page: &Answer, consented: &str) -> Answer {
        let mut fields = hidden_fields(&page.text);
        fields.push(("consented".to_owned(), consented.to_owned()));
        let form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post_form(self.url("/oauth-consent"), &self.origin(), &form).await
    }

    /// A post to the token endpoint with Basic credentials (public clients: `client_id` in the body).
    pub async fn token(&self, client: &OAuthClient, form: &[(&str, &str)]) -> Answer {
        self.post("/oauth/token", client, form).await
    }

    /// A post to a client endpoint.
    pub async fn post(&self, path: &str, client: &OAuthClient, form: &[(&str, &str)]) -> Answer {
        let browser = self.browser();
        let request = browser.raw(Method::POST, &self.url(path));
        match &client.secret {
            Some(secret) => browser.send(request.basic_auth(&client.id, Some(secret)).form(form)).await,
            None => {
                let form: Vec<_> = form.iter().copied().chain([("client_id", client.id.as_str())]).collect();
                browser.send(request.form(&form)).await
            }
        }
    }

    /// Redeems a code; `change` adds or overrides fields.
    pub async fn redeem(&self, client: &OAuthClient, code: &str, change: &[(&str, &str)]) -> Answer {
        let mut fields =
            BTreeMap::from([("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)]);
        fields.extend(change.iter().copied());
        let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        self.token(client, &fields).await
    }

    /// Rotates a refresh token.
    pub async fn refresh(&self, client: &OAuthClient, token: &str) -> Answer {
        self.token(client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Signs a new person in on a new browser and gets tokens for `scope`.
    pub async fn tokens(&self, client: &OAuthClient, username: &str, scope: &str) -> Value {
        let browser = self.browser();
        let person = self.person(username).await;
        self.sign_in(&browser, &person).await;
        let code = self.code(&browser, client, &[("scope", scope)]).await;
        self.redeem(client, &code, &[]).await.expect(200).json()
    }

    /// Asks for userinfo with an access token.
    pub async fn userinfo(&self, token: &str) -> Answer {
        let browser = self.browser();
        browser.send(browser.raw(Method::GET, &self.url("/oauth/userinfo")).bearer_auth(token)).await
    }

    /// Asks whether a token is live.
    pub async fn introspect(&self, client: &OAuthClient, token: &str) -> Value {
        self.post("/oauth/token_info", client, &[("token", token)]).await.expect(200).json()
    }
}

/// A member of a token answer.
#[track_caller]
pub fn member<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap_or_else(|| panic!("no {name} in {tokens}"))
}

/// The query of an address, each name once.
pub fn parameters(url: &Url) -> BTreeMap<String, String> {
    let fields: Vec<_> = url.query_pairs().into_owned().collect();
    let count = fields.len();
    let map: BTreeMap<_, _> = fields.into_iter().collect();
    assert_eq!(map.len(), count, "a parameter occurs twice: {url}");
    map
}

/// The hidden fields of a page's forms, in order.
pub fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let value = tag.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0;
        let unescaped = value.replace("&#34;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">");
        unescaped.replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&").replace("&amp;", "&")
    };
    let tags = html.split("<input type=\"hidden\"").skip(1).map(|rest| rest.split_once('>').unwrap().0);
    tags.map(|tag| (attribute(tag, "name"), attribute(tag, "value"))).collect()
}

/// The claims of a JWT, unverified.
pub fn claims(jwt: &str) -> Value {
    use base64::Engine;
    let payload = jwt.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
