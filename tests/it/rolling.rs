//! Replicas that are restarted one after the other, behind a reverse proxy that is set up as docs/behind-a-proxy.md says.
//!
//! An ordinary run restarts each of two replicas once. `VESTIBULE_FULL=1` does so twelve times at 500 requests a second
//! with the server's own drain, and prints what was measured (docs/behind-a-proxy.md).

use crate::support::TestApp;
use crate::support::person::APP;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Debian's nginx, in front of the replicas.
struct Nginx {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Nginx {
    async fn before(ports: &[u16]) -> Self {
        let permissions = std::fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(permissions).tempdir_in(crate::support::scratch()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let page = include_str!("../../docs/behind-a-proxy.md");
        let recommended = page.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a snippet");
        let servers: String = ports.iter().map(|port| format!("    server 127.0.0.1:{port} max_fails=0;\n")).collect();
        let listed = "    server 10.0.0.11:8484 max_fails=0;\n    server 10.0.0.12:8484 max_fails=0;\n";
        assert!(recommended.contains(listed), "the snippet changed");
        let site = recommended.replace(listed, &servers);
        let listens = "    listen 443 ssl;\n";
        assert!(site.contains(listens), "the snippet changed");
        let site = site.replace(listens, &format!("    listen 127.0.0.1:{port};\n"));
        let without: Vec<&str> = site.lines().filter(|line| !line.contains("ssl_certificate")).collect();
        // The test's browser speaks plain HTTP and names the instance's own port.
        let site = without.join("\n").replace("$scheme", "http").replace("$host;", "$http_host;");
        let path = folder.path().to_str().unwrap();
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .collect();
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let config = format!(
            "{user}daemon off;\nworker_processes 1;\npid {path}/pid;\nerror_log {path}/error.log warn;\n
             events {{ worker_connections 8192; }}\nhttp {{\naccess_log off;\n{places}{site}\n}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let child = Command::new(nginx())
            .args(["-p", path, "-c", &format!("{path}/nginx.conf"), "-e", &format!("{path}/error.log")])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self { child, port, folder };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "nginx does not listen: {}", nginx.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        nginx
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is asked.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Debian keeps it where only root's PATH looks.
fn nginx() -> &'static str {
    if std::path::Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}

/// How requests were answered, by kind and status; what failed, in words.
#[derive(Default)]
struct Answers {
    statuses: BTreeMap<(&'static str, u16), usize>,
    failed: Vec<String>,
}

const KINDS: [&str; 4] = ["keys", "token", "client", "sign in"];

/// Somebody's app on the other side of the proxy.
struct Caller {
    client: reqwest::Client,
    proxy: u16,
    host: String,
    session: String,
    cookies: String,
}

impl Caller {
    #[expect(clippy::disallowed_methods, reason = "the tests' own client is not the server's")]
    async fn of(app: &TestApp, proxy: u16) -> Self {
        let (browser, person) = (app.browser(), app.person("ada").await);
        let session = app.sign_in(&browser, &person).await;
        let cookies = format!("__client={}", browser.cookie("localhost", "__client").unwrap());
        let host = app.origin().trim_start_matches("http://").to_owned();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, proxy, host, session, cookies }
    }

    /// One request, a `POST` every other time.
    async fn send(&self, kind: &str) -> Result<u16, String> {
        let at = |path: &str| format!("http://127.0.0.1:{}{path}", self.proxy);
        let request = match kind {
            "keys" => self.client.get(at("/.well-known/jwks.json")),
            "client" => self.client.get(at("/v1/client")).header("cookie", &self.cookies),
            "token" => {
                let path = format!("/v1/client/sessions/{}/tokens", self.session);
                self.client.post(at(&path)).header("cookie", &self.cookies)
            }
            _ => self.client.post(at("/v1/client/sign_ins")).form(&[("identifier", "ada@example.com")]),
        };
        let request = request.header("host", &self.host).header("origin", APP).timeout(Duration::from_secs(20));
        let answer = request.send().await.map_err(|error| format!("{kind}: {error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| format!("{kind}: {status}, then {error:?}"))?;
        if status == 200 { Ok(status) } else { Err(format!("{kind}: {status} {text}")) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarting_replicas_behind_a_proxy_fails_no_request() {
    let is_full = std::env::var_os("VESTIBULE_FULL").is_some();
    let (rounds, rate, drain) = if is_full { (12, 500, "5s") } else { (1, 40, "1s") };
    // All requests come from one address, which may begin five sign-ins in ten seconds elsewhere.
    let settings = [("VESTIBULE_SERVER__SHUTDOWN__DRAIN", drain), ("VESTIBULE_LIMITS__CREATE_ATTEMPT", "0")];
    let app = TestApp::processes_with(2, &settings).await;
    let proxy = Nginx::before(&app.ports()).await;
    let caller = Arc::new(Caller::of(&app, proxy.port).await);
    let (answers, goes_on) = (Arc::new(Mutex::new(Answers::default())), Arc::new(AtomicBool::new(true)));
    let load = tokio::spawn(load(caller, rate, Arc::clone(&answers), Arc::clone(&goes_on)));
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The tests' PostgreSQL has no autovacuum: plans that were made for empty tables would stay for ever.
    sqlx::query("analyze").execute(&app.app().db).await.unwrap();
    for _ in 0..rounds {
        for at in 0..2 {
            app.terminate(at).await;
            app.restart(at).await;
            is_ready(app.ports()[at]).await;
        }
    }
    goes_on.store(false, Ordering::Relaxed);
    load.await.unwrap();
    let answers = answers.lock().unwrap();
    println!(
        "{} restarts in {:.0?}: {:?}, failed: {}",
        rounds * 2,
        begun.elapsed(),
        answers.statuses,
        answers.failed.len()
    );
    assert!(answers.failed.is_empty(), "{:#?}\n{}", answers.failed, proxy.log());
    assert!(KINDS.iter().all(|kind| answers.statuses.contains_key(&(*kind, 200))));
}

/// Waits until this replica answers `/readyz` with 200, as docs/behind-a-proxy.md asks of whoever restarts the next one.
#[expect(clippy::disallowed_methods, reason = "the tests' own client is not the server's")]
async fn is_ready(port: u16) {
    let begun = Instant::now();
    let url = format!("http://127.0.0.1:{port}/readyz");
    while !reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the replica on port {port} does not become ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// So many requests a second, however long their answers take.
async fn load(caller: Arc<Caller>, rate: u32, answers: Arc<Mutex<Answers>>, goes_on: Arc<AtomicBool>) {
    let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut sent = tokio::task::JoinSet::new();
    for kind in KINDS.into_iter().cycle() {
        if !goes_on.load(Ordering::Relaxed) {
            break;
        }
        clock.tick().await;
        let (caller, answers) = (Arc::clone(&caller), Arc::clone(&answers));
        sent.spawn(async move {
            let outcome = caller.send(kind).await;
            let mut answers = answers.lock().unwrap();
            match outcome {
                Ok(status) => *answers.statuses.entry((kind, status)).or_default() += 1,
                Err(failure) => answers.failed.push(failure),
            }
        });
        while sent.try_join_next().is_some() {}
    }
    while sent.join_next().await.is_some() {}
}

/// Reads until `has` holds of what came, or the connection ends.
async fn read_until(stream: &mut TcpStream, has: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut all = Vec::new();
    let mut bytes = [0; 4096];
    let reading = async {
        while !has(&all) {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(count) => all.extend_from_slice(&bytes[..count]),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it comes");
    all
}

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn from_the_beginning_of_the_drain_each_answer_is_the_last_of_its_connection() {
    let app = TestApp::start().await;
    let port = app.ports()[0];
    let is_whole = |bytes: &[u8]| bytes.ends_with(b"ok");
    let mut resting = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    resting.write_all(REQUEST).await.unwrap();
    let before = String::from_utf8(read_until(&mut resting, is_whole).await).unwrap();
    assert!(before.starts_with("HTTP/1.1 200") && !before.to_lowercase().contains("connection: close"), "{before}");
    app.drain();
    // A connection that rested, and a new one: answered, and then closed.
    let mut new = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for stream in [&mut resting, &mut new] {
        stream.write_all(REQUEST).await.unwrap();
        let last = String::from_utf8(read_until(stream, |_| false).await).unwrap();
        assert!(last.starts_with("HTTP/1.1 200") && last.to_lowercase().contains("connection: close"), "{last}");
    }
}

/// The types of the whole frames in `bytes` (RFC 9113 section 4.1).
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [a, b, c, kind, ..] = *bytes {
        let length = 9 + ((usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c));
        if bytes.len() < length {
            break;
        }
        types.push(kind);
        bytes = &bytes[length..];
    }
    types
}

#[tokio::test]
async fn from_the_beginning_of_the_drain_http2_is_reported_to_go_away() {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", app.ports()[0])).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let greeted = read_until(&mut stream, |bytes| frames(bytes).contains(&SETTINGS)).await;
    assert!(!frames(&greeted).contains(&GOAWAY));
    app.drain();
    let reported = read_until(&mut stream, |bytes| frames(bytes).contains(&GOAWAY)).await;
    assert!(frames(&reported).contains(&GOAWAY), "{:?}", frames(&reported));
}
