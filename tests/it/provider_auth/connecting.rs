//! Connecting accounts of providers to the signed-in user.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use url::Url;
use vestibule::store::retention::Remover;

use crate::support::person::{APP, approve, client, sign_up};
use crate::support::retention::remove;
use crate::support::{Answer, Browser, TestApp};

/// `POST /v1/me/external_accounts` from a page of the app.
pub async fn connect(app: &TestApp, browser: &Browser, strategy: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("strategy", strategy), ("redirect_url", "/user?tab=accounts")];
    form.extend(more);
    browser.post_form(app.url("/v1/me/external_accounts"), APP, &form).await
}

/// The provider's address in an answer about an account.
#[track_caller]
pub fn address(answer: &Answer) -> Url {
    let verification = &answer.json()["response"]["verification"];
    assert_eq!(verification["status"], "unverified", "{verification}");
    verification["external_verification_redirect_url"].as_str().unwrap().parse().unwrap()
}

/// Connects and comes back as `person`; returns the answer of the callback.
pub async fn connect_as(app: &TestApp, browser: &Browser, strategy: &str, person: &str) -> Answer {
    let begun = connect(app, browser, strategy, &[]).await.expect(200);
    let callback = approve(browser, address(&begun), person).await;
    browser.get(callback).await
}

/// The signed-in user as the client shows it.
pub async fn me(app: &TestApp, browser: &Browser) -> Value {
    client(app, browser).await["sessions"][0]["user"].clone()
}

/// The accounts of the signed-in user.
pub async fn accounts(app: &TestApp, browser: &Browser) -> Vec<Value> {
    me(app, browser).await["external_accounts"].as_array().unwrap().clone()
}

/// Changes a column of a provider's row.
pub async fn configure(app: &TestApp, provider: &str, change: &str) {
    let statement = format!("update provider_configs set {change} where provider = '{provider}'");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&app.app().db).await.unwrap();
}

async fn allow_several(app: &TestApp) {
    configure(app, "google", "multiple_accounts = true").await;
}

#[tokio::test]
async fn a_second_provider_joins_the_same_user() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let begun = connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    let pending = begun.json()["response"].clone();
    assert_eq!(pending["object"], "external_account");
    for empty in ["provider_user_id", "email_address", "approved_scopes"] {
        assert_eq!(pending[empty], "", "{empty}");
    }
    assert!(pending["verification"]["expire_at"].is_i64() && pending["verification"]["error"].is_null());
    let listed = begun.json()["client"]["sessions"][0]["user"]["external_accounts"].clone();
    assert_eq!(listed[1]["id"], pending["id"], "it is listed at once");
    assert!(!listed.to_string().contains("state="), "the address is shown once, to whoever began");

    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    let back = browser.get(callback).await.expect(303);
    assert_eq!(back.location().as_str(), format!("{APP}/user?tab=accounts"), "the address is kept as it was");
    assert!(back.set_cookies().is_empty(), "no session began");
    let user_now = me(&app, &browser).await;
    assert_eq!(user_now["id"], user.as_str());
    let providers: Vec<&str> =
        user_now["external_accounts"].as_array().unwrap().iter().map(|a| a["provider"].as_str().unwrap()).collect();
    assert_eq!(providers, ["oauth_google", "oauth_notion"]);
    let notion = &user_now["external_accounts"][1];
    assert_eq!(notion["id"], pending["id"]);
    assert_eq!(notion["verification"]["status"], "verified");
    assert_eq!(notion["email_address"], "ada@example.com");
    assert_eq!(user_now["email_addresses"].as_array().unwrap().len(), 1, "the address is the user's already");
    assert_eq!(app.backend_get("/v1/users/count").await.json()["total_count"], 1);
    let token = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/notion")).await.expect(200).json();
    assert_eq!(token[0]["external_account_id"], pending["id"]);
}

