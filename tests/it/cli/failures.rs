//! Every failure has its exit code and one message that names the cause and the next step.

use super::{deployed, empty_database, ring};
use crate::support::TestDb;
use crate::support::program::Program;

#[test]
fn wrong_usage_is_2() {
    let program = Program::new();
    for arguments in [&["frobnicate"][..], &["serve", "--port", "1"], &["migrate", "sideways"], &["instance"]] {
        let finished = program.run(arguments).expect(2);
        assert!(finished.stdout.is_empty(), "{arguments:?}: {}", finished.stdout);
    }
    assert!(program.run(&["--help"]).expect(0).stdout.contains("selftest"));
}

#[test]
fn mistakes_in_the_configuration_are_3_and_reported_together() {
    let program = Program::new()
        .variable("VESTIBULE_SERVER__REQUEST_TIMEOUT", "soon")
        .variable("VESTIBULE_DATABSE__URL", "postgres://u:c4n4ry@h/d");
    let finished = program.run(&["serve"]).expect(3);
    assert!(finished.stderr.contains("2 mistakes"), "{}", finished.stderr);
    assert!(finished.stderr.contains("did you mean VESTIBULE_DATABASE__URL?"), "{}", finished.stderr);
    assert!(finished.stderr.contains("500ms, 30s, 10m"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("c4n4ry"), "{}", finished.stderr);
}

#[test]
fn a_server_needs_keys_and_a_database() {
    let finished = Program::new().run(&["serve"]).expect(3);
    assert!(finished.stderr.contains("key ring") && finished.stderr.contains("openssl"), "{}", finished.stderr);
    let program = Program::new()
        .variable("VESTIBULE_KEYS", &ring())
        .variable("VESTIBULE_SERVER__LISTEN", "localhost:0")
        .variable("VESTIBULE_SERVER__INTERNAL_LISTEN", "");
    let finished = program.run(&["serve"]).expect(3);
    assert!(finished.stderr.contains("DATABASE_URL"), "{}", finished.stderr);
    let finished = program.run(&["instance", "list"]).expect(3);
    assert!(finished.stderr.contains("vestibule dev"), "{}", finished.stderr);
}

#[test]
fn an_unreachable_database_is_4() {
    let program = Program::new()
        .database("postgres://u:c4n4ry@127.0.0.1:1/d")
        .variable("VESTIBULE_DATABASE__CONNECT_TIMEOUT", "100ms");
    let finished = program.run(&["migrate"]).expect(4);
    assert!(finished.stderr.contains("127.0.0.1:1"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("c4n4ry"), "{}", finished.stderr);
}

#[test]
fn no_postgresql_programs_for_dev_is_4() {
    let program = Program::new().variable("VESTIBULE_PG_BIN", "/nowhere");
    let finished = program.run(&["dev", "--port", "0"]).expect(4);
    assert!(finished.stderr.contains("VESTIBULE_PG_BIN"), "{}", finished.stderr);
    assert!(finished.stderr.contains("docker compose up"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_missing_schema_is_5_until_it_is_migrated() {
    let db = empty_database().await;
    let program = Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &ring());
    let finished = program.run(&["instance", "list"]).expect(5);
    assert!(finished.stderr.contains("vestibule migrate"), "{}", finished.stderr);
    let steps = program.run(&["migrate", "status", "--json"]).expect(5).json();
    assert_eq!((&steps[0]["version"], &steps[0]["applied"]), (&1.into(), &false.into()));
    assert!(program.run(&["migrate", "--json"]).expect(0).json()["ran"].as_u64().unwrap() >= 1);
    assert_eq!(program.run(&["migrate", "--json"]).expect(0).json()["ran"], 0);
    program.run(&["migrate", "status"]).expect(0);
    program.run(&["instance", "list"]).expect(0);
}

#[tokio::test]
async fn a_busy_port_is_1_and_names_who_has_it() {
    let (_db, program) = deployed().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let finished = program.run(&["dev", "--port", &port]).expect(1);
    assert!(finished.stderr.contains(&format!("127.0.0.1:{port}")), "{}", finished.stderr);
    if cfg!(target_os = "linux") {
        assert!(finished.stderr.contains(&format!("process {}", std::process::id())), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_ring_of_another_database_is_refused() {
    let (db, program) = deployed().await;
    program.run(&["instance", "create"]).expect(0);
    let foreign = Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &ring());
    let finished = foreign.run(&["instance", "list"]).expect(3);
    assert!(finished.stderr.contains("none of which is configured"), "{}", finished.stderr);
    let known = program.run(&["instance", "list"]).expect(0);
    assert!(known.stdout.contains("development"), "{}", known.stdout);
}

#[tokio::test]
async fn a_wrong_secret_under_a_known_id_is_refused() {
    let db = TestDb::new().await;
    let secret = |ring: &str| ring.split_once(':').unwrap().1.to_owned();
    let with = |secret: &str| Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &format!("k1:{secret}"));
    let right = secret(&ring());
    with(&right).run(&["instance", "list"]).expect(0);
    let finished = with(&secret(&ring())).run(&["instance", "list"]).expect(3);
    assert!(finished.stderr.contains("\"k1\" has another secret"), "{}", finished.stderr);
    with(&right).run(&["instance", "list"]).expect(0);
}

#[tokio::test]
async fn dev_refuses_what_looks_like_production() {
    let (_db, program) = deployed().await;
    let program = program.variable("VESTIBULE_SERVER__LISTEN", "0.0.0.0:0");
    let finished = program.run(&["dev"]).expect(3);
    assert!(finished.stderr.contains("--listen-anyway"), "{}", finished.stderr);
    let new = ["instance", "create", "--type", "production", "--frontend-api", "https://clerk.example.com"];
    program.run(&new).expect(0);
    let finished = program.run(&["dev", "--port", "0"]).expect(3);
    assert!(finished.stderr.contains("production instance \"main\""), "{}", finished.stderr);
    let finished = program.run(&["dev", "--port", "0", "--reset", "--yes"]).expect(3);
    assert!(finished.stderr.contains("production"), "{}", finished.stderr);
    let served = program
        .variable("VESTIBULE_DEV__PAGES", "true")
        .variable("VESTIBULE_SERVER__INTERNAL_LISTEN", "")
        .run(&["serve"])
        .expect(3);
    assert!(served.stderr.contains("dev.pages"), "{}", served.stderr);
}
