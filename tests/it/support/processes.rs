//! Server processes of their own over a test's database, to be killed at any moment.
//!
//! [`TestApp::processes`](super::TestApp::processes) starts them; everything that works with a `TestApp` works then,
//! with each request served by one process or the other. To kill: let the first process be what survives, for the
//! simulated providers live there (the instance's origin is its address), and send what is to be cut off to the second
//! by [`Browser::try_get_at`](super::Browser::try_get_at) or `app.ports()[1]`:
//!
//! ```ignore
//! let app = TestApp::processes(2).await;
//! let cut = tokio::spawn(async move { browser.try_get_at(victim, &url).await }); // None: no answer came
//! random_pause(typical).await;
//! app.kill(1);
//! let (answer, ()) = tokio::join!(cut, app.restart(1));
//! ```
//!
//! The simulator's counters (`GET /_dev/providers/<slug>/state`) then say what the provider saw.

use super::program::{Program, Running};
use rustix::process::Signal;
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use vestibule::crypto::SystemRng;
use vestibule::model::random::Rng;

/// How long a process may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ports below those that the system hands out: nobody takes one while its process is down.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// The processes.
pub struct Processes(Vec<Process>);

struct Process {
    port: u16,
    program: Program,
    running: Mutex<Option<Running>>,
}

impl Processes {
    /// So many, on free ports, over this database, not running yet.
    pub fn over(count: usize, database: &str, ring: &str, further: &[(&str, &str)]) -> Self {
        let process = |_| {
            let port = free_port();
            let program = Program::new().database(database).variable("VESTIBULE_KEYS", ring);
            let settings = [
                ("VESTIBULE_SERVER__LISTEN", format!("localhost:{port}")),
                ("VESTIBULE_SERVER__INTERNAL_LISTEN", "localhost:0".to_owned()),
                ("VESTIBULE_SERVER__SHUTDOWN__DRAIN", "0s".to_owned()),
                ("VESTIBULE_DATABASE__MAX_CONNECTIONS", "8".to_owned()),
                ("VESTIBULE_OUTBOUND__ALLOW", "loopback".to_owned()),
                ("VESTIBULE_LIMITS__RELAXED", "true".to_owned()),
                ("VESTIBULE_DEV__PAGES", "true".to_owned()),
                ("VESTIBULE_LOG__LEVEL", "warn".to_owned()),
            ];
            let with = |program: Program, (name, value): &(&str, String)| program.variable(name, value);
            let program = settings.iter().fold(program, with);
            let program = further.iter().fold(program, |program, (name, value)| program.variable(name, value));
            Process { port, program, running: Mutex::new(None) }
        };
        Self((0..count).map(process).collect())
    }

    /// Their ports.
    pub fn ports(&self) -> Vec<u16> {
        self.0.iter().map(|process| process.port).collect()
    }

    /// Starts one that does not run, and waits until it listens.
    pub async fn start(&self, at: usize) {
        let process = &self.0[at];
        let running = process.program.start(&["serve"]);
        let was_running = process.running.lock().unwrap().replace(running);
        assert!(was_running.is_none(), "process {at} runs already");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", process.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "process {at} does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts all of them.
    pub async fn start_all(&self) {
        futures_util::future::join_all((0..self.0.len()).map(|at| self.start(at))).await;
    }

    /// Ends one by SIGTERM, and waits until it has finished what it had.
    pub async fn terminate(&self, at: usize) {
        let running = self.0[at].running.lock().unwrap().take().expect("a running process");
        let ended = tokio::task::spawn_blocking(move || running.stop()).await.unwrap();
        assert_eq!(ended.0, 0, "{:?}", ended.1);
    }

    /// Ends one by SIGKILL: it is gone when this returns.
    pub fn kill(&self, at: usize) {
        let running = self.0[at].running.lock().unwrap().take().expect("a running process");
        running.signal(Signal::KILL);
        // Waits for its end, too.
        drop(running);
    }
}

/// Pauses for a random time up to `longest`.
pub async fn random_pause(longest: Duration) {
    let mut bytes = [0; 8];
    SystemRng.fill(&mut bytes);
    let longest = u64::try_from(longest.as_micros()).unwrap().max(1);
    tokio::time::sleep(Duration::from_micros(u64::from_le_bytes(bytes) % longest)).await;
}

/// `VESTIBULE_KILLS` kills, or a hundredth of the full count in an ordinary run.
pub fn kills() -> u32 {
    std::env::var("VESTIBULE_KILLS").map_or(10, |kills| kills.parse().expect("a number of kills"))
}

/// `VESTIBULE_ROUNDS` rounds of a race, or a hundredth of the full count in an ordinary run.
pub fn rounds() -> u32 {
    std::env::var("VESTIBULE_ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number of rounds"))
}

impl super::TestApp {
    /// Gathers the planner's statistics at every fiftieth round, as a server does by itself that runs for hours.
    /// Without them a table that has grown since the start is read as if it were empty, and long runs take three times
    /// as long.
    pub async fn gather_statistics(&self, round: u32) {
        if round % 50 == 49 {
            sqlx::query("analyze").execute(&self.app().db).await.unwrap();
        }
    }
}

fn free_port() -> u16 {
    let mut bytes = [0; 8];
    loop {
        SystemRng.fill(&mut bytes);
        let port = PORTS.start + u64::from_le_bytes(bytes) % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