#[tokio::test]
async fn success_leads_to_the_complete_address_and_refusal_to_the_other() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let begun = connect(&app, &browser, "oauth_notion", &[("action_complete_redirect_url", "/done")]).await.expect(200);
    let mut denied = address(&begun);
    denied.query_pairs_mut().append_pair("auto", "1").append_pair("fail", "deny");
    let callback = browser.follow(denied.as_str(), |url| url.path() == "/v1/oauth_callback").await.location();
    assert_eq!(browser.get(callback).await.expect(303).location().path(), "/user");
    let refused = accounts(&app, &browser).await.remove(1);
    assert_eq!(refused["verification"]["status"], "unverified");
    assert_eq!(refused["verification"]["error"]["code"], "oauth_access_denied");

    let begun = connect(&app, &browser, "oauth_notion", &[("action_complete_redirect_url", "/done")]).await.expect(200);
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    assert_eq!(browser.get(callback).await.expect(303).location().path(), "/done");
    assert_eq!(accounts(&app, &browser).await.len(), 2, "the refused one made room");
}

#[tokio::test]
async fn one_s_own_identity_is_refreshed_and_keeps_its_id() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let before = accounts(&app, &browser).await.remove(0);
    let again = connect(&app, &browser, "oauth_google", &[]).await.expect(400);
    assert_eq!(again.error_code(), "oauth_account_already_connected");

    let more = [("additional_scope", "https://example.com/calendar"), ("additional_scope", "email")];
    let begun = connect(&app, &browser, "oauth_google", &more).await.expect(200);
    let asked = address(&begun);
    let scope = asked.query_pairs().find(|(key, _)| key == "scope").unwrap().1.into_owned();
    assert_eq!(scope, "openid email profile https://example.com/calendar");
    let callback = approve(&browser, asked, "ada@example.com").await;
    browser.get(callback).await.expect(303);
    let now = accounts(&app, &browser).await;
    assert_eq!(now.len(), 1, "the pending one is gone: {now:?}");
    assert_eq!(now[0]["id"], before["id"]);
    assert!(now[0]["approved_scopes"].as_str().unwrap().contains("https://example.com/calendar"));
    let tokens = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.json();
    assert!(tokens[0]["scopes"].to_string().contains("calendar"));
    // An account that needs reconnecting is asked for nothing more.
    let error = r#"{"code":"external_account_missing_refresh_token"}"#;
    app.execute("update external_accounts set error = $2::jsonb where instance_id = $1", error).await;
    connect_as(&app, &browser, "oauth_google", "ada@example.com").await.expect(303);
    assert!(accounts(&app, &browser).await[0]["verification"]["error"].is_null(), "connecting again mends it");
}

#[tokio::test]
async fn several_accounts_of_one_provider_are_a_setting() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    // Asking for one scope more leads past the check at the start, but not past that at the end.
    let begun = connect(&app, &browser, "oauth_google", &[("additional_scope", "x")]).await.expect(200);
    let callback = approve(&browser, address(&begun), "ada-work@example.com").await;
    browser.get(callback).await.expect(303);
    let refused = accounts(&app, &browser).await.remove(1);
    assert_eq!(refused["verification"]["error"]["code"], "oauth_account_already_connected");
    allow_several(&app).await;
    connect_as(&app, &browser, "oauth_google", "ada-work@example.com").await.expect(303);
    let user = me(&app, &browser).await;
    let verified = user["external_accounts"].as_array().unwrap().iter();
    assert_eq!(verified.filter(|account| account["verification"]["status"] == "verified").count(), 2);
    let emails = user["email_addresses"].as_array().unwrap();
    assert_eq!(emails.len(), 2, "the provider verified a new address");
    assert_eq!(emails[1]["verification"]["strategy"], "from_oauth_google");
    assert_eq!(emails[1]["verification"]["status"], "verified");
    assert_eq!(emails[1]["linked_to"][0]["type"], "oauth_google");
    assert_eq!(user["primary_email_address_id"], emails[0]["id"]);
}

#[tokio::test]
async fn an_address_that_the_provider_does_not_prove_is_added_unverified() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    connect_as(&app, &browser, "oauth_notion", "ada@notion.example").await.expect(303);
    let user = me(&app, &browser).await;
    assert_eq!(user["external_accounts"][1]["verification"]["status"], "verified");
    assert_eq!(user["email_addresses"][1]["email_address"], "ada@notion.example");
    assert_eq!(user["email_addresses"][1]["verification"]["status"], "unverified");
}

