//! The frame around every answer: listeners, health, time limits, shutdown, instances by host and by key.

use crate::support::TestApp;
use axum::Router;
use axum::routing::get;
use http::Method;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vestibule::config::{Listen, Rate};
use vestibule::server::{Caps, Server, bind};

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
async fn an_unknown_path_is_reported_in_the_envelope() {
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

/// A server with short limits, whose one page is `ok`.
async fn quick(change: impl FnOnce(&mut Caps)) -> Server {
    let mut caps = Caps {
        connections: 100,
        per_address: 0,
        proxies: Default::default(),
        head: Duration::from_millis(150),
        idle: Duration::from_millis(600),
        send: Duration::from_secs(30),
        control_frames: Rate { count: 1000, window: Duration::from_secs(10) },
    };
    change(&mut caps);
    let bound = bind(&[Listen::Localhost(0)]).await.unwrap();
    let router = Router::new().route("/", get(|| async { "ok" }));
    Server::start(bound, router.route("/v1/panics", get(panics)).route("/oauth/panics", get(panics)), caps)
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.addresses()[0]).await.unwrap()
}

/// Everything that comes until the connection ends, and how long that took.
async fn until_cut(mut stream: TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut text = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await.expect("it is cut");
    (String::from_utf8(text).unwrap(), begun.elapsed())
}

#[tokio::test]
async fn a_silent_client_is_cut() {
    let server = quick(|_| {}).await;
    let (text, took) = until_cut(connect(&server).await).await;
    assert_eq!(text, "");
    assert!(took >= Duration::from_millis(140), "{took:?}");
}

#[tokio::test]
async fn a_client_that_drips_its_head_is_cut() {
    let server = quick(|caps| caps.idle = Duration::from_secs(3600)).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 512];
    let first = stream.read(&mut answer).await.unwrap();
    assert!(answer[..first].starts_with(b"HTTP/1.1 200"));
    let (reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let (_, took) = until_cut_reader(reader).await;
    assert!(took >= Duration::from_millis(140), "the second head has its own time: {took:?}");
    dripping.abort();
}

async fn until_cut_reader(mut reader: tokio::net::tcp::OwnedReadHalf) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut rest)).await.expect("it is cut");
    (rest, begun.elapsed())
}

#[tokio::test]
async fn a_connection_may_rest_between_requests_but_not_for_ever() {
    let server = quick(|_| {}).await;
    let mut stream = connect(&server).await;
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        // Longer than a head may take.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (text, _) = until_cut(stream).await;
    assert_eq!(text, "");
}

#[tokio::test]
async fn too_large_a_head_is_refused() {
    let server = quick(|_| {}).await;
    let fields: String = (0..65).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "a".repeat(17 * 1024));
    for fields in [fields, long] {
        let mut stream = connect(&server).await;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await.unwrap();
        let (text, _) = until_cut(stream).await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    }
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let server = quick(|caps| caps.connections = 1).await;
    let first = connect(&server).await;
    let mut second = connect(&server).await;
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    drop(first);
    let mut answer = [0; 512];
    let length = tokio::time::timeout(Duration::from_secs(10), second.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
}

/// A request's task can be given up with all layers that would have answered: the connection answers in their place.
#[tokio::test]
async fn request_whose_task_is_given_up_is_answered_in_the_form_of_its_api() {
    let server = quick(|_| {}).await;
    for (path, accept, retry_after, body) in [
        ("/v1/panics", "application/json", "1", r#""code":"service_unavailable""#),
        ("/oauth/panics", "*/*", "1", r#"{"error":"temporarily_unavailable""#),
        ("/oauth/panics", "text/html", "5", "<!doctype html>"),
    ] {
        let mut stream = connect(&server).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (text, _) = until_cut(stream).await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        let (head, reported) = text.split_once("\r\n\r\n").unwrap();
        for line in [format!("retry-after: {retry_after}"), "x-content-type-options: nosniff".to_owned()] {
            assert!(head.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(head.contains("\r\ncache-control: no-store"), "{text}");
        assert!(reported.to_lowercase().contains(body), "{text}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_on_the_same_port() {
    let server = quick(|_| {}).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "the server's SETTINGS (RFC 9113 section 3.4)");
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end() {
    let server = quick(|caps| caps.head = Duration::from_secs(3600)).await;
    let mut hanging = connect(&server).await;
    hanging.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // Until the server has read it: an untouched connection would just be closed.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.stop(Duration::from_millis(50)).await, 1);
    until_cut(hanging).await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_answered_with_503() {
    let app = TestApp::with(1, |config| config.server.request_timeout = Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect(("127.0.0.1", app.ports()[0])).await.unwrap();
    let head = "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 2048];
    let length = stream.read(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer[..length]);
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("retry-after: 1"), "{text}");
    assert!(text.contains("service_unavailable") && text.contains("clerk_trace_id"), "{text}");
}

#[tokio::test]
async fn every_connection_has_the_roles_time_limits() {
    let db = crate::support::TestDb::new().await;
    let pool = db.pool().await;
    for (setting, value) in
        [("statement_timeout", "5s"), ("lock_timeout", "2s"), ("idle_in_transaction_session_timeout", "10s")]
    {
        let found: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&pool).await.unwrap();
        assert_eq!(found, value, "{setting}: {}", db.url());
    }
}
