//! The backend API: users and their provider tokens.

use crate::support::TestApp;
use crate::support::browser::send;
use crate::support::person::{APP, client, sign_up};

#[tokio::test]
async fn a_backend_reads_users_in_the_published_shape() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let user = app.backend_get(&format!("/v1/users/{id}")).await.expect(200);
    assert_eq!(user.header("content-type"), Some("application/json"));
    let user = user.json();
    crate::shapes::assert_published("backend", "User", &user);
    assert_eq!(user["private_metadata"], serde_json::json!({}));
    assert_eq!(user["primary_email_address_id"], user["email_addresses"][0]["id"]);
    assert_eq!(user["last_active_at"].as_i64().unwrap() % 86_400_000, 0);
    let list = app.backend_get("/v1/users?limit=10&order_by=-created_at").await.expect(200).json();
    assert_eq!(list, serde_json::json!([user]));
    assert_eq!(app.backend_get("/v1/users/count").await.json()["object"], "total_count");
}

#[tokio::test]
async fn lists_filter_order_and_page_without_gaps() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for name in ["ada", "grace", "mary"] {
        ids.push(sign_up(&app, &app.browser(), "oauth_google", &format!("{name}@example.com")).await);
    }
    let of = async |query: &str| -> Vec<String> {
        let list = app.backend_get(&format!("/v1/users{query}")).await.expect(200).json();
        list.as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
    };
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(of("").await, newest_first);
    for query in ["?order_by=created_at", "?order_by=+created_at", "?order_by=%2Bcreated_at"] {
        assert_eq!(of(query).await, ids, "{query}");
    }
    for column in ["updated_at", "last_sign_in_at", "last_active_at", "first_name", "last_name"] {
        assert_eq!(of(&format!("?order_by=-{column}")).await.len(), 3, "{column}");
    }
    let paged = [of("?limit=2").await, of("?limit=2&offset=2").await].concat();
    assert_eq!(paged, newest_first);
    assert_eq!(of("?email_address=ADA@example.com").await, ids[..1]);
    let two = format!("?user_id={}&user_id[]={}&order_by=created_at", ids[0], ids[2]);
    assert_eq!(of(&two).await, [ids[0].clone(), ids[2].clone()]);
    assert!(of("?external_id=none").await.is_empty() && of("?username=none").await.is_empty());
    let count = app.backend_get("/v1/users/count?email_address=ada@example.com").await.json();
    assert_eq!(count["total_count"], 1);
    for (query, code) in [
        ("?limit=0", "form_param_value_invalid"),
        ("?limit=501", "form_param_value_too_large"),
        ("?offset=100001", "form_param_value_too_large"),
        ("?limit=x", "form_param_format_invalid"),
        ("?order_by=name;drop", "form_param_value_invalid"),
    ] {
        assert_eq!(app.backend_get(&format!("/v1/users{query}")).await.expect(422).error_code(), code, "{query}");
    }
}

#[tokio::test]
async fn a_filter_that_is_not_offered_is_refused_and_never_answered_with_everybody() {
    let app = TestApp::start().await;
    sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    for query in ["name_query=grace", "phone_number[]=%2B15550100", "banned=true", "user_id=-user_1", "external_id=-7"]
    {
        for path in ["/v1/users", "/v1/users/count"] {
            let refused = app.backend_get(&format!("{path}?{query}")).await.expect(403);
            assert_eq!(refused.error_code(), "feature_not_enabled", "{query}");
            let name = query.split(['=', '[']).next().unwrap();
            assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], name);
        }
    }
    assert_eq!(app.backend_get("/v1/users?unheard_of=1").await.expect(200).json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn hot_reads_cost_one_statement() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    for path in [
        format!("/v1/users/{id}"),
        format!("/v1/users/{id}/oauth_access_tokens/google"),
        "/v1/users?limit=10&order_by=-created_at".to_owned(),
        "/v1/users/count".to_owned(),
    ] {
        app.backend_get(&path).await.expect(200);
        let cost = app.cost(app.backend_get(&path)).await;
        assert_eq!((cost.statements, cost.commits), (1, 0), "{path}");
    }
}