#[tokio::test]
async fn what_belongs_to_another_user_stays_there() {
    let app = TestApp::start().await;
    allow_several(&app).await;
    let (ada, bob) = (app.browser(), app.browser());
    sign_up(&app, &ada, "oauth_google", "ada@example.com").await;
    let bobs = sign_up(&app, &bob, "oauth_google", "grace@example.com").await;
    // The identity is bob's; and so is the address that another provider gives.
    for strategy in ["oauth_google", "oauth_notion"] {
        connect_as(&app, &ada, strategy, "grace@example.com").await.expect(303);
        let refused = accounts(&app, &ada).await.pop().unwrap();
        assert_eq!(refused["verification"]["error"]["code"], "oauth_identification_claimed", "{strategy}");
        assert_eq!(refused["verification"]["status"], "unverified");
        assert_eq!(refused["email_address"], "", "nothing of the other account is shown");
    }
    assert_eq!(accounts(&app, &bob).await.len(), 1);
    assert_eq!(me(&app, &bob).await["id"], bobs.as_str());
    let tokens = "select count(*) from provider_tokens where instance_id = $1 and $2 = ''";
    assert_eq!(app.count(tokens, "").await, 2, "a refused connection leaves no token");
    app.advance(Duration::from_secs(11 * 60)).await;
    assert_eq!(accounts(&app, &ada).await[1]["verification"]["status"], "expired");
}

#[tokio::test]
async fn an_instance_may_forbid_new_addresses() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let change = r#"{"addresses_changeable": false}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    connect_as(&app, &browser, "oauth_notion", "ada@notion.example").await.expect(303);
    let refused = accounts(&app, &browser).await.remove(1);
    assert_eq!(refused["verification"]["error"]["code"], "oauth_connection_blocked_by_immutable_attribute");
    assert_eq!(me(&app, &browser).await["email_addresses"].as_array().unwrap().len(), 1);
    connect_as(&app, &browser, "oauth_notion", "ada@example.com").await.expect(303);
    assert_eq!(accounts(&app, &browser).await[1]["verification"]["status"], "verified");
}

/// Linking CSRF: an attacker's own approval, opened in somebody else's browser.
#[tokio::test]
async fn an_attackers_callback_links_nothing_to_its_visitor() {
    let app = TestApp::start().await;
    let (attacker, victim, bare) = (app.browser(), app.browser(), app.browser());
    sign_up(&app, &attacker, "oauth_google", "mallory@example.com").await;
    sign_up(&app, &victim, "oauth_google", "ada@example.com").await;
    let begun = connect(&app, &attacker, "oauth_notion", &[]).await.expect(200);
    let callback = approve(&attacker, address(&begun), "mallory@example.com").await;
    for browser in [&victim, &bare] {
        let page = browser.request(Method::GET, callback.as_str()).header("accept", "text/html");
        let page = browser.send(page).await.expect(400);
        assert!(page.text.contains("data-page=\"provider.error\"") && page.set_cookies().is_empty());
    }
    assert_eq!(accounts(&app, &victim).await.len(), 1);
    assert_eq!(client(&app, &bare).await, Value::Null);
    let verified = "select count(*) from external_accounts where instance_id = $1 and status = 'verified' and $2 = ''";
    assert_eq!(app.count(verified, "").await, 2);
    // Its own browser still may: the visits used nothing up.
    assert_eq!(browser_lands(&attacker, &callback).await, "/user");
}

async fn browser_lands(browser: &Browser, callback: &Url) -> String {
    browser.get(callback.as_str()).await.expect(303).location().path().to_owned()
}

#[tokio::test]
async fn the_session_that_began_must_still_be_active() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let begun = connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let refused = browser.get(callback).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_callback_invalid");
    assert_eq!(refused.json()["errors"][0]["meta"]["reason"], "state_other_browser");
    let verified = "select count(*) from external_accounts where instance_id = $1 and status = 'verified' and $2 = ''";
    assert_eq!(app.count(verified, "").await, 1);
}

