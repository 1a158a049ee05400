//! Native applications: a scripted client with the SDK's native headers, the list of their addresses, and the nonce that
//! hands a sign-in over.

use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::support::browser::send;
use crate::support::person::{approve, provider_url};
use crate::support::{Answer, Browser, TestApp};

const TARGET: &str = "my-app://callback";

/// An application on a phone: `_is_native=1`, its token in `Authorization`, no cookies.
pub struct Native<'a> {
    app: &'a TestApp,
    http: Browser,
    token: Mutex<String>,
}

impl<'a> Native<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        Self { app, http: app.browser(), token: Mutex::default() }
    }

    pub async fn call(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Answer {
        let mut url = Url::parse(&self.app.url(path)).unwrap();
        url.query_pairs_mut().append_pair("_is_native", "1");
        let token = self.token.lock().unwrap().clone();
        let request = self.http.raw(method, url.as_str()).header("authorization", token);
        let answer = send(if form.is_empty() { request } else { request.form(form) }).await;
        assert!(answer.set_cookies().is_empty(), "a native application gets no cookie");
        if let Some(token) = answer.header("authorization") {
            *self.token.lock().unwrap() = token.to_owned();
        }
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[]).await
    }

    pub async fn begin(&self, kind: &str, strategy: &str) -> Answer {
        let form = [("strategy", strategy), ("redirect_url", TARGET)];
        self.call(Method::POST, &format!("/v1/client/{kind}"), &form).await
    }

    async fn sessions(&self) -> usize {
        self.get("/v1/client").await.expect(200).json()["response"]["sessions"].as_array().map_or(0, Vec::len)
    }

    /// Begins, has `person` approve in the system's browser, and signs in by the nonce; returns the finished attempt.
    async fn go(&self, kind: &str, person: &str) -> Value {
        let begun = self.begin(kind, "oauth_google").await.expect(200);
        let back = come_back(self.app, provider_url(&begun), person).await;
        let id = begun.json()["response"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/client/{kind}/{id}?rotating_token_nonce={}", parameter(&back, "rotating_token_nonce"));
        self.get(&path).await.expect(200).json()["response"].clone()
    }
}

/// Approves in a browser that knows nothing of the application; where that browser is sent.
pub async fn come_back(app: &TestApp, provider: Url, person: &str) -> Url {
    let system = app.browser();
    let callback = approve(&system, provider, person).await;
    let back = system.get(callback).await.expect(303);
    assert!(back.set_cookies().is_empty() && back.header("authorization").is_none(), "the browser gets nothing");
    back.location()
}

#[track_caller]
pub fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

fn has(url: &Url, name: &str) -> bool {
    url.query_pairs().any(|(key, _)| key == name)
}

async fn users(app: &TestApp) -> i64 {
    app.backend_get("/v1/users/count").await.json()["total_count"].as_i64().unwrap()
}

async fn refusals(app: &TestApp) -> i64 {
    app.count(
        "select count(*) from audit_events where instance_id = $1 and action = $2",
        "rotating_token_nonce.refused",
    )
    .await
}

#[tokio::test]
async fn an_application_signs_up_by_its_nonce_and_by_nothing_else() {
    let app = TestApp::start().await;
    let phone = Native::new(&app);
    let begun = phone.begin("sign_ups", "oauth_google").await.expect(200);
    assert!(!phone.token.lock().unwrap().is_empty(), "the first answer brings the client's token");
    let path = format!("/v1/client/sign_ups/{}", begun.json()["response"]["id"].as_str().unwrap());
    let back = come_back(&app, provider_url(&begun), "ada@example.com").await;
    assert!(back.as_str().starts_with("my-app://callback?created_session_id=sess_"), "{back}");

    // Whoever polls without the nonce, or with another one, sees an unfinished attempt and no session.
    for query in ["", "?rotating_token_nonce=", "?rotating_token_nonce=made-up"] {
        let seen = phone.get(&format!("{path}{query}")).await.expect(200).json();
        assert_eq!(seen["response"]["status"], "missing_requirements", "{query}");
        assert_eq!(seen["response"]["verifications"]["external_account"]["status"], "unverified");
        assert!(seen["response"]["email_address"].is_null(), "nothing of the person is shown");
    }
    assert_eq!((phone.sessions().await, users(&app).await, refusals(&app).await), (0, 0, 1));

    // A thief with the nonce, but without the client's token.
    let nonce = parameter(&back, "rotating_token_nonce");
    let thief = Native::new(&app);
    thief.begin("sign_ups", "oauth_google").await.expect(200);
    thief.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(404);
    assert_eq!((thief.sessions().await, users(&app).await), (0, 0));

    let before = phone.token.lock().unwrap().clone();
    let done = phone.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(200).json()["response"].clone();
    assert_eq!(done["status"], "complete");
    assert_eq!(done["created_session_id"], parameter(&back, "created_session_id").as_str());
    let after = phone.token.lock().unwrap().clone();
    assert_ne!(before, after, "the token was replaced");
    assert_eq!((phone.sessions().await, users(&app).await), (1, 1));

    // A second time it is worth nothing: no new token, and the log says so.
    let before = refusals(&app).await;
    let again = phone.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(200);
    assert!(again.header("authorization").is_none());
    assert_eq!(refusals(&app).await, before + 1);
    let clear =
        "select count(*) from provider_authorizations where instance_id = $1 and outcome_url like '%' || $2 || '%'";
    assert_eq!(app.count(clear, &nonce).await, 0, "the nonce is stored as a hash alone");
}

