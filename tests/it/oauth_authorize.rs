//! The authorization endpoint through the listener: who receives which error, sign-in, prompts, response modes.

use crate::support::oauth::{CALLBACK, CHALLENGE, VERIFIER, hidden_fields, parameters};
use crate::support::{Answer, TestApp, send};
use http::Method;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vestibule::model::id::UserId;
use vestibule::store::{InstanceConnection, bans, pool};

/// Where an answer leads without its query, and what it tells the client.
#[track_caller]
fn reported_client(app: &TestApp, answer: &Answer) -> String {
    let location = answer.location();
    assert!(location.as_str().starts_with(&format!("{CALLBACK}?")), "{location}");
    let answered = parameters(&location);
    assert_eq!(answered["iss"], app.origin(), "every response names its issuer (RFC 9207)");
    assert!(!answered.contains_key("code"));
    answered["error"].clone()
}

#[tokio::test]
async fn errors_before_the_redirect_uri_is_trusted_are_pages() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let doubled = format!("{}&client_id=x", app.authorize_url(&client, &[]));
    let malformed = format!("{}&x=%zz", app.authorize_url(&client, &[]));
    for (url, status) in [
        (app.authorize_url(&client, &[("client_id", "")]).to_string(), 400),
        (doubled, 400),
        (malformed, 400),
        (app.authorize_url(&client, &[("client_id", "unknown")]).to_string(), 401),
        (app.authorize_url(&client, &[("redirect_uri", "https://evil.test/cb")]).to_string(), 400),
        (app.authorize_url(&client, &[("redirect_uri", &format!("{CALLBACK}/"))]).to_string(), 400),
        (app.authorize_url(&client, &[("redirect_uri", "")]).to_string(), 400),
    ] {
        let request = app.browser().request(Method::GET, &url).header("accept", "text/html");
        let answer = app.browser().send(request).await.expect(status);
        assert_eq!(answer.header("location"), None, "{url}");
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{url}");
        assert!(!answer.text.contains("evil.test"), "no link from the request");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn errors_after_it_go_to_the_client() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let public = app.application(json!({ "public": true })).await;
    for (client, change, error) in [
        (&client, vec![("response_mode", "fragment")], "invalid_request"),
        (&client, vec![("request", "ey")], "request_not_supported"),
        (&client, vec![("request_uri", "https://a.example")], "request_uri_not_supported"),
        (&client, vec![("response_type", "")], "invalid_request"),
        (&client, vec![("response_type", "token")], "unsupported_response_type"),
        (&public, vec![], "invalid_request"),
        (&public, vec![("code_challenge", CHALLENGE)], "invalid_request"),
        (&client, vec![("code_challenge", CHALLENGE), ("code_challenge_method", "plain")], "invalid_request"),
        (&client, vec![("state", "short"), ("nonce", "")], "invalid_request"),
        (&client, vec![("scope", "openid private_metadata")], "invalid_scope"),
        (&client, vec![("prompt", "none login")], "invalid_request"),
        (&client, vec![("max_age", "-1")], "invalid_request"),
        (&client, vec![("claims", "[]")], "invalid_request"),
        (&client, vec![("id_token_hint", "a.b.c")], "invalid_request"),
        (&client, vec![("resource", "api")], "invalid_target"),
        (&client, vec![("prompt", "none")], "login_required"),
    ] {
        let answer = app.browser().get(app.authorize_url(client, &change)).await.expect(302);
        assert_eq!(reported_client(&app, &answer), error, "{change:?}");
        let state = change.iter().find(|(name, _)| *name == "state").map_or("state-of-the-client", |(_, value)| value);
        assert_eq!(parameters(&answer.location())["state"], state);
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn each_parameter_may_occur_once() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    for name in [
        "response_type",
        "scope",
        "state",
        "response_mode",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "max_age",
        "login_hint",
        "id_token_hint",
        "ui_locales",
        "claims_locales",
        "acr_values",
        "display",
        "claims",
        "request",
        "request_uri",
        "dpop_jkt",
    ] {
        let url = format!("{}&{name}=a&{name}=b", app.authorize_url(&client, &[]));
        let answer = app.browser().get(url).await.expect(302);
        assert_eq!(reported_client(&app, &answer), "invalid_request", "{name}");
    }
}

#[tokio::test]
async fn a_post_behaves_like_a_get_and_reads_the_form_alone() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let url = app.authorize_url(&client, &[("prompt", "none")]);
    let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let endpoint = app.url("/oauth/authorize");
    let browser = app.browser();
    let answer = browser.send(browser.request(Method::POST, &endpoint).form(&form)).await.expect(302);
    assert_eq!(reported_client(&app, &answer), "login_required");
    let in_query = browser.request(Method::POST, url.as_str()).form(&[("scope", "openid")]);
    browser.send(in_query).await.expect(400);
    let json = browser.request(Method::POST, &endpoint).json(&json!({}));
    browser.send(json).await.expect(415);
    let large = browser.request(Method::POST, &endpoint).form(&[("state", "x".repeat(70_000))]);
    browser.send(large).await.expect(413);
    let alias = url.as_str().replace("/authorize?", "/authorize-with-immediate-redirect?");
    assert_eq!(reported_client(&app, &browser.get(alias).await.expect(302)), "login_required");
}