#[tokio::test]
async fn the_newer_of_two_starts_replaces_the_older() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let first = connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    let second = connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    assert_eq!(accounts(&app, &browser).await.len(), 2, "one pending account at a time");
    let late = approve(&browser, address(&first), "ada@example.com").await;
    let refused = browser.get(late).await.expect(400);
    assert_eq!(refused.json()["errors"][0]["meta"]["reason"], "attempt_replaced");
    let callback = approve(&browser, address(&second), "ada@example.com").await;
    browser.get(callback).await.expect(303);
}

#[tokio::test]
async fn connecting_needs_a_recently_verified_session() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let nobody = connect(&app, &browser, "oauth_notion", &[]).await.expect(401);
    assert_eq!(nobody.error_code(), "authentication_invalid");
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    app.advance(Duration::from_secs(11 * 60)).await;
    let refused = connect(&app, &browser, "oauth_notion", &[]).await.expect(403);
    assert_eq!(refused.error_code(), "session_reverification_required");
    assert_eq!(accounts(&app, &browser).await.len(), 1);
}

#[tokio::test]
async fn a_provider_for_connecting_only_connects() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    configure(&app, "notion", "authenticatable = false").await;
    connect_as(&app, &browser, "oauth_notion", "ada@example.com").await.expect(303);
    assert_eq!(accounts(&app, &browser).await[1]["verification"]["status"], "verified");
    configure(&app, "notion", "enabled = false").await;
    for (strategy, code) in
        [("oauth_notion", "oauth_provider_not_enabled"), ("oauth_nope", "oauth_unsupported_provider")]
    {
        assert_eq!(connect(&app, &browser, strategy, &[]).await.expect(400).error_code(), code);
    }
}

#[tokio::test]
async fn additional_scopes_are_scopes_and_within_the_list() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let long = "a".repeat(2049);
    for wrong in ["a\"b", "a\\b", "\u{e9}", long.as_str()] {
        let refused = connect(&app, &browser, "oauth_google", &[("additional_scope", wrong)]).await.expect(422);
        assert_eq!(refused.error_code(), "form_param_format_invalid", "{wrong}");
        assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], "additional_scope");
    }
    configure(&app, "google", "allowed_additional_scopes = array['calendar', 'drive']").await;
    let refused = connect(&app, &browser, "oauth_google", &[("additional_scope", "drive,mail")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_value_invalid");
    let begun = connect(&app, &browser, "oauth_google", &[("additional_scope", "drive, calendar")]).await.expect(200);
    let scope = address(&begun).query_pairs().find(|(key, _)| key == "scope").unwrap().1.into_owned();
    assert_eq!(scope, "openid email profile drive calendar");
    let count =
        "select count(*) from provider_authorizations where instance_id = $1 and intent = 'connect' and $2 = ''";
    assert_eq!(app.count(count, "").await, 1, "what is refused leaves nothing behind");
}

#[tokio::test]
async fn what_nobody_comes_back_to_goes_away() {
    let stale = async |app: &TestApp| remove(app, Remover::ExternalAccounts).await;
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    app.advance(Duration::from_secs(69 * 60)).await;
    assert_eq!(stale(&app).await, 0);
    app.advance(Duration::from_secs(2 * 60)).await;
    assert_eq!(stale(&app).await, 1);
    let error = r#"{"code":"oauth_access_denied"}"#;
    let pending = "insert into external_accounts (instance_id, id, identification_id, user_id, provider, status, error,
        expires_at, created_at, updated_at) select instance_id, 'eac_' || repeat('1', 27), 'idn_' || repeat('1', 27), id,
        'notion', 'pending', $2::jsonb, now() + interval '90 min', now(), now() + interval '71 min' from users
        where instance_id = $1";
    app.execute(pending, error).await;
    app.advance(Duration::from_secs(23 * 3600)).await;
    assert_eq!(stale(&app).await, 0, "a refused one is shown for a day");
    app.advance(Duration::from_secs(2 * 3600)).await;
    assert_eq!(stale(&app).await, 1);
    assert_eq!(app.count("select count(*) from external_accounts where instance_id = $1 and $2 = ''", "").await, 1);
}
