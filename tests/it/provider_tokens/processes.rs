//! Two server processes over one database.

use crate::flows::reasons;
use crate::support::Answer;
use crate::support::TestApp;
use crate::support::issuer::{Connected, Hold, Issuer, Rotation, stored};
use crate::support::program::{Program, Running};
use futures_util::future::join_all;
use rustix::process::Signal;
use std::time::Duration;

/// A number from the environment.
pub fn count(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A server process on the app's database.
pub struct Replica {
    /// Its port.
    pub port: u16,
    /// The process.
    pub running: Running,
    _program: Program,
}

impl Replica {
    /// Starts one that answers.
    pub fn start(app: &TestApp) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = Program::new()
            .database(&app.db.url())
            .variable("VESTIBULE_KEYS", &app.keys())
            .variable("VESTIBULE_SERVER__LISTEN", &format!("127.0.0.1:{port}"))
            .variable("VESTIBULE_SERVER__INTERNAL_LISTEN", "127.0.0.1:0")
            .variable("VESTIBULE_SERVER__SHUTDOWN__DRAIN", "0s")
            .variable("VESTIBULE_SERVER__SHUTDOWN__GRACE", "500ms")
            .variable("VESTIBULE_OUTBOUND__ALLOW", "loopback")
            .variable("VESTIBULE_LIMITS__RELAXED", "true");
        let mut running = program.start(&["serve"]);
        running.until("\"msg\":\"listening\"");
        Self { port, running, _program: program }
    }

    /// A backend's call, by a client of its own; `None` if the process died over it.
    pub async fn ask(&self, app: &TestApp, path: &str) -> Option<Answer> {
        ask(self.port, app, path).await
    }

    /// Kills it.
    pub fn kill(&mut self) -> i32 {
        let id = self.running.id();
        self.running.signal(Signal::KILL);
        self.running.wait();
        id
    }
}

/// The same without the replica in hand.
pub async fn ask(port: u16, app: &TestApp, path: &str) -> Option<Answer> {
    let url = format!("http://127.0.0.1:{port}{path}");
    loop {
        let request = app.browser().raw(http::Method::GET, &url).bearer_auth(&app.secret_key);
        let (client, request) = request.build_split();
        let response = client.execute(request.unwrap()).await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.ok()?;
        if status != 429 {
            return Some(Answer { url: url.parse().unwrap(), status, headers, text });
        }
        let seconds = headers["retry-after"].to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

#[tokio::test]
async fn fifty_parallel_calls_over_two_processes_are_one_refresh() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    let replicas = [Replica::start(&app), Replica::start(&app)];
    let rounds = count("VESTIBULE_ROUNDS", 5);
    for round in 1..=rounds {
        issuer.expire(&app, &ada).await;
        let path = ada.path();
        let calls = (0..50).map(|index| replicas[index % 2].ask(&app, &path));
        let answers: Vec<String> =
            join_all(calls).await.into_iter().map(|answer| answer.unwrap().expect(200).text).collect();
        assert!(answers[0].contains(&issuer.newest(&ada)));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "round {round}: {answers:?}");
        assert_eq!(issuer.asked(), u32::try_from(round).unwrap());
    }
    println!("provider tokens: {rounds} rounds of 50 calls over 2 processes, {} refreshes", issuer.asked());
}

/// Kills the process that refreshes while the provider holds `hold`; returns what the other one answers, and when.
async fn kill_the_leader(app: &TestApp, issuer: &Issuer, ada: &Connected, hold: Hold) -> Answer {
    let mut leader = Replica::start(app);
    let next = Replica::start(app);
    issuer.expire(app, ada).await;
    issuer.behave(|it| it.hold = hold);
    issuer.close();
    let (port, path) = (leader.port, ada.path());
    let killed = async {
        issuer.until_asked(1).await;
        leader.kill();
    };
    let (lost, ()) = futures_util::join!(ask(port, app, &path), killed);
    assert!(lost.is_none(), "the leader's caller is cut off");
    issuer.behave(|it| it.hold = Hold::Request);
    issuer.open();
    next.ask(app, &path).await.unwrap()
}

#[tokio::test]
async fn when_the_leader_dies_the_next_takes_over() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.behave(|it| it.rotation = Rotation::Grace);
    let answer = kill_the_leader(&app, &issuer, &ada, Hold::Request).await;
    assert_eq!(answer.expect(200).json()[0]["token"], issuer.newest(&ada));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn what_dies_with_the_leader_is_reported_lost() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    let answer = kill_the_leader(&app, &issuer, &ada, Hold::Answer).await;
    assert_eq!(answer.expect(400).error_code(), "oauth_token_retrieval_error");
    let health = app.backend_get(&ada.health()).await.json();
    assert_eq!(
        (&health["state"], &health["reason"]),
        (&"needs_reconnect".into(), &reasons::REFRESH_REFUSED_LOST.short().into())
    );
}

#[tokio::test]
async fn a_stopping_process_gives_its_lease_back() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.behave(|it| it.rotation = Rotation::Grace);
    let (leader, next) = (Replica::start(&app), Replica::start(&app));
    issuer.expire(&app, &ada).await;
    issuer.close();
    let (port, path) = (leader.port, ada.path());
    let stopped = async {
        issuer.until_asked(1).await;
        let Replica { running, _program: folder, .. } = leader;
        let stopped = tokio::task::spawn_blocking(move || running.stop()).await.unwrap();
        drop(folder);
        stopped
    };
    let (_, (code, _)) = futures_util::join!(ask(port, &app, &path), stopped);
    assert_eq!(code, 0);
    let left = "select count(*) from provider_tokens where instance_id = $1 and external_account_id = $2
        and refresh_lease_owner is not null and refresh_lease_until <= now()";
    assert_eq!(app.count(left, ada.account.as_str()).await, 1, "nobody need wait for it, and it is not forgotten");
    issuer.open();
    assert_eq!(next.ask(&app, &path).await.unwrap().expect(200).json()[0]["token"], issuer.newest(&ada));
    assert_eq!(stored(&app, &ada, "access_token_sealed").await, Some(issuer.newest(&ada)));
}