#[tokio::test]
async fn a_loopback_redirect_uri_keeps_its_port() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "callback_url": "http://localhost:3000/cb" })).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    let url = app.authorize_url(&client, &[("redirect_uri", "http://localhost:51004/cb")]);
    let answer = app.allow(&browser, browser.get(url).await.expect(302).location()).await.expect(302);
    assert!(answer.location().as_str().starts_with("http://localhost:51004/cb?code="));
    let code = parameters(&answer.location())["code"].clone();
    app.redeem(&client, &code, &[("redirect_uri", "http://localhost:3000/cb")]).await.expect(400);
    app.redeem(&client, &code, &[("redirect_uri", "http://localhost:51004/cb")]).await.expect(200);
}

#[tokio::test]
async fn o02_a_public_client_needs_pkce_and_has_no_secret() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "public": true })).await;
    assert_eq!(client.secret, None);
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let code = app.code(&browser, &client, &pkce).await;
    let wrong = app.redeem(&client, &code, &[]).await.expect(400).json();
    assert_eq!(wrong["error"], "invalid_grant", "the verifier is missing");
    app.redeem(&client, &code, &[("code_verifier", VERIFIER)]).await.expect(200);
}

#[tokio::test]
async fn o09_sign_in_first_then_consent_naming_the_scopes_then_a_code() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let asked = app.authorize_url(&client, &[("login_hint", "ada@example.com")]);
    let sign_in = browser.get(&asked).await.expect(302).location();
    assert_eq!(sign_in.path(), "/sign-in");
    let query = parameters(&sign_in);
    assert_eq!(query["email_address"], "ada@example.com");
    let back = url::Url::parse(&query["redirect_url"]).unwrap();
    assert_eq!(back.path(), "/oauth/authorize");
    let mut again = parameters(&back);
    assert!(again.remove("__vst_flow").is_some_and(|flow| flow.starts_with("flw_")));
    assert_eq!(again, parameters(&asked), "the same request again");

    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    let consent = browser.get(back).await.expect(302).location();
    assert_eq!(consent.path(), "/oauth-consent");
    let page = browser.get(&consent).await.expect(200);
    assert!(page.text.contains("data-page=\"oauth.consent\"") && page.text.contains("data-state=\"ask\""));
    for words in ["Grafana", "ada@example.com", "See your email address", "name, username and profile picture"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let answer = app.press(&browser, &page, "true").await.expect(302);
    let answered = parameters(&answer.location());
    assert_eq!(answered.keys().map(String::as_str).collect::<Vec<_>>(), ["code", "iss", "state"]);
    assert_eq!(answered["code"].len(), 46);
    app.redeem(&client, &answered["code"], &[]).await.expect(200);
}

