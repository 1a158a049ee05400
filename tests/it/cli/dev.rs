//! `vestibule dev`: one command from an empty folder to a server, and the same again.

use super::{deployed, free_port};
use crate::support::browser::{Browser, Ports};
use crate::support::program::{Program, Running};
use crate::support::send;
use http::Method;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The environment lines of an announcement, once the server is ready.
fn environment(server: &mut Running) -> BTreeMap<String, String> {
    let names =
        ["CLERK_PUBLISHABLE_KEY", "CLERK_SECRET_KEY", "CLERK_API_URL", "CLERK_PROXY_URL", "CLERK_TELEMETRY_DISABLED"];
    let lines = names.map(|name| server.until(&format!("{name}=")));
    lines.iter().map(|line| line.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

async fn users(environment: &BTreeMap<String, String>) -> u16 {
    let url = format!("{}/v1/users/count", environment["CLERK_API_URL"]);
    let browser = Browser::new(Ports::new(Vec::new()));
    let answer = send(browser.raw(Method::GET, &url).bearer_auth(&environment["CLERK_SECRET_KEY"])).await;
    assert_eq!(answer.json()["total_count"], 2, "{}", answer.text);
    answer.status.as_u16()
}

fn postmaster(folder: &Path) -> i32 {
    let text = fs::read_to_string(folder.join(".vestibule/pg/data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

fn is_gone(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

#[tokio::test]
async fn an_empty_folder_becomes_a_server_and_stays_one() {
    let program = Program::new();
    let port = free_port().to_string();
    let mut first = program.start(&["dev", "--port", &port, "--env-file", ".env.local"]);
    let given = environment(&mut first);
    for line in ["private database made", "private database started", "schema migrated", " s  ready"] {
        first.until(line);
    }
    assert_eq!(given["CLERK_API_URL"], format!("http://localhost:{port}"));
    assert!(given["CLERK_PUBLISHABLE_KEY"].starts_with("pk_live_"), "{given:?}");
    assert_eq!(users(&given).await, 200);

    let mode = |name: &str| fs::metadata(program.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(".vestibule") & 0o066, 0);
    assert_eq!((mode(".vestibule/keys.toml"), mode(".vestibule/dev.env"), mode(".env.local")), (0o600, 0o600, 0o600));
    assert_eq!(fs::read_to_string(program.path(".vestibule/.gitignore")).unwrap(), "*\n");
    let written = fs::read_to_string(program.path(".env.local")).unwrap();
    assert!(given.iter().all(|(name, value)| written.contains(&format!("{name}={value}\n"))), "{written}");

    // Commands join the running database; a second process beside it changes nothing.
    let shown = program.run(&["instance", "env", "dev"]).expect(0).stdout;
    assert!(shown.contains(&given["CLERK_SECRET_KEY"]), "{shown}");
    let mut beside = program.start(&["dev", "--port", "0"]);
    assert_eq!(environment(&mut beside), given);
    beside.until("This replica");
    assert_eq!(beside.stop().0, 0);
    assert_eq!(users(&given).await, 200, "the first one goes on");

    let pid = postmaster(program.folder());
    let (code, lines) = first.stop();
    assert_eq!(code, 0, "{lines:?}");
    assert!(is_gone(pid), "the database ends with its server");

    // A later start on another port moves the instance with it and keeps the secret key.
    let other = free_port().to_string();
    let mut second = program.start(&["dev", "--port", &other]);
    let moved = environment(&mut second);
    assert_eq!(moved["CLERK_SECRET_KEY"], given["CLERK_SECRET_KEY"]);
    assert_eq!(moved["CLERK_API_URL"], format!("http://localhost:{other}"));
    assert_eq!(users(&moved).await, 200);

    // Killed without warning, it leaves no database behind.
    let pid = postmaster(program.folder());
    second.signal(rustix::process::Signal::KILL);
    second.wait();
    let killed = Instant::now();
    while !is_gone(pid) {
        assert!(killed.elapsed() < Duration::from_secs(20), "PostgreSQL is left behind");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let refused = program.run(&["dev", "--port", "0", "--reset"]).expect(2);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let mut fresh = program.start(&["dev", "--port", "0", "--reset", "--yes"]);
    let renewed = environment(&mut fresh);
    assert_ne!(renewed["CLERK_SECRET_KEY"], given["CLERK_SECRET_KEY"]);
    assert_eq!(users(&renewed).await, 200);
    drop(fresh);
    let conflict = program.run(&["dev", "--port", "0", "--env-file", ".env.local"]).expect(1);
    assert!(conflict.stderr.contains("CLERK_SECRET_KEY") && conflict.stderr.contains("--force"), "{}", conflict.stderr);
}

#[tokio::test]
async fn a_configured_database_is_used_and_announced_in_few_lines() {
    let (_db, program) = deployed().await;
    let mut server = program.start(&["dev", "--port", "0"]);
    let given = environment(&mut server);
    assert_eq!(users(&given).await, 200);
    program.run(&["selftest"]).expect(0);
    assert!(server.answered().len() <= 25, "{:?}", server.answered());
    assert_eq!(server.stop().0, 0);
    assert!(!program.path(".vestibule/pg").exists());
    let mut again = program.start(&["dev", "--port", "0", "--json"]);
    again.until("CLERK_PROXY_URL");
    again.until("secret_key");
    again.signal(rustix::process::Signal::TERM);
    assert_eq!(again.wait().0, 0);
    // One document and nothing else: what is said to people goes to standard error.
    let document: serde_json::Value = serde_json::from_str(&again.answered().concat()).unwrap();
    assert_eq!(document["environment"]["CLERK_SECRET_KEY"], given["CLERK_SECRET_KEY"].as_str());
}

#[tokio::test]
async fn simulations_are_chosen() {
    let (_db, program) = deployed().await;
    let enabled = |program: &Program| {
        let list = program.run(&["provider", "list", "--json"]).expect(0).json();
        let on = list.as_array().unwrap().iter().filter(|one| one["enabled"] == true);
        on.map(|one| one["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (choice, wanted) in [("notion", vec!["notion"]), ("none", vec![]), ("all", vec!["github", "google", "notion"])]
    {
        let mut server = program.start(&["dev", "--port", "0", "--simulate", choice]);
        server.until("CLERK_TELEMETRY_DISABLED");
        assert_eq!(enabled(&program), wanted, "{choice}");
        assert_eq!(server.stop().0, 0);
    }
    let finished = program.run(&["dev", "--port", "0", "--simulate", "nosuch"]).expect(2);
    assert!(finished.stderr.contains("google, notion"), "{}", finished.stderr);
}
