//! A server as a process: health, logs, signals.

use super::{deployed, free_port};
use crate::support::browser::{Browser, Ports};
use crate::support::program::{Program, Running};
use crate::support::{TestDb, send};
use http::Method;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A server on a free port, answering.
fn serve(program: Program) -> (Program, Running, u16) {
    let port = free_port();
    let program = program
        .variable("VESTIBULE_SERVER__LISTEN", &format!("localhost:{port}"))
        .variable("VESTIBULE_SERVER__INTERNAL_LISTEN", "localhost:0")
        .variable("VESTIBULE_SERVER__SHUTDOWN__DRAIN", "100ms");
    let mut server = program.start(&["serve"]);
    server.until("\"msg\":\"listening\"");
    (program, server, port)
}

#[tokio::test]
async fn it_is_ready_and_says_so_to_the_healthcheck() {
    let (_db, program) = deployed().await;
    let (program, mut server, port) = serve(program);
    let url = format!("http://localhost:{port}");
    program.run(&["healthcheck", "--ready", "--wait", "5s"]).expect(0);
    program.run(&["healthcheck", "--url", &url]).expect(0);
    let internal = server.until("\"msg\":\"listening\"");
    assert!(internal.contains("127.0.0.1"), "{internal}");
    let (code, _) = server.stop();
    assert_eq!(code, 0);
    let finished = program.run(&["healthcheck", "--url", &url]).expect(1);
    assert!(finished.stderr.contains("does not answer"), "{}", finished.stderr);
}

#[tokio::test]
async fn readiness_follows_the_database() {
    let (db, program) = deployed().await;
    let (_program, _server, port) = serve(program);
    let url = format!("http://localhost:{port}/readyz");
    let browser = Browser::new(Ports::new(vec![port]));
    let ready = async || send(browser.raw(Method::GET, &url)).await.status.as_u16();
    assert_eq!(ready().await, 200);
    let admin = TestDb::new().await;
    let admin = admin.pool().await;
    let name = db.options().get_database().unwrap().to_owned();
    run(&admin, format!("alter database {name} allow_connections false")).await;
    let gone = Instant::now();
    run(&admin, format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    while ready().await == 200 {
        assert!(gone.elapsed() < PATIENCE, "still ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let alive = send(browser.raw(Method::GET, &format!("http://localhost:{port}/healthz"))).await;
    assert_eq!(alive.text, "ok", "liveness has nothing to do with the database");
    run(&admin, format!("alter database {name} allow_connections true")).await;
    let back = Instant::now();
    while ready().await != 200 {
        assert!(back.elapsed() < PATIENCE, "never ready again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// After which somebody waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

async fn run(admin: &sqlx::PgPool, statement: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(admin).await.unwrap();
}

/// A request that lacks the last four bytes of its body.
const UNFINISHED: &str = "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n\
    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\ngran";

/// A request whose head and body are written byte for byte.
fn speak(port: u16, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_has() {
    let (_db, program) = deployed().await;
    program.run(&["instance", "create", "--name", "dev"]).expect(0);
    let (_program, mut server, port) = serve(program);
    // In flight: its body is not complete.
    let mut slow = speak(port, UNFINISHED);
    let mut idle = speak(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = [0; 256];
    assert!(idle.read(&mut answer).unwrap() > 0, "an idle connection with one answer behind it");
    server.signal(Signal::TERM);
    server.until("\"msg\":\"stopping\"");
    let mut rest = String::new();
    idle.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("HTTP/1.1"), "an idle connection is closed: {rest}");
    // The accept loop and the connections hear of the end in any order.
    let closed = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    assert!(closed, "nobody is accepted any more");
    slow.write_all(b"t_ty").unwrap();
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    assert!(text.to_lowercase().contains("connection: close"), "{text}");
    let (code, lines) = server.wait();
    assert_eq!(code, 0, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("\"msg\":\"stopped\"")), "{lines:?}");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let (_db, program) = deployed().await;
    let program = program.variable("VESTIBULE_SERVER__SHUTDOWN__GRACE", "60s");
    let (_program, mut server, port) = serve(program);
    let _hanging = speak(port, UNFINISHED);
    server.signal(Signal::TERM);
    server.until("\"msg\":\"stopping\"");
    server.signal(Signal::INT);
    assert_eq!(server.wait().0, 130);
}

#[tokio::test]
async fn no_log_line_holds_a_secret() {
    const CANARY: &str = "c4n4ry";
    let (_db, program) = deployed().await;
    let made = program.run(&["instance", "create", "--name", "dev", "--json"]).expect(0).json();
    let secret_key = made["secret_key"].as_str().unwrap().to_owned();
    let program = program.variable("VESTIBULE_LOG", "trace");
    let (program, server, port) = serve(program);
    let browser = Browser::new(Ports::new(vec![port]));
    let url = |path: &str| format!("http://dev.localhost:{port}{path}");
    let local = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let requests = [
        browser.raw(Method::GET, &local(&format!("/v1/client?rotating_token_nonce={CANARY}"))),
        browser.raw(Method::GET, &local("/v1/client")).header("cookie", format!("__client={CANARY}")),
        browser.raw(Method::GET, &local("/v1/users")).bearer_auth(&secret_key),
        browser.raw(Method::GET, &local("/v1/users")).bearer_auth(format!("sk_live_{CANARY}")),
        browser.raw(Method::GET, &local("/oauth/userinfo")).bearer_auth(format!("oat_{CANARY}")),
        browser.raw(Method::GET, &local(&format!("/v1/oauth_callback?state={CANARY}&code={CANARY}"))),
        browser.raw(Method::GET, &local(&format!("/v1/users/{CANARY}"))).bearer_auth(&secret_key),
        browser.raw(Method::POST, &local("/oauth/token")).form(&[
            ("grant_type", "authorization_code"),
            ("code", CANARY),
            ("client_secret", CANARY),
        ]),
        browser.raw(Method::POST, &local("/v1/oauth_applications")).bearer_auth(&secret_key).body(CANARY),
    ];
    for request in requests {
        let request = request.header("host", url("").trim_start_matches("http://").to_owned());
        let answer = send(request).await;
        assert!(answer.status.as_u16() < 500, "{answer:?}");
    }
    drop(program);
    let (code, lines) = server.stop();
    assert_eq!(code, 0);
    let served = lines.iter().filter(|line| line.contains("\"msg\":\"request\"")).count();
    assert!(served >= 9, "{served} lines of requests in {lines:?}");
    for line in &lines {
        assert!(!line.contains(CANARY) && !line.contains(&secret_key), "{line}");
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(line["ts"].is_string() && line["level"].is_string() && line["msg"].is_string(), "{line}");
    }
}