#[tokio::test]
async fn a_key_is_asked_for_and_believed_only_if_known() {
    let app = TestApp::start().await;
    let url = app.url("/v1/users");
    let bare = app.browser().get(&url).await.expect(401);
    assert_eq!(bare.error_code(), "authentication_invalid");
    let wrong = |value: &'static str| {
        let request = app.browser().raw(http::Method::GET, &url).header("authorization", value);
        send(request)
    };
    assert_eq!(wrong("Basic abc").await.expect(401).error_code(), "authorization_header_format_invalid");
    assert_eq!(wrong("Bearer").await.expect(401).error_code(), "authorization_header_format_invalid");
    assert_eq!(wrong("Bearer sk_live_wrong").await.expect(401).error_code(), "clerk_key_invalid");
    let unknown = app.backend_get("/v1/users/user_2O4BCh3zUONvWlZHtBXv6s6tm7u").await.expect(404);
    assert_eq!(unknown.error_code(), "resource_not_found");
    let impossible = app.backend_get("/v1/users/nonsense").await.expect(404);
    assert_eq!(impossible.json()["errors"], unknown.json()["errors"]);
    assert!(unknown.json()["clerk_trace_id"].as_str().unwrap().starts_with("req_"));
}

#[tokio::test]
async fn the_provider_s_token_is_given_as_received_and_works() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_notion", "ada@example.com").await;
    let path = |provider: &str| format!("/v1/users/{id}/oauth_access_tokens/{provider}");
    let list = app.backend_get(&path("notion")).await.expect(200).json();
    let paginated = app.backend_get(&format!("{}?paginated=true", path("oauth_notion"))).await.expect(200).json();
    assert_eq!(paginated, serde_json::json!({ "data": list, "total_count": 1 }));
    let held = &list[0];
    assert_eq!(held["object"], "oauth_access_token");
    assert_eq!(held["provider"], "oauth_notion");
    assert!(held["expires_at"].is_null() && held["label"].is_null());
    assert!(held["external_account_id"].as_str().unwrap().starts_with("eac_"));
    assert!(held.get("refresh_token").is_none());
    let api = app.url("/_dev/providers/notion/v1/users/me");
    let token = held["token"].as_str().unwrap();
    let request = app.browser().raw(http::Method::GET, &api).bearer_auth(token).header("notion-version", "2022-06-28");
    assert_eq!(send(request).await.expect(200).json()["object"], "user");

    assert_eq!(app.backend_get(&path("google")).await.expect(200).json(), serde_json::json!([]));
    assert_eq!(app.backend_get(&path("nope")).await.expect(400).error_code(), "oauth_unsupported_provider");
    let of_nobody = "/v1/users/user_2O4BCh3zUONvWlZHtBXv6s6tm7u/oauth_access_tokens/notion";
    assert_eq!(app.backend_get(of_nobody).await.expect(404).error_code(), "resource_not_found");
    sqlx::query("update provider_configs set enabled = false").execute(&app.app().db).await.unwrap();
    let disabled = app.backend_get(&path("notion")).await.expect(404);
    assert_eq!(disabled.error_code(), "oauth_token_provider_not_enabled");
}

#[tokio::test]
async fn a_provider_s_token_appears_in_no_frontend_answer_and_not_in_the_database() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let id = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let held = app.backend_get(&format!("/v1/users/{id}/oauth_access_tokens/google")).await.json()[0].clone();
    let secrets = [held["token"].as_str().unwrap(), held["id_token"].as_str().unwrap()];
    for path in ["/v1/client", "/v1/me", "/v1/environment"] {
        let answer = browser.get(app.url(path)).await.expect(200);
        for secret in secrets {
            assert!(!answer.text.contains(secret), "{path}");
        }
    }
    let user = client(&app, &browser).await.to_string();
    assert!(!user.contains("refresh"));
    let rows: Vec<String> = sqlx::query_scalar(
        "select to_jsonb(t)::text from provider_tokens t union all select to_jsonb(f)::text from provider_authorizations f",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    use base64::Engine;
    for secret in secrets {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
        for row in &rows {
            assert!(!row.contains(secret) && !row.contains(&hex) && !row.contains(&base64));
        }
    }
    let cors = browser.request(http::Method::GET, &app.url(&format!("/v1/users/{id}"))).header("origin", APP);
    let answer = browser.send(cors.bearer_auth(&app.secret_key)).await;
    assert!(answer.header("access-control-allow-origin").is_none());
}
