//! What comes over a bare socket, and what every answer carries.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::TestApp;
use crate::support::browser::send;
use crate::support::person::{APP, sign_up};

/// Sends bytes and reads until the server ends the connection, which it does after a request that it cannot read and
/// after one that asks for it: so every answer that will ever come has come.
async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", app.ports()[0])).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // Whatever the server has not read is lost with a reset, and the answer stands all the same.
    let _ = ended.unwrap_or_else(|_| panic!("the connection stays open after: {answer}"));
    answer
}

/// For a connection that should have ended long ago.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the connection, if the server comes to read it as a request.
const LAST: &str = "GET /no-such-path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The request that is hidden in another one was answered.
fn is_smuggled(answer: &str) -> bool {
    answer.ends_with("\r\n\r\nok") || answer.contains("\r\n\r\nokHTTP/1.1")
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn requests_that_two_parsers_could_cut_differently_are_refused() {
    let app = TestApp::start().await;
    let head = "POST /v1/client HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n";
    let cases = [
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: 5, 6\r\n\r\nhello",
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x5\r\n\r\nhello",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Content-Length : 5\r\n\r\nhello",
        "Content-Length: 5\r\n folded: x\r\n\r\nhello",
        "X: a\r\n\tb\r\n\r\n",
        " X: a\r\n\r\n",
        "X\r\n\r\n",
        "X: a\0b\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ];
    for case in cases {
        let answer = raw(&app, format!("{head}{case}{SMUGGLED}{LAST}").as_bytes()).await;
        assert!(matches!(status(&answer), 400 | 501), "{case:?}: {answer}");
        assert_eq!(answers(&answer), 1, "{case:?}: what follows is not another request: {answer}");
    }
    // An endpoint that reads its body says that it cannot; the connection ends in any case.
    let form = "POST /v1/client/sign_ins HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n";
    for chunk in ["zz\r\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\nx\r\n0\r\n\r\n", "-1\r\n\r\n"] {
        for head in [head, form] {
            let answer =
                raw(&app, format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{SMUGGLED}{LAST}").as_bytes()).await;
            assert!(answers(&answer) <= 1 && !is_smuggled(&answer), "{chunk:?}: {answer}");
            assert!(head != form || status(&answer) >= 400, "{chunk:?}: {answer}");
        }
    }
    let old =
        format!("POST /v1/client HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    assert_eq!(status(&raw(&app, old.as_bytes()).await), 400);
}

/// RFC 9112 section 6.1 lets a server read such a message by its chunks; then nothing of it may become a second request.
#[tokio::test]
async fn chunks_beside_a_length_are_read_as_one_request() {
    let app = TestApp::start().await;
    let head = "POST /v1/client HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    for both in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n"]
    {
        let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
        let answer = raw(&app, format!("{head}{both}\r\n{chunk}{LAST}").as_bytes()).await;
        assert!((1..=2).contains(&answers(&answer)) && !is_smuggled(&answer), "{answer}");
    }
}

#[tokio::test]
async fn heads_bodies_and_methods_have_their_limits() {
    let app = TestApp::start().await;
    let long = "x".repeat(17 * 1024);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "a: b\r\n".repeat(64)),
    ] {
        let answer = raw(&app, head.as_bytes()).await;
        assert!(matches!(status(&answer), 414 | 431), "{}", answer.get(..80).unwrap_or(&answer));
    }
    for method in ["TRACE", "CONNECT", "PROPFIND", "FOO", "get"] {
        let answer = raw(
            &app,
            format!("{method} /v1/client HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert!(matches!(status(&answer), 400 | 404 | 405), "{method}: {answer}");
    }
    for (size, expected) in [(64 * 1024, 200), (64 * 1024 + 1, 413)] {
        let body = format!("a={}", "x".repeat(size - 2));
        let request = app.browser().raw(Method::POST, &app.url("/v1/client/sign_ins")).header("origin", APP);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        assert_eq!(send(request).await.status, expected);
    }
    // The rest of a body that is too long is not waited for.
    let head = "POST /v1/client/sign_ins HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n";
    let answer = raw(&app, format!("{head}{}", "x".repeat(64 * 1024 + 1)).as_bytes()).await;
    assert_eq!(status(&answer), 413, "{answer}");
}

#[tokio::test]
async fn a_host_that_is_doubled_foreign_or_odd_belongs_to_nobody() {
    let app = TestApp::start().await;
    for host in [
        "Host: localhost\r\nHost: evil.example",
        "Host: evil.example",
        "Host: localhost.evil.example",
        "Host: localhost.",
        "Host: user@localhost",
        "Host: localhost/x",
        "Host: ",
        "Host: localhost:port",
        "Host: [::1",
        "Host: local host",
        "X: y",
    ] {
        for path in
            ["/v1/client", "/v1/environment", "/sign-in", "/.well-known/openid-configuration", "/oauth/authorize"]
        {
            let answer =
                raw(&app, format!("GET {path} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n").as_bytes()).await;
            assert_eq!(status(&answer), 400, "{host} {path}: {answer}");
            assert!(!answer.contains("evil.example"), "{host} {path}: {answer}");
        }
    }
    let lying = "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nX-Original-URL: /v1/users\r\nX-Rewrite-URL: /x\r\nX-HTTP-Method-Override: DELETE\r\nX-Forwarded-Proto: https\r\n";
    let path = "/.well-known/openid-configuration";
    let answer =
        raw(&app, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lying}\r\n").as_bytes())
            .await;
    assert_eq!(status(&answer), 200);
    assert!(!answer.contains("evil.example"));
}

#[tokio::test]
async fn paths_are_taken_as_they_are_spelled() {
    let app = TestApp::start().await;
    for path in [
        "//v1/client",
        "/v1//client",
        "/v1/client/",
        "/v1/./client",
        "/v1/x/../client",
        "/v1/client;a=b",
        "/v1%2fclient",
        "/%76%31/client/..;/",
        "/v1/client%00",
        "/V1/client",
        "/v1/client%2f",
        "/oauth//authorize",
        "/sign-in/",
        "//evil.example/sign-in",
        "/_dev/../v1/users",
        "/.well-known//jwks.json",
    ] {
        let answer =
            raw(&app, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
        assert!(!answer.to_lowercase().contains("\r\nlocation:"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn answers_that_no_route_gives_carry_the_safety_headers_too() {
    let app = TestApp::start().await;
    let requests = [
        (Method::GET, "/no/such/path"),
        (Method::DELETE, "/v1/environment"),
        (Method::GET, "/v1/client?__clerk_api_version=1999-01-01"),
        (Method::GET, "/v1/client/sign_ins/%ff"),
        (Method::POST, "/v1/client?_method=PATCH"),
    ];
    for (method, path) in requests {
        for accept in ["application/json", "text/html"] {
            let request = app.browser().raw(method.clone(), &app.url(path)).header("accept", accept);
            let answer = send(request).await;
            let name = format!("{method} {path} {accept}: {}", answer.status);
            assert!(answer.status.is_client_error(), "{name}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
            assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{name}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
            let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{name}"));
            assert!(policy.contains("frame-ancestors 'none'"), "{name}: {policy}");
            assert!(answer.header("referrer-policy").is_some(), "{name}");
        }
    }
}

#[tokio::test]
async fn cookies_and_credentials_do_not_replace_an_origin() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let post = |url: &str| browser.request(Method::POST, &app.url(url));
    let out = "/v1/client/sessions?_method=DELETE";
    // A browser adds remembered Basic credentials by itself; a page cannot set Bearer ones without saying its origin.
    for request in [
        post(out),
        post(out).header("authorization", "Basic YTpi"),
        post(out).header("authorization", "Bearer x"),
        post(out).header("origin", "null"),
        post(out).header("origin", "https://evil.example"),
        post(out).header("origin", "http://localhost.evil.example"),
        post(out).header("origin", APP).header("origin", "https://evil.example"),
        post(out).header("origin", APP).header("authorization", "Bearer x"),
        post(out).header("sec-fetch-site", "same-site"),
        post(out).header("sec-fetch-site", "cross-site"),
        post(out).header("sec-fetch-site", "none"),
        post(out).header("referer", &format!("{APP}/")),
    ] {
        let refused = send(request).await.expect(400);
        assert!(refused.header("access-control-allow-origin").is_none_or(|origin| origin == APP));
    }
    assert_eq!(crate::support::person::client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1);
}