#[tokio::test]
async fn a_pending_session_or_a_banned_user_is_nobody() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    let session = app.sign_in(&browser, &person).await;
    let url = app.authorize_url(&client, &[("prompt", "none")]);
    assert!(parameters(&browser.get(&url).await.expect(302).location()).contains_key("code"));
    app.execute(
        "update sessions set status = 'pending', tasks = '{setup-mfa}' where instance_id = $1 and id = $2",
        &session,
    )
    .await;
    assert_eq!(reported_client(&app, &browser.get(&url).await.expect(302)), "login_required");
    app.execute("update sessions set status = 'active', tasks = '{}' where instance_id = $1 and id = $2", &session)
        .await;
    for (lock, unlock) in [
        (
            "update users set locked_at = now(), lock_reason = 'admin' where instance_id = $1 and id = $2",
            "update users set locked_at = null, lock_reason = null where instance_id = $1 and id = $2",
        ),
        (
            "update users set banned_at = now() where instance_id = $1 and id = $2",
            "update users set banned_at = null where instance_id = $1 and id = $2",
        ),
    ] {
        app.execute(lock, &person.user_id).await;
        assert_eq!(reported_client(&app, &browser.get(&url).await.expect(302)), "login_required", "{lock}");
        app.execute(unlock, &person.user_id).await;
    }
    assert!(parameters(&browser.get(&url).await.expect(302).location()).contains_key("code"));
}

#[tokio::test]
async fn a_new_sign_in_is_demanded_once_and_cannot_be_dated_back() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    app.advance(Duration::from_secs(120)).await;
    for change in [("prompt", "login"), ("max_age", "60"), ("max_age", "0")] {
        let sign_in = browser.get(app.authorize_url(&client, &[change])).await.expect(302).location();
        assert_eq!(sign_in.path(), "/sign-in", "{change:?}");
        let back = parameters(&sign_in)["redirect_url"].clone();
        let without = browser.get(&back).await.expect(302);
        assert_eq!(reported_client(&app, &without), "login_required", "{change:?}: did not sign in again");
        let forged = back.replace("state-of-the-client", "another-state");
        assert_eq!(browser.get(forged).await.expect(302).location().path(), "/sign-in", "{change:?}");
        app.advance(Duration::from_secs(2)).await;
        app.sign_in(&browser, &person).await;
        let answered = parameters(&browser.get(&back).await.expect(302).location());
        assert!(answered.contains_key("code"), "{change:?}: {answered:?}");
        app.advance(Duration::from_secs(120)).await;
    }
    let young = app.authorize_url(&client, &[("max_age", "10000")]);
    assert!(parameters(&browser.get(young).await.expect(302).location()).contains_key("code"));
}

#[tokio::test]
async fn an_id_token_hint_names_whom_the_client_expects() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    let tokens = app.tokens(&client, "ada", "openid").await;
    let hint = tokens["id_token"].as_str().unwrap();
    let browser = app.browser();
    let other = app.person("bob").await;
    app.sign_in(&browser, &other).await;
    let url = app.authorize_url(&client, &[("id_token_hint", hint), ("prompt", "none")]);
    assert_eq!(reported_client(&app, &browser.get(&url).await.expect(302)), "login_required");
    let stranger = app.application(json!({})).await;
    let foreign = app.authorize_url(&stranger, &[("id_token_hint", hint)]);
    assert_eq!(reported_client(&app, &browser.get(foreign).await.expect(302)), "invalid_request");
    app.advance(Duration::from_secs(3 * 3600)).await;
    assert_eq!(reported_client(&app, &browser.get(&url).await.expect(302)), "login_required", "an expired hint is one");
}

#[tokio::test]
async fn form_post_carries_the_same_answer_in_a_form() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    let state = "<script>\"'&";
    let url = app.authorize_url(&client, &[("response_mode", "form_post"), ("state", state)]);
    let page = browser.get(url).await.expect(200);
    let fields = hidden_fields(&page.text);
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "state", "iss"]);
    assert_eq!(fields[1].1, state, "escaped in the page, whole for the client");
    assert!(!page.text.contains("<script>\""));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action https://client.example;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    app.redeem(&client, &fields[0].1, &[]).await.expect(200);
}

