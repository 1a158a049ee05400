//! OAuth applications through the backend API (behaviour rows O01, O03, O04).

use crate::support::oauth::CALLBACK;
use crate::support::{TestApp, send};
use http::Method;
use serde_json::{Value, json};

const SHOWN: [&str; 21] = [
    "authorize_url",
    "callback_url",
    "client_id",
    "client_image_url",
    "client_uri",
    "consent_screen_enabled",
    "created_at",
    "discovery_url",
    "dynamically_registered",
    "id",
    "instance_id",
    "name",
    "object",
    "pkce_required",
    "public",
    "redirect_uris",
    "scopes",
    "token_fetch_url",
    "token_introspection_url",
    "updated_at",
    "user_info_url",
];

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn o01_the_seeds_request_is_answered_with_the_seeds_members() {
    let app = TestApp::start().await;
    let body = json!({
        "callback_url": "https://oauth-client.com/oauth2/callback", "name": "oauth_app_1", "scopes": "profile email"
    });
    let made = app.backend(Method::POST, "/v1/oauth_applications", &body).await.expect(200);
    assert_eq!(made.header("content-type"), Some("application/json"));
    let made = made.json();
    let mut expected = SHOWN.to_vec();
    expected.push("client_secret");
    expected.sort_unstable();
    assert_eq!(members(&made), expected);
    assert_eq!(made["object"], "oauth_application");
    assert_eq!(made["scopes"], "profile email");
    assert_eq!(made["callback_url"], "https://oauth-client.com/oauth2/callback");
    assert_eq!(made["redirect_uris"], json!(["https://oauth-client.com/oauth2/callback"]));
    assert_eq!(made["instance_id"], app.instance.as_str());
    assert_eq!((made["public"].clone(), made["consent_screen_enabled"].clone()), (json!(false), json!(true)));
    let length = |name: &str| made[name].as_str().unwrap().len();
    assert_eq!((length("id"), length("client_id"), length("client_secret")), (30, 16, 32));
    assert!(made["created_at"].as_i64().unwrap() > 1_600_000_000_000, "milliseconds");
}

#[tokio::test]
async fn o03_the_secret_is_shown_once() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let secret = client.secret.unwrap();
    let one = app.backend_get(&format!("/v1/oauth_applications/{}", client.application)).await.expect(200);
    assert_eq!(members(&one.json()), SHOWN);
    let list = app.backend_get("/v1/oauth_applications").await.expect(200);
    assert_eq!(members(&list.json()["data"][0]), SHOWN);
    assert!(!one.text.contains(&secret) && !list.text.contains(&secret));
    let stored: Vec<String> =
        sqlx::query_scalar("select t::text from oauth_applications t").fetch_all(&app.app().db).await.unwrap();
    assert!(!stored[0].contains(&secret), "only a keyed hash is stored");
}

#[tokio::test]
async fn o04_the_addresses_are_absolute_and_answer() {
    let app = TestApp::start().await;
    let body = json!({ "name": "x", "redirect_uris": [CALLBACK] });
    let made = app.backend(Method::POST, "/v1/oauth_applications", &body).await.expect(200).json();
    for (name, method, status) in [
        ("authorize_url", Method::GET, 400),
        ("token_fetch_url", Method::POST, 400),
        ("user_info_url", Method::GET, 401),
        ("discovery_url", Method::GET, 200),
        ("token_introspection_url", Method::POST, 400),
    ] {
        let url = made[name].as_str().unwrap();
        assert!(url.starts_with(&app.origin()), "{name}: {url}");
        send(app.browser().raw(method, url)).await.expect(status);
    }
}

#[tokio::test]
async fn lists_are_pages_of_an_envelope() {
    let app = TestApp::start().await;
    for name in ["beta", "Alpha", "gamma"] {
        app.application(json!({ "name": name })).await;
    }
    let names = async |query: &str| {
        let list = app.backend_get(&format!("/v1/oauth_applications{query}")).await.expect(200).json();
        let data = list["data"].as_array().unwrap();
        let names: Vec<String> = data.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), list["total_count"].as_i64().unwrap())
    };
    assert_eq!(names("").await, ("gamma Alpha beta".to_owned(), 3));
    assert_eq!(names("?order_by=created_at").await, ("beta Alpha gamma".to_owned(), 3));
    assert_eq!(names("?order_by=%2Bcreated_at&limit=1&offset=1").await, ("Alpha".to_owned(), 3));
    assert_eq!(names("?order_by=-name").await, ("gamma beta Alpha".to_owned(), 3));
    assert_eq!(names("?name_query=ALPH").await, ("Alpha".to_owned(), 1));
    assert_eq!(names("?offset=10").await, (String::new(), 3));
    let client = app.application(json!({ "name": "delta" })).await;
    assert_eq!(names(&format!("?name_query={}", client.id)).await, ("delta".to_owned(), 1));
    app.backend_get("/v1/oauth_applications?order_by=secret").await.expect(422);
}

#[tokio::test]
async fn what_cannot_be_registered_is_reported_field_by_field() {
    let app = TestApp::start().await;
    let refused = async |body: Value| {
        let answer = app.backend(Method::POST, "/v1/oauth_applications", &body).await.expect(422).json();
        let errors = answer["errors"].as_array().unwrap().clone();
        let reported = errors.iter().map(|error| {
            format!("{} {}", error["code"].as_str().unwrap(), error["meta"]["param_name"].as_str().unwrap())
        });
        reported.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(refused(json!({})).await, "form_param_missing name, form_param_missing redirect_uris");
    assert_eq!(
        refused(json!({ "name": "x", "callback_url": CALLBACK, "secret": 1 })).await,
        "form_param_unknown secret"
    );
    for uri in ["javascript:alert(1)", "https://a.example/#x", "https://u@a.example/", "/cb"] {
        let body = json!({ "name": "x", "redirect_uris": [CALLBACK, uri] });
        assert_eq!(refused(body).await, "form_param_format_invalid redirect_uris", "{uri}");
    }
    // Consent would say that nobody, or somebody else, asks.
    for blank in ["\u{200b}", "\u{2060}", "\u{feff}", "\u{ad}", "\u{3164}", "\u{2800}", "\u{61c}", "\u{202e}"] {
        for name in [blank.to_owned(), format!("Goo{blank}gle")] {
            let body = json!({ "name": name, "callback_url": CALLBACK });
            assert_eq!(refused(body).await, "form_param_format_invalid name", "{name:?}");
        }
    }
    let count: i64 =
        sqlx::query_scalar("select count(*) from oauth_applications").fetch_one(&app.app().db).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn strangers_see_nothing_and_nobody_what_is_not_there() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let path = app.url(&format!("/v1/oauth_applications/{}", client.application));
    send(app.browser().raw(Method::GET, &path)).await.expect(401);
    send(app.browser().raw(Method::GET, &path).bearer_auth("sk_test_wrong")).await.expect(401);
    let answer = app.backend_get("/v1/oauth_applications/oa_000000000000000000000000000").await.expect(404);
    assert_eq!(answer.error_code(), "resource_not_found");
    app.backend_get("/v1/oauth_applications/nonsense").await.expect(404);
}

#[tokio::test]
async fn who_made_an_application_stands_in_the_audit_log() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let (kind, target): (String, String) =
        sqlx::query_as("select actor_kind, target_id from audit_events where action = 'oauth_application.created'")
            .fetch_one(&app.app().db)
            .await
            .unwrap();
    assert_eq!((kind.as_str(), target), ("secret_key", client.application));
}
