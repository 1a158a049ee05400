//! The providers of an instance by the backend API.

use http::Method;
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::TestApp;
use crate::support::browser::{Answer, send};
use crate::support::person::{begin, provider_url};

const PROVIDERS: &str = "/v1/vestibule/providers";

async fn add(app: &TestApp, body: Value) -> Answer {
    app.backend(Method::POST, PROVIDERS, &body).await
}

async fn change(app: &TestApp, key: &str, body: Value) -> Answer {
    app.backend(Method::PATCH, &format!("{PROVIDERS}/{key}"), &body).await
}

fn manual() -> Value {
    json!({
        "name": "Acme", "authorization_url": "https://id.acme.example/authorize",
        "token_url": "https://id.acme.example/token", "userinfo_url": "https://id.acme.example/me",
    })
}

fn acme() -> Value {
    json!({"key": "custom_acme", "client_id": "ours", "client_secret": "s3cret-c4n4ry", "custom": manual()})
}

/// True if `found` is `reported`; times differ, and so does the port of addresses on this server.
fn agrees(reported: &Value, found: &Value) -> bool {
    match (reported, found) {
        (Value::Object(reported), Value::Object(found)) => {
            reported.len() == found.len()
                && reported.iter().all(|(name, value)| match (name.as_str(), found.get(name)) {
                    ("created_at" | "updated_at", Some(found)) => found.is_i64() && value.is_i64(),
                    ("callback_url", Some(found)) => found.as_str().unwrap().ends_with("/v1/oauth_callback"),
                    (_, found) => found.is_some_and(|found| agrees(value, found)),
                })
        }
        (Value::Array(reported), Value::Array(found)) => {
            reported.len() == found.len()
                && std::iter::zip(reported, found).all(|(reported, found)| agrees(reported, found))
        }
        _ => reported == found,
    }
}

#[tokio::test]
async fn the_documentation_shows_what_happens() {
    let app = TestApp::start().await;
    let page = include_str!("../../../docs/backend-providers.md");
    let mut examples = 0;
    for example in page.split("```http\n").skip(1) {
        let (request, rest) = example.split_once("```").unwrap();
        let (_, answer) = rest.split_once("```json\n").unwrap();
        let reported: Value = serde_json::from_str(answer.split_once("```").unwrap().0).unwrap();
        let (line, body) = request.split_once('\n').unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        let body = if body.trim().is_empty() { json!({}) } else { serde_json::from_str(body).unwrap() };
        let found = app.backend(method.parse().unwrap(), path, &body).await.expect(200).json();
        assert!(agrees(&reported, &found), "{line}\ntold {reported:#}\nfound {found:#}");
        examples += 1;
    }
    assert!(examples >= 3);
}