#[tokio::test]
async fn a_remembered_consent_costs_two_statements() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    app.code(&browser, &client, &[]).await;
    let cost = app.cost(async {
        let answer = browser.get(app.authorize_url(&client, &[])).await;
        assert!(parameters(&answer.location()).contains_key("code"));
    });
    let cost = cost.await;
    assert_eq!((cost.statements, cost.commits), (2, 0), "{cost:#?}");
}

/// Waits until somebody waits for a lock, or `done`.
async fn until_one_waits(app: &TestApp, done: impl Fn() -> bool) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while !done() && sqlx::query_scalar::<_, i64>(waiting).fetch_one(&app.app().db).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Whoever is about to lose a session gets no code out of it at the last moment.
#[tokio::test]
async fn a_session_that_ends_meanwhile_gives_no_code_and_no_consent() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    for asks in [true, false] {
        let client = app.application(json!({ "consent_screen_enabled": asks })).await;
        let url = app.authorize_url(&client, &[]);
        let page = match asks {
            true => Some(browser.get(browser.get(&url).await.expect(302).location()).await.expect(200)),
            false => None,
        };
        let ctx = app.ctx().await;
        let user = UserId::parse(&person.user_id).unwrap();
        let pool = pool::open(app.db.options(), &app.app().config.database);
        let mut db = InstanceConnection::of_pool(&pool, ctx.instance_id(), ctx.instance.clock_offset);
        let mut reset = db.begin().await.unwrap();
        bans::end_access(&mut reset.connection(), &user, "password_reset", None).await.unwrap();
        let done = AtomicBool::new(false);
        let asked = async {
            let answer = match &page {
                Some(page) => app.press(&browser, page, "true").await,
                None => browser.get(&url).await,
            };
            done.store(true, Ordering::Relaxed);
            answer
        };
        let ends = async {
            until_one_waits(&app, || done.load(Ordering::Relaxed)).await;
            reset.commit().await.unwrap();
        };
        let (answer, ()) = tokio::join!(asked, ends);
        assert_eq!(reported_client(&app, &answer.expect(302)), "login_required", "{asks}");
        for table in [
            "select count(*) from oauth_codes where instance_id = $1 and user_id = $2",
            "select count(*) from oauth_consents where instance_id = $1 and user_id = $2",
        ] {
            assert_eq!(app.count(table, &person.user_id).await, 0, "{table}");
        }
        app.sign_in(&browser, &person).await;
    }
}

/// The other way round: what ends the session waits for the code, and then finds it.
#[tokio::test]
async fn a_code_that_was_made_just_before_ends_with_its_session() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    let client = app.application(json!({})).await;
    let mut authorizes = app.db.pool().await.begin().await.unwrap();
    sqlx::query("select from sessions for share").execute(&mut *authorizes).await.unwrap();
    let ban = async {
        let url = app.url(&format!("/v1/users/{}/ban", person.user_id));
        send(app.browser().raw(Method::POST, &url).bearer_auth(&app.secret_key)).await.expect(200);
    };
    let issues = async {
        until_one_waits(&app, || false).await;
        let code = app.code(&browser, &client, &[]).await;
        authorizes.commit().await.unwrap();
        code
    };
    let ((), code) = tokio::join!(ban, issues);
    let refused = app.redeem(&client, &code, &[]).await.expect(400).json();
    assert_eq!(refused["error"], "invalid_grant");
    let live = "select count(*) from oauth_codes where instance_id = $1 and user_id = $2 and failures < 5";
    assert_eq!(app.count(live, &person.user_id).await, 0);
    let left = "select count(*) from oauth_consents where instance_id = $1 and user_id = $2";
    assert_eq!(app.count(left, &person.user_id).await, 0);
}
