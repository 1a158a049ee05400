//! The frame around every answer: listeners, health, time limits, shutdown, instances by host and by key.

use crate::support::TestApp;
use http::Method;

#[tokio::test]
async fn a_replica_is_alive_and_ready() {
    let app = TestApp::replicas(2).await;
    let browser = app.browser();
    for _ in 0..2 {
        assert_eq!(browser.get(app.url("/healthz")).await.expect(200).text, "ok");
        assert_eq!(browser.get(app.url("/readyz")).await.expect(200).json()["ready"], true);
    }
}

#[tokio::test]
async fn localhost_is_both_loopback_addresses() {
    let app = TestApp::start().await;
    let port = app.ports()[0];
    for host in ["127.0.0.1", "localhost"] {
        app.browser().get(format!("http://{host}:{port}/healthz")).await.expect(200);
    }
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        app.browser().get(format!("http://[::1]:{port}/healthz")).await.expect(200);
    }
}

#[tokio::test]
async fn the_clock_of_an_instance_can_be_moved() {
    let app = TestApp::start().await;
    let before = app.ctx().await.now;
    app.advance(std::time::Duration::from_secs(3600)).await;
    app.advance(std::time::Duration::from_secs(3600)).await;
    let moved = app.ctx().await.now - before;
    assert!(moved >= time::Duration::hours(2) && moved < time::Duration::minutes(121), "{moved}");
}

#[tokio::test]
async fn an_unknown_path_is_told_in_the_envelope() {
    let app = TestApp::start().await;
    let answer = app.browser().get(app.url("/no/such/path")).await.expect(404);
    assert_eq!(answer.error_code(), "resource_not_found");
    assert!(answer.json()["clerk_trace_id"].as_str().unwrap().starts_with("req_"));
    let answer = app.backend(Method::DELETE, "/healthz", &serde_json::json!({})).await.expect(405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn liveness_never_asks_the_database_and_readiness_once_a_second() {
    let app = TestApp::start().await;
    let browser = app.browser();
    assert_eq!(app.cost(browser.get(app.url("/healthz"))).await.statements, 0);
    assert_eq!(app.cost(browser.get(app.url("/readyz"))).await.statements, 1);
    assert_eq!(app.cost(browser.get(app.url("/readyz"))).await.statements, 0);
}

#[tokio::test]
async fn a_user_without_picture_gets_one_that_exists() {
    let app = TestApp::start().await;
    let id = crate::support::person::sign_up(&app, &app.browser(), "oauth_notion", "ada@example.com").await;
    let user = app.backend_get(&format!("/v1/users/{id}")).await.expect(200).json();
    assert_eq!(user["has_image"], false);
    let picture = app.browser().get(user["image_url"].as_str().unwrap()).await.expect(200);
    assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
}

#[tokio::test]
async fn an_answer_names_its_api_version_and_an_unknown_one_is_refused() {
    let app = TestApp::start().await;
    let answer = app.browser().get(app.url("/v1/client?__clerk_api_version=2026-05-12")).await.expect(200);
    assert_eq!(answer.header("clerk-api-version"), Some("2026-05-12"));
    let refused = app.browser().get(app.url("/v1/client?__clerk_api_version=1999-01-01")).await.expect(400);
    assert_eq!(refused.error_code(), "api_version_invalid");
}