#[tokio::test]
async fn a_development_instance_lists_its_simulations() {
    let app = TestApp::start().await;
    let list = app.backend_get(PROVIDERS).await.expect(200).json();
    let keys: Vec<&str> = list["data"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!((keys.as_slice(), &list["total_count"]), (["github", "google", "notion"].as_slice(), &json!(3)));
    assert_eq!(list["data"][1]["block_email_subaddresses"], true, "Google's default");
    assert_eq!(list["data"][0]["block_email_subaddresses"], false);
    assert_eq!(app.backend_get(&format!("{PROVIDERS}/oauth_google")).await.expect(200).json(), list["data"][1]);
    for unknown in ["nosuch", "custom_acme", "custom_A"] {
        app.backend_get(&format!("{PROVIDERS}/{unknown}")).await.expect(404);
    }
}

/// Starts once on each replica; the answers agree.
async fn start_everywhere(app: &TestApp, strategy: &str) -> Answer {
    let browser = app.browser();
    let first = begin(app, &browser, "sign_ins", strategy).await;
    let second = begin(app, &browser, "sign_ins", strategy).await;
    assert_eq!(first.status, second.status, "{} {}", first.text, second.text);
    second
}

#[tokio::test]
async fn a_change_counts_at_once_on_every_replica() {
    let app = TestApp::replicas(2).await;
    let refused = async |code: &str| {
        assert_eq!(start_everywhere(&app, "oauth_custom_acme").await.expect(400).error_code(), code);
    };
    refused("oauth_provider_not_enabled").await;
    let made = add(&app, acme()).await.expect(200).json();
    assert_eq!((&made["enabled"], &made["client_secret_set"]), (&json!(false), &json!(true)));
    refused("oauth_provider_not_enabled").await;
    change(&app, "custom_acme", json!({"enabled": true})).await.expect(200);
    let url = provider_url(&start_everywhere(&app, "oauth_custom_acme").await.expect(200));
    assert_eq!((url.host_str(), url.path()), (Some("id.acme.example"), "/authorize"));
    assert!(url.query_pairs().any(|(name, value)| name == "client_id" && value == "ours"));

    change(&app, "custom_acme", json!({"authenticatable": false})).await.expect(200);
    refused("oauth_non_authenticatable_provider").await;
    let environment = app.browser().get(app.url("/v1/environment")).await.expect(200).json();
    let shown = &environment["user_settings"]["social"]["oauth_custom_acme"];
    assert_eq!((&shown["enabled"], &shown["authenticatable"]), (&json!(true), &json!(false)));
    let page = app.browser().get(app.url("/sign-in")).await.expect(200).text;
    assert!(page.contains("provider-google") && !page.contains("provider-custom_acme"), "connect only");

    let active = app.backend(Method::DELETE, &format!("{PROVIDERS}/custom_acme"), &json!({})).await.expect(400);
    assert_eq!(active.error_code(), "custom_oauth_provider_cannot_delete_active");
    change(&app, "custom_acme", json!({"enabled": false})).await.expect(200);
    app.backend(Method::DELETE, &format!("{PROVIDERS}/custom_acme"), &json!({})).await.expect(200);
    app.backend(Method::DELETE, &format!("{PROVIDERS}/custom_acme"), &json!({})).await.expect(404);
    refused("oauth_provider_not_enabled").await;
}

#[tokio::test]
async fn additional_scopes_follow_the_base_ones_once_each_in_order() {
    let app = TestApp::start().await;
    let scope = async || {
        let url = provider_url(&begin(&app, &app.browser(), "sign_ins", "oauth_github").await.expect(200));
        url.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned()
    };
    assert_eq!(scope().await, "read:user user:email");
    let changed = change(&app, "github", json!({"scopes": ["repo", "user:email", "gist", "repo"]})).await.expect(200);
    assert_eq!(changed.json()["scopes"], json!(["repo", "user:email", "gist"]));
    assert_eq!(scope().await, "read:user user:email repo gist");
    change(&app, "github", json!({"scopes": "gist"})).await.expect(200);
    assert_eq!(scope().await, "read:user user:email gist");
    change(&app, "github", json!({"scopes": null})).await.expect(200);
    assert_eq!(scope().await, "read:user user:email");
}

#[tokio::test]
async fn a_secret_goes_in_and_never_comes_out() {
    let app = TestApp::start().await;
    let made = add(&app, acme()).await.expect(200);
    let own = json!({"client_id": "real", "client_secret": "s3cret-c4n4ry"});
    let google = change(&app, "google", own).await.expect(200);
    assert_eq!((&google.json()["credentials"], &google.json()["problem"]), (&json!("custom"), &json!(null)));
    let list = app.backend_get(PROVIDERS).await.expect(200);
    for answer in [&made, &google, &list] {
        assert!(!answer.text.contains("c4n4ry"));
    }
    let rows: Vec<String> = sqlx::query_scalar(
        "select to_jsonb(p)::text from provider_configs p union all select to_jsonb(a)::text from audit_events a",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    let hex: String = "s3cret-c4n4ry".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(rows.iter().all(|row| !row.contains("c4n4ry") && !row.contains(&hex)));

    let cleared = change(&app, "google", json!({"client_secret": null})).await.expect(200).json();
    assert_eq!((&cleared["client_secret_set"], &cleared["problem"]), (&json!(false), &json!("oauth_config_missing")));
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_config_missing");
    let back = change(&app, "google", json!({"credentials": "simulated"})).await.expect(200).json();
    assert_eq!((&back["client_id"], &back["problem"]), (&json!(null), &json!(null)));
    begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    let actors: Vec<String> = sqlx::query_scalar(
        "select actor_kind from audit_events where target_kind = 'provider' order by created_at, id",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    assert_eq!(actors, ["secret_key"; 4]);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_by_name() {
    let app = TestApp::start().await;
    add(&app, acme()).await.expect(200);
    let custom = |member: &str, value: Value| json!({"custom": {member: value}});
    let mapping = |target: &str, value: Value| custom("attribute_mapping", json!({target: value}));
    for (key, body, param, code) in [
        ("google", json!({"nmae": 1}), "nmae", "form_param_unknown"),
        ("google", json!({"key": "github"}), "key", "form_param_unknown"),
        ("google", json!({"version": 7}), "version", "form_param_unknown"),
        ("google", json!({"enabled": "maybe"}), "enabled", "form_param_format_invalid"),
        ("google", json!({"credentials": "shared"}), "credentials", "form_param_value_invalid"),
        ("google", json!({"credentials": "simulated", "client_id": "x"}), "credentials", "form_param_value_invalid"),
        ("google", json!({"client_id": "two words"}), "client_id", "form_param_format_invalid"),
        ("google", json!({"client_id": 7}), "client_id", "form_param_format_invalid"),
        ("google", json!({"client_id": "x", "client_secret": " s"}), "client_secret", "form_param_format_invalid"),
        ("google", json!({"client_id": "x", "client_secret": "s\n"}), "client_secret", "form_param_format_invalid"),
        ("google", json!({"scopes": [1]}), "scopes", "form_param_format_invalid"),
        ("google", json!({"scopes": ["two words"]}), "scopes", "form_param_format_invalid"),
        (
            "google",
            json!({"allowed_additional_scopes": ["\""]}),
            "allowed_additional_scopes",
            "form_param_format_invalid",
        ),
        ("notion", json!({"scopes": ["any"]}), "scopes", "form_param_value_invalid"),
        ("google", json!({"parameters": {"tenant": "x"}}), "parameters.tenant", "form_param_unknown"),
        ("google", custom("name", json!("x")), "custom", "form_param_unknown"),
        ("custom_acme", json!({"credentials": "simulated"}), "credentials", "form_param_value_invalid"),
        ("custom_acme", custom("nmae", json!("x")), "custom.nmae", "form_param_unknown"),
        ("custom_acme", custom("name", json!(7)), "custom.name", "form_param_format_invalid"),
        ("custom_acme", custom("name", json!("x".repeat(65))), "custom.name", "form_param_value_invalid"),
        ("custom_acme", custom("use_pkce", json!("yes")), "custom.use_pkce", "form_param_format_invalid"),
        ("custom_acme", custom("client_auth", json!("jwt")), "custom.client_auth", "form_param_format_invalid"),
        (
            "custom_acme",
            custom("token_url", json!("http://id.acme.example/t")),
            "custom.token_url",
            "form_param_format_invalid",
        ),
        ("custom_acme", custom("token_url", json!(null)), "custom.token_url", "form_param_missing"),
        (
            "custom_acme",
            custom("authorization_url", json!("javascript:alert(1)")),
            "custom.authorization_url",
            "form_param_format_invalid",
        ),
        ("custom_acme", custom("logo_url", json!("data:x")), "custom.logo_url", "form_param_format_invalid"),
        (
            "custom_acme",
            custom("authorize_params", json!({"state": "x"})),
            "custom.authorize_params",
            "form_param_value_invalid",
        ),
        ("custom_acme", custom("scopes", json!(["a b"])), "custom.scopes", "form_param_format_invalid"),
        (
            "custom_acme",
            mapping("password", json!({"source": "p"})),
            "custom.attribute_mapping",
            "form_param_value_invalid",
        ),
        (
            "custom_acme",
            mapping("email", json!({"source": "a["})),
            "custom.attribute_mapping",
            "form_param_value_invalid",
        ),
        (
            "custom_acme",
            mapping("email", json!({"sauce": "a"})),
            "custom.attribute_mapping",
            "form_param_format_invalid",
        ),
        (
            "custom_acme",
            mapping("provider_user_id", json!({"source": ""})),
            "custom.attribute_mapping",
            "form_param_value_invalid",
        ),
        (
            "custom_acme",
            mapping("provider_user_id", json!({"source": "id", "default": "1"})),
            "custom.attribute_mapping",
            "form_param_value_invalid",
        ),
    ] {
        let refused = change(&app, key, body.clone()).await.expect(422);
        let error = &refused.json()["errors"][0];
        assert_eq!((error["code"].as_str(), error["meta"]["param_name"].as_str()), (Some(code), Some(param)), "{body}");
    }
    for (body, param, code) in [
        (json!({}), "key", "form_param_missing"),
        (json!({"key": "nosuch"}), "key", "form_param_value_invalid"),
        (json!({"key": "custom_A"}), "key", "form_param_value_invalid"),
        (json!({"key": "google"}), "key", "form_identifier_exists"),
        (acme(), "key", "form_identifier_exists"),
        (json!({"key": "custom_b", "client_id": "x"}), "custom", "form_param_missing"),
    ] {
        let refused = add(&app, body.clone()).await.expect(422);
        let error = &refused.json()["errors"][0];
        assert_eq!((error["code"].as_str(), error["meta"]["param_name"].as_str()), (Some(code), Some(param)), "{body}");
    }
    let found = app.backend_get(&format!("{PROVIDERS}/custom_acme")).await.expect(200).json();
    assert_eq!(found["custom"]["token_url"], "https://id.acme.example/token", "nothing was half written");
}

/// Serves a discovery document with some members replaced; `Null` leaves one out.
async fn issuer(changes: &[(&str, Value)]) -> MockServer {
    let server = MockServer::start().await;
    let at = |path: &str| format!("{}{path}", server.uri());
    let mut document = json!({
        "issuer": server.uri(), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/me"), "jwks_uri": at("/keys"),
    });
    for (name, value) in changes {
        document[*name] = value.clone();
    }
    let discovery = Mock::given(path("/.well-known/openid-configuration"));
    discovery.respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(&server).await;
    server
}

async fn add_by_issuer(app: &TestApp, server: &MockServer) -> Answer {
    add(app, json!({"key": "custom_acme", "client_id": "ours", "custom": {"issuer": server.uri()}})).await
}

#[tokio::test]
async fn an_issuer_says_the_rest() {
    let app = TestApp::start().await;
    let server = issuer(&[]).await;
    let made = add_by_issuer(&app, &server).await.expect(200).json();
    assert_eq!((&made["name"], &made["custom"]["issuer"]), (&json!("127.0.0.1"), &json!(server.uri())));
    assert_eq!(made["custom"]["discovery_url"], format!("{}/.well-known/openid-configuration", server.uri()));
    change(&app, "custom_acme", json!({"enabled": true, "scopes": ["more"]})).await.expect(200);
    let url = provider_url(&begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(200));
    assert!(url.as_str().starts_with(&format!("{}/authorize?", server.uri())));
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(value("scope").as_deref(), Some("openid profile email more"));
    assert!(value("nonce").is_some() && value("code_challenge").is_some());
}

#[tokio::test]
async fn a_slash_at_the_end_of_an_issuer_is_the_document_s_to_say() {
    let app = TestApp::start().await;
    let server = issuer(&[]).await;
    let slashed = issuer(&[("issuer", json!(null))]).await;
    slashed.reset().await;
    let at = |path: &str| format!("{}{path}", slashed.uri());
    let document = json!({
        "issuer": at("/"), "authorization_endpoint": at("/a"), "token_endpoint": at("/t"), "jwks_uri": at("/k"),
    });
    let discovery = Mock::given(path("/.well-known/openid-configuration"));
    discovery.respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(&slashed).await;
    for (key, typed, issuer) in
        [("custom_a", format!("{}/", server.uri()), server.uri()), ("custom_b", slashed.uri(), at("/"))]
    {
        let made = add(&app, json!({"key": key, "client_id": "ours", "custom": {"issuer": typed}})).await.expect(200);
        assert_eq!(made.json()["custom"]["issuer"], issuer);
    }
}

#[tokio::test]
async fn bad_discovery_is_reported_by_the_published_codes_and_not_in_detail() {
    let app = TestApp::start().await;
    let lacking = "custom_oauth_provider_cannot_use_discovery_url";
    let mismatch = "custom_oauth_provider_discovery_issuer_mismatch";
    let retrieval = "custom_oauth_provider_discovery_server_retrieval_error";
    for (changes, code) in [
        (("token_endpoint", json!(null)), lacking),
        (("authorization_endpoint", json!(null)), lacking),
        (("authorization_endpoint", json!("javascript:alert(1)")), lacking),
        (("authorization_endpoint", json!("http://id.acme.example/a")), lacking),
        (("issuer", json!("https://evil.example")), mismatch),
        (("issuer", json!(null)), lacking),
    ] {
        let server = issuer(std::slice::from_ref(&changes)).await;
        let refused = add_by_issuer(&app, &server).await.expect(422);
        assert_eq!(refused.error_code(), code, "{changes:?}");
        assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], "custom.discovery_url", "{changes:?}");
    }
    let server = MockServer::start().await;
    let refused = add_by_issuer(&app, &server).await.expect(422);
    assert_eq!(refused.error_code(), retrieval);
    let private = json!({"key": "custom_acme", "client_id": "ours", "custom": {"issuer": "https://10.0.0.1"}});
    let refused = add(&app, private).await.expect(422);
    assert_eq!(
        (refused.error_code().as_str(), &refused.json()["errors"][0]["meta"]["reason"]),
        (retrieval, &json!("endpoint_refused"))
    );
    let rows: i64 = sqlx::query_scalar("select count(*) from provider_configs where custom is not null")
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn of_changes_at_once_none_is_lost() {
    let app = TestApp::start().await;
    let flags = ["required", "not_selectable", "block_email_subaddresses", "multiple_accounts"];
    let answers = flags.map(|flag| change(&app, "notion", json!({flag: true})));
    let answers = futures_util::future::join_all(answers).await;
    let found = app.backend_get(&format!("{PROVIDERS}/notion")).await.expect(200).json();
    for (flag, answer) in std::iter::zip(flags, answers) {
        assert!(answer.status == 200 || answer.status == 409, "{}", answer.text);
        assert_eq!(found[flag], json!(answer.status == 200), "{flag}");
    }
}

#[tokio::test]
async fn production_needs_credentials_of_its_own() {
    let app = TestApp::start().await;
    let new = vestibule::actions::instance::NewInstance::production("shop", "https://clerk.shop.example").unwrap();
    let made = vestibule::actions::instance::create(app.app(), &new, vestibule::store::audit::Actor::System);
    let key = secrecy::ExposeSecret::expose_secret(&made.await.unwrap().secret_key).to_owned();
    let ask = async |method: Method, path: &str, body: Value| {
        let request = app.browser().raw(method, &app.url(path)).bearer_auth(&key);
        send(request.json(&body)).await
    };
    let simulated = json!({"key": "google", "credentials": "simulated"});
    let refused = ask(Method::POST, PROVIDERS, simulated).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_value_invalid");
    let made = ask(Method::POST, PROVIDERS, json!({"key": "google", "enabled": true})).await.expect(200).json();
    assert_eq!((&made["credentials"], &made["problem"]), (&json!("custom"), &json!("oauth_config_missing")));
    let own = json!({"client_id": "real.apps.example", "client_secret": "s"});
    let made = ask(Method::PATCH, &format!("{PROVIDERS}/google"), own).await.expect(200).json();
    assert_eq!(made["problem"], json!(null));
    assert_eq!(made["callback_url"], "https://clerk.shop.example/v1/oauth_callback");
}