#[tokio::test]
async fn an_application_signs_in_and_transfers() {
    let app = TestApp::start().await;
    let first = Native::new(&app);
    assert_eq!(first.go("sign_ups", "ada@example.com").await["status"], "complete");
    // A known person, on another phone; began as a sign-up: transferable to a sign-in.
    let phone = Native::new(&app);
    let attempt = phone.go("sign_ups", "ada@example.com").await;
    assert_eq!(attempt["verifications"]["external_account"]["status"], "transferable");
    let moved = phone.call(Method::POST, "/v1/client/sign_ins", &[("transfer", "true")]).await.expect(200).json();
    assert_eq!(moved["response"]["status"], "complete");
    // And a sign-in.
    let phone = Native::new(&app);
    let begun = phone.begin("sign_ins", "oauth_google").await.expect(200);
    let path = format!("/v1/client/sign_ins/{}", begun.json()["response"]["id"].as_str().unwrap());
    let back = come_back(&app, provider_url(&begun), "ada@example.com").await;
    assert_eq!(phone.get(&path).await.expect(200).json()["response"]["status"], "needs_identifier");
    let nonce = parameter(&back, "rotating_token_nonce");
    let done = phone.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["client"]["sessions"][0]["id"], done["response"]["created_session_id"]);
    // A stranger: transferable only with the nonce, and then a new user.
    let phone = Native::new(&app);
    let begun = phone.begin("sign_ins", "oauth_google").await.expect(200);
    let path = format!("/v1/client/sign_ins/{}", begun.json()["response"]["id"].as_str().unwrap());
    let back = come_back(&app, provider_url(&begun), "grace@example.com").await;
    let early = phone.call(Method::POST, "/v1/client/sign_ups", &[("transfer", "true")]).await.expect(400);
    assert_eq!(early.error_code(), "account_transfer_invalid");
    let nonce = parameter(&back, "rotating_token_nonce");
    let seen = phone.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(200).json();
    assert_eq!(seen["response"]["first_factor_verification"]["status"], "transferable");
    let moved = phone.call(Method::POST, "/v1/client/sign_ups", &[("transfer", "true")]).await.expect(200).json();
    assert_eq!(moved["response"]["status"], "complete");
    assert_eq!(users(&app).await, 2);
}

#[tokio::test]
async fn an_application_connects_an_account() {
    let app = TestApp::start().await;
    let phone = Native::new(&app);
    phone.go("sign_ups", "ada@example.com").await;
    let form = [("strategy", "oauth_notion"), ("redirect_url", TARGET)];
    let begun = phone.call(Method::POST, "/v1/me/external_accounts", &form).await.expect(200).json();
    let url = begun["response"]["verification"]["external_verification_redirect_url"].as_str().unwrap();
    let back = come_back(&app, url.parse().unwrap(), "ada@example.com").await;
    assert!(!has(&back, "created_session_id") && !has(&back, "__clerk_status"), "{back}");
    let accounts = |answer: Answer| answer.json()["response"]["external_accounts"].clone();
    let before = accounts(phone.get("/v1/me").await.expect(200));
    assert_eq!(before[1]["verification"]["status"], "unverified", "an approval elsewhere connects nothing");
    let nonce = parameter(&back, "rotating_token_nonce");
    let after = accounts(phone.get(&format!("/v1/me?rotating_token_nonce={nonce}")).await.expect(200));
    assert_eq!(after[1]["verification"]["status"], "verified");
    assert_eq!(after[1]["id"], begun["response"]["id"]);
}

