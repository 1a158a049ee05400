//! What a request's body leaves behind on a connection that stays open: whoever answers without reading it, the next
//! request is answered too, or the answer said that there will be none.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use vestibule::http::route::{Caller, Route};
use vestibule::http::router;

use crate::routes::filled;
use crate::support::TestApp;
use crate::support::person::APP;

/// For what must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the server reads at once, and less than it reads for nothing.
const SIZE: usize = 40 * 1024;

struct Connection(BufReader<TcpStream>);

/// The head of an answer, in lower case.
struct Head(String);

impl Head {
    fn status(&self) -> u16 {
        self.0.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

impl Connection {
    async fn new(app: &TestApp) -> Self {
        Self(BufReader::new(TcpStream::connect(("127.0.0.1", app.ports()[0])).await.unwrap()))
    }

    async fn send(&mut self, bytes: &[u8]) {
        // A server that has said no may end the connection while the rest is being sent.
        let _ = self.0.get_mut().write_all(bytes).await;
    }

    /// The next answer with its body, or `None` if the connection ends instead.
    async fn answer(&mut self) -> Option<Head> {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("an answer or an end")
    }

    async fn read_answer(&mut self) -> Option<Head> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = Head(head.to_ascii_lowercase());
        match head.field("content-length") {
            Some(length) => {
                let mut body = vec![0; length.parse().unwrap()];
                self.0.read_exact(&mut body).await.ok()?;
            }
            None if head.field("transfer-encoding").is_some() => {
                let mut line = String::new();
                while line != "0\r\n" {
                    line.clear();
                    if self.0.read_line(&mut line).await.ok()? == 0 {
                        return None;
                    }
                }
                self.0.read_line(&mut line).await.ok()?;
            }
            None => {}
        }
        Some(head)
    }

    /// True if another request is answered on this connection.
    async fn goes_on(&mut self) -> bool {
        self.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        self.answer().await.is_some_and(|head| head.status() == 200)
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
}

/// The framing's header field and the bytes of the body.
fn body(framing: Framing) -> (String, String) {
    let piece = "x".repeat(SIZE / 4);
    match framing {
        Framing::Length => (format!("Content-Length: {SIZE}"), piece.repeat(4)),
        Framing::Chunks => {
            let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
            ("Transfer-Encoding: chunked".to_owned(), format!("{}0\r\n\r\n", chunk.repeat(4)))
        }
    }
}

fn head(method: &Method, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n{fields}\r\n\r\n")
}

fn credentials(app: &TestApp, route: &Route) -> String {
    match route.rules.caller {
        Caller::SecretKey => format!("Authorization: Bearer {}\r\n", app.secret_key),
        Caller::Browser => format!("Origin: {APP}\r\n"),
        _ => String::new(),
    }
}

#[tokio::test]
async fn every_route_leaves_its_connection_usable_after_a_body() {
    let app = TestApp::start().await;
    let mut connection = Connection::new(&app).await;
    for route in &router::routes() {
        let path = filled(route.path, "x");
        for (framing, with) in [(Framing::Length, String::new()), (Framing::Chunks, credentials(&app, route))] {
            let (field, body) = body(framing);
            connection
                .send(format!("{}{body}", head(&route.method, &path, &format!("{with}{field}"))).as_bytes())
                .await;
            let name = format!("{} {path}, {framing:?}", route.method);
            let answer = connection.answer().await.unwrap_or_else(|| panic!("{name}: no answer"));
            assert!(answer.status() < 500, "{name}: {}", answer.0);
            // All of it was there: nothing speaks against going on.
            assert!(!answer.says_close(), "{name}: {}", answer.0);
            assert!(connection.goes_on().await, "{name}: {}", answer.0);
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_leave_their_connection_usable_after_a_body() {
    let app = TestApp::start().await;
    let mut connection = Connection::new(&app).await;
    for (method, path, status) in
        [(Method::POST, "/no/such/path", 404), (Method::DELETE, "/v1/environment", 405), (Method::PUT, "/sign-in", 405)]
    {
        for framing in [Framing::Length, Framing::Chunks] {
            let (field, body) = body(framing);
            connection.send(format!("{}{body}", head(&method, path, &field)).as_bytes()).await;
            let answer = connection.answer().await.expect("an answer");
            assert_eq!(answer.status(), status, "{}", answer.0);
            assert!(connection.goes_on().await, "{method} {path}, {framing:?}");
        }
    }
}

#[tokio::test]
async fn refusals_by_budget_leave_their_connection_usable_after_a_body() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let mut connection = Connection::new(&app).await;
    let (field, body) = body(Framing::Chunks);
    let fields = format!("Origin: {APP}\r\n{field}");
    let mut statuses = Vec::new();
    for _ in 0..8 {
        connection.send(format!("{}{body}", head(&Method::POST, "/v1/client/sign_ins", &fields)).as_bytes()).await;
        let answer = connection.answer().await.expect("an answer");
        assert!(!answer.says_close(), "{}", answer.0);
        statuses.push(answer.status());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(connection.goes_on().await);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_does_not_come_ends_its_connection_and_the_answer_says_so() {
    let app = TestApp::start().await;
    let post = |path: &str, fields: &str| head(&Method::POST, path, fields);
    let json = format!("Content-Type: application/json\r\nOrigin: {APP}\r\n");
    let long_chunks = format!("{:x}\r\n{}\r\n", SIZE, "x".repeat(SIZE)).repeat(5);
    let cases = [
        ("declared", post("/v1/oauth_applications", "Content-Length: 1000000000"), 401),
        ("endless", post("/v1/oauth_applications", "Transfer-Encoding: chunked") + &long_chunks, 401),
        ("unfinished", post("/v1/oauth_applications", "Content-Length: 100") + "x", 401),
        ("unfinished chunk", post("/v1/oauth_applications", "Transfer-Encoding: chunked") + "5\r\nhel", 401),
        ("no chunk", post("/v1/oauth_applications", "Transfer-Encoding: chunked") + "zz\r\n", 401),
        ("waits for leave", post("/v1/oauth_applications", "Content-Length: 100\r\nExpect: 100-continue"), 401),
        (
            "too large",
            post("/v1/client/sign_ins", &format!("{json}Content-Length: 1000000000")) + &"x".repeat(70_000),
            413,
        ),
    ];
    for (name, request, status) in cases {
        let mut connection = Connection::new(&app).await;
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status(), status, "{name}: {}", answer.0);
        assert!(answer.says_close(), "{name}: {}", answer.0);
        assert!(connection.answer().await.is_none(), "{name}: the connection ends");
    }
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_gets_its_answer() {
    let app = TestApp::start().await;
    for size in [100 * 1024, 600 * 1024] {
        let mut connection = Connection::new(&app).await;
        let head = head(&Method::POST, "/v1/oauth_applications", &format!("Content-Length: {size}"));
        connection.send(head.as_bytes()).await;
        connection.send(&vec![b'x'; size]).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("{size}: no answer"));
        assert_eq!(answer.status(), 401, "{}", answer.0);
        assert!(answer.says_close(), "{}", answer.0);
    }
}

/// Sends a body a byte at a time until there is an answer.
async fn drip(app: &TestApp, head: String) -> (Head, String) {
    let stream = TcpStream::connect(("127.0.0.1", app.ports()[0])).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut text = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut text)).await.expect("the connection ends");
    dripping.abort();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (Head(head.to_ascii_lowercase()), body.to_owned())
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_with_408() {
    let app = TestApp::start().await;
    let form = |path: &str, accept: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nOrigin: {APP}\r\nContent-Length: 5000\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
    };
    let (api, token, page) = tokio::join!(
        drip(&app, form("/v1/client/sign_ins", "application/json")),
        drip(&app, form("/oauth/token", "*/*")),
        drip(&app, form("/oauth/authorize", "text/html")),
    );
    for (head, body) in [&api, &token, &page] {
        assert_eq!(head.status(), 408, "{} {body}", head.0);
        assert!(head.says_close(), "{}", head.0);
    }
    let envelope: serde_json::Value = serde_json::from_str(&api.1).unwrap();
    assert_eq!(envelope["errors"][0]["code"], "vestibule_request_body_too_slow", "{envelope}");
    assert!(envelope["clerk_trace_id"].is_string(), "{envelope}");
    let error: serde_json::Value = serde_json::from_str(&token.1).unwrap();
    assert_eq!(error["error"], "invalid_request", "{error}");
    assert!(page.1.contains("too-slow"), "{}", page.1);
}
