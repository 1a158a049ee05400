//! Sign-ins by password against the server as it is released, with the sign-ins that 1, 4, 8 and 32 clients complete at
//! once, and the memory that the server holds before, during and after.
//!
//!     cargo bench --bench password
//!
//! Starts `vestibule dev` over a private database in a temporary folder, and takes three minutes after the build. A client
//! signs in again and again, each time as a new browser by the two requests of the protocol. One that is refused because
//! too many wait begins again: after what `Retry-After` says ("patient"), or at once ("impatient"), which no client should.
//! Nothing else should run on the machine; what counts are the ratios.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "not the product")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{COOKIE, ORIGIN, RETRY_AFTER, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use vestibule::crypto::Secret;
use vestibule::crypto::password::{Cost, Passwords};

const PASSWORD: &str = "blauwale fliegen nie";
const APP: &str = "http://localhost:3000";
const CLIENTS: [usize; 4] = [1, 4, 8, 32];
const ROUND: Duration = Duration::from_secs(5);
/// How often each round is run, one after the other; the median counts.
const TIMES: usize = 3;

/// A server in a folder of its own, which ends with this value.
struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn vestibule(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.current_dir(folder).env("VESTIBULE_DEV__DATA_DIR", folder.join("data"));
    for name in ["CREATE_ATTEMPT", "ATTEMPT_PROOF", "FAILED_PROOFS"] {
        // Out of the way, and evaluated.
        command.env(format!("VESTIBULE_LIMITS__{name}"), "1000000/10s");
    }
    command
}

async fn start(http: &Client) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = vestibule(folder.path());
    command.args(["--quiet", "dev", "--port", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let server = Server { child, url: format!("http://localhost:{port}"), _folder: folder };
    let begun = Instant::now();
    while !http
        .get(format!("{}/v1/environment", server.url))
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "the server does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let settings = ["attributes.password.enabled=true", "attributes.email_address.verify_at_sign_up=false"];
    let set = vestibule(server._folder.path()).args(["--quiet", "instance", "set"]).args(settings).status().unwrap();
    assert!(set.success());
    // What the server remembers of its instance lives a few seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    server
}

async fn post(http: &Client, server: &str, path: &str, cookie: Option<&str>, form: &[(&str, &str)]) -> Response {
    let mut request = http.post(format!("{server}/v1/client/{path}")).header(ORIGIN, APP).form(form);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    request.send().await.unwrap()
}

fn address(user: usize) -> String {
    format!("user{user}@example.com")
}

/// One sign-in: how long a refused one should wait.
async fn sign_in(http: &Client, server: &str, user: usize) -> Result<(), Duration> {
    let begun = post(http, server, "sign_ins", None, &[("identifier", &address(user))]).await;
    assert_eq!(begun.status(), StatusCode::OK, "{}", begun.text().await.unwrap());
    let cookies = begun.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned());
    let cookie =
        cookies.filter_map(|line| Some(line.split_once(';')?.0.to_owned())).find(|pair| pair.starts_with("__client="));
    let id = begun.json::<serde_json::Value>().await.unwrap()["response"]["id"].as_str().unwrap().to_owned();
    let fields = [("strategy", "password"), ("password", PASSWORD)];
    let path = format!("sign_ins/{id}/attempt_first_factor");
    let done = post(http, server, &path, Some(&cookie.unwrap()), &fields).await;
    match done.status() {
        StatusCode::OK => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = done.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            Err(Duration::from_secs(seconds))
        }
        status => panic!("{status}: {}", done.text().await.unwrap()),
    }
}

/// Sign-ins a second that `clients` complete, and refusals a second.
async fn round(http: &Client, server: &Server, clients: usize, is_patient: bool) -> (f64, f64) {
    let (done, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let until = Instant::now() + ROUND;
    let clients = (0..clients).map(|user| {
        let (http, url) = (http.clone(), server.url.clone());
        let (done, refused) = (Arc::clone(&done), Arc::clone(&refused));
        tokio::spawn(async move {
            while Instant::now() < until {
                match sign_in(&http, &url, user).await {
                    Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                    Err(wait) => {
                        if is_patient {
                            tokio::time::sleep(wait.min(until.saturating_duration_since(Instant::now()))).await;
                        }
                        refused.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
        })
    });
    let begun = Instant::now();
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let a_second = |count: &AtomicUsize| {
        f64::from(u32::try_from(count.load(Ordering::Relaxed)).unwrap()) / begun.elapsed().as_secs_f64()
    };
    (a_second(&done), a_second(&refused))
}

/// Resident memory of the server, in MB.
fn resident(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// What the machine could do if it did nothing but hash.
async fn bare() -> f64 {
    let cores = std::thread::available_parallelism().unwrap().get();
    let pool = Arc::new(Passwords::new(Cost::default(), cores));
    let (password, count) = (Secret::from(PASSWORD.to_owned()), 40 * cores);
    let begun = Instant::now();
    let hashes = (0..cores).map(|_| {
        let (pool, password) = (Arc::clone(&pool), password.clone());
        tokio::spawn(async move {
            for _ in 0..count / cores {
                pool.place().unwrap().pretend(&password).await.unwrap();
            }
        })
    });
    for hash in hashes.collect::<Vec<_>>() {
        hash.await.unwrap();
    }
    f64::from(u32::try_from(count).unwrap()) / begun.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:>28} {:>8.1} hashes/s", "nothing but hashes", bare().await);
    #[expect(clippy::disallowed_methods, reason = "asks the server that it started")]
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let server = start(&http).await;
    for user in 0..CLIENTS.iter().copied().max().unwrap() {
        let fields = [("email_address", address(user)), ("password", PASSWORD.to_owned())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let made = post(&http, &server.url, "sign_ups", None, &fields).await;
        assert_eq!(made.status(), StatusCode::OK, "{}", made.text().await.unwrap());
    }
    // Every connection to the database plans its statements a few times before it keeps the plans.
    round(&http, &server, 32, false).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = resident(&server);
    let kinds = CLIENTS.iter().flat_map(|clients| [(*clients, true), (*clients, false)]).collect::<Vec<_>>();
    let mut rounds = vec![Vec::new(); kinds.len()];
    for _ in 0..TIMES {
        for ((clients, is_patient), rounds) in kinds.iter().zip(&mut rounds) {
            rounds.push(round(&http, &server, *clients, *is_patient).await);
        }
    }
    let busy = resident(&server);
    for rounds in &mut rounds {
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    let peak = rounds.iter().map(|rounds| rounds[TIMES / 2].0).fold(0.0, f64::max);
    for ((clients, is_patient), rounds) in kinds.iter().zip(rounds) {
        let ((done, refused), manner) = (rounds[TIMES / 2], if *is_patient { "patient" } else { "impatient" });
        let spread = (rounds[0].0, rounds[TIMES - 1].0, done / peak);
        println!(
            "{clients:>8} clients, {manner:>9} {done:>8.1} sign-ins/s ({:.1} to {:.1}), {:.2} of the peak, {refused:.1} refused/s",
            spread.0, spread.1, spread.2
        );
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!(
        "{:>28} {idle:>8.1} MB before, {busy:.1} MB busy, {:.1} MB after five seconds",
        "resident",
        resident(&server)
    );
}