/// Security.md section 2: the attacker starts, the victim approves, and the attacker waits.
#[tokio::test]
async fn an_approval_that_somebody_else_gave_signs_in_nobody() {
    let app = TestApp::start().await;
    let (attacker, victim) = (Native::new(&app), app.browser());
    let begun = attacker.begin("sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&victim, provider_url(&begun), "ada@example.com").await;
    // The attacker knows the state, and asks for the outcome again and again.
    let state = parameter(&callback, "state");
    let mut answers = vec![victim.get(callback.as_str()).await];
    for _ in 0..3 {
        answers
            .push(send(app.browser().raw(Method::GET, &app.url(&format!("/v1/oauth_callback?state={state}")))).await);
    }
    for late in answers.iter().skip(1) {
        assert_eq!(late.status, 400);
        assert_eq!(late.json()["errors"][0]["meta"]["reason"], "state_used");
    }
    assert!(answers[0].location().as_str().contains("rotating_token_nonce="));
    assert_eq!((attacker.sessions().await, users(&app).await), (0, 0));
    let transfer = attacker.call(Method::POST, "/v1/client/sign_ups", &[("transfer", "true")]).await;
    assert_eq!(transfer.expect(400).error_code(), "account_transfer_invalid");
}

#[tokio::test]
async fn a_nonce_lives_five_minutes_and_a_failure_needs_none() {
    let app = TestApp::start().await;
    let phone = Native::new(&app);
    let begun = phone.begin("sign_ups", "oauth_google").await.expect(200);
    let path = format!("/v1/client/sign_ups/{}", begun.json()["response"]["id"].as_str().unwrap());
    let back = come_back(&app, provider_url(&begun), "ada@example.com").await;
    app.advance(Duration::from_secs(301)).await;
    let nonce = parameter(&back, "rotating_token_nonce");
    let late = phone.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(200).json();
    assert_eq!(late["response"]["status"], "missing_requirements");
    assert_eq!(users(&app).await, 0);

    let begun = phone.begin("sign_ins", "oauth_google").await.expect(200);
    let mut denied = provider_url(&begun);
    denied.query_pairs_mut().append_pair("auto", "1").append_pair("fail", "deny");
    let system = app.browser();
    let callback = system.follow(denied.as_str(), |url| url.path() == "/v1/oauth_callback").await.location();
    let back = system.get(callback).await.expect(303).location();
    assert_eq!(parameter(&back, "__clerk_status"), "failed");
    assert_eq!(parameter(&back, "__clerk_error_code"), "oauth_access_denied");
    let path = format!("/v1/client/sign_ins/{}", begun.json()["response"]["id"].as_str().unwrap());
    let seen = phone.get(&path).await.expect(200).json();
    assert_eq!(seen["response"]["first_factor_verification"]["error"]["code"], "oauth_access_denied");
}

#[tokio::test]
async fn the_native_api_can_be_switched_off() {
    let app = TestApp::start().await;
    let phone = Native::new(&app);
    phone.begin("sign_ins", "oauth_google").await.expect(200);
    let change = r#"{"native_api": false}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    assert_eq!(phone.begin("sign_ins", "oauth_google").await.expect(400).error_code(), "native_api_disabled");
    assert_eq!(phone.get("/v1/client").await.expect(400).error_code(), "native_api_disabled");
    app.browser().get(app.url("/v1/client")).await.expect(200);
}

#[tokio::test]
async fn a_page_cannot_pretend_to_be_an_application() {
    let app = TestApp::start().await;
    let browser = app.browser();
    crate::support::person::sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    // Its visitor's cookie does not count for a native application, so there is nothing to forge.
    let forged = browser.request(Method::GET, &app.url("/v1/me?_is_native=1"));
    assert_eq!(browser.send(forged).await.expect(401).error_code(), "authentication_invalid");
    let both = browser.request(Method::POST, &app.url("/v1/client/sign_ins?_is_native=1"));
    let both = both.header("origin", "http://localhost:3000").header("authorization", "x");
    assert_eq!(browser.send(both).await.expect(400).error_code(), "origin_authorization_headers_conflict");
}

#[tokio::test]
async fn dangerous_schemes_are_refused_everywhere() {
    let app = TestApp::start().await;
    let phone = Native::new(&app);
    for (target, code) in [("javascript:alert(1)", "prohibited_redirect_url"), ("/cb", "form_param_format_invalid")] {
        let form = [("strategy", "oauth_google"), ("redirect_url", target)];
        let refused = phone.call(Method::POST, "/v1/client/sign_ins", &form).await.expect(422);
        assert_eq!(refused.error_code(), code, "{target}");
    }
}

#[tokio::test]
async fn the_list_is_stored_by_the_backend_api() {
    let app = TestApp::start().await;
    let create = async |url: &str| app.backend(Method::POST, "/v1/redirect_urls", &json!({ "url": url })).await;
    let listed = create("My-App://Callback").await.expect(200).json();
    assert_eq!((&listed["object"], &listed["url"]), (&json!("redirect_url"), &json!("My-App://Callback")));
    let id = listed["id"].as_str().unwrap();
    assert!(id.starts_with("ru_") && listed["created_at"].is_i64());
    assert_eq!(create("my-app://callback").await.expect(422).error_code(), "form_already_exists");
    for (url, code) in [
        ("http://app.example/cb", "insecure_url"),
        ("javascript:alert(1)", "invalid_url_scheme"),
        ("callback", "form_param_format_invalid"),
        ("", "form_param_missing"),
    ] {
        assert_eq!(create(url).await.expect(422).error_code(), code, "{url}");
    }
    create("https://app.example/callback").await.expect(200);
    let all = app.backend_get("/v1/redirect_urls").await.expect(200).json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["id"], id, "newest first");
    let page = app.backend_get("/v1/redirect_urls?paginated=true&limit=1").await.expect(200).json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["total_count"]), (1, &json!(2)));
    assert_eq!(app.backend_get(&format!("/v1/redirect_urls/{id}")).await.expect(200).json(), listed);
    let gone = app.backend(Method::DELETE, &format!("/v1/redirect_urls/{id}"), &json!({})).await.expect(200).json();
    assert_eq!(gone, json!({ "object": "redirect_url", "id": id, "deleted": true }));
    app.backend_get(&format!("/v1/redirect_urls/{id}")).await.expect(404);
    for number in 0..49 {
        create(&format!("app-{number}:/cb")).await.expect(200);
    }
    assert_eq!(create("one-more:/cb").await.expect(422).error_code(), "form_param_value_invalid");
    assert_eq!(create("app-1:/cb").await.expect(422).error_code(), "form_already_exists");
}

/// On production the list decides, entry by entry.
#[tokio::test]
async fn production_sends_people_to_listed_addresses_alone() {
    use vestibule::actions::instance::{self, NewInstance};
    use vestibule::crypto::ExposeSecret;
    use vestibule::store::audit::Actor;
    let app = TestApp::start().await;
    let new = NewInstance::production("shop", "https://clerk.shop.example").unwrap();
    let made = instance::create(app.app(), &new, Actor::System).await.unwrap();
    let secret = made.secret_key.expose_secret().to_owned();
    let start = async |target: &str| {
        let url = app.url("/v1/client/sign_ins?_is_native=1");
        let request = app.browser().raw(Method::POST, &url).header("host", "clerk.shop.example");
        let form = [("strategy", "oauth_google"), ("redirect_url", target)];
        send(request.header("authorization", "").form(&form)).await
    };
    for target in ["my-app://callback", "my-app://callback/", "other-app://callback"] {
        let refused = start(target).await.expect(400);
        assert_eq!(refused.error_code(), "resource_missmatch", "{target}");
        assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], "redirect_url");
    }
    assert_eq!(start("https://links.example/cb").await.expect(422).error_code(), "redirect_url_domain_mismatch");
    // A page of the instance's own that nobody listed could pass the nonce on. The page of popups does not.
    let add = "insert into instance_origins (instance_id, origin, kind, created_at)
        select id, 'https://shop.example', 'allowed', now() from instances where name = 'shop' and $1 <> $2";
    app.execute(add, "").await;
    app.app().forget_directory();
    for target in [
        "https://clerk.shop.example/user",
        "https://clerk.shop.example/sign-in/sso-callback?redirect_url=https%3A%2F%2Fshop.example%2F",
        "https://clerk.shop.example/popup-callback/../user",
        "https://clerk.shop.example/v1/oauth_callback",
        "https://accounts.shop.example/user",
        "https://shop.example/any/page",
        "https://clerk.shop.example/",
    ] {
        let refused = start(target).await.expect(400);
        assert_eq!(refused.error_code(), "resource_missmatch", "{target}");
    }
    for own in
        ["https://clerk.shop.example/popup-callback", "https://accounts.shop.example/popup-callback?return_url=x"]
    {
        assert_eq!(start(own).await.expect(400).error_code(), "oauth_provider_not_enabled", "{own}");
    }
    for url in ["my-app://callback", "https://links.example/cb", "https://shop.example/native"] {
        let request = app.browser().raw(Method::POST, &app.url("/v1/redirect_urls")).bearer_auth(&secret);
        send(request.json(&json!({ "url": url }))).await.expect(200);
    }
    // Now the provider is what is missing.
    let listed = ["my-app://callback", "MY-APP://Callback", "https://links.example/cb", "https://shop.example/native"];
    for target in listed {
        assert_eq!(start(target).await.expect(400).error_code(), "oauth_provider_not_enabled", "{target}");
    }
    for target in
        ["my-app://callback/", "my-app://callback?x=1", "https://links.example/CB", "https://shop.example/Native"]
    {
        assert_ne!(start(target).await.error_code(), "oauth_provider_not_enabled", "{target}: exactly the entry");
    }
}
