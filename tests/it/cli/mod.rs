//! The command line: the built program in folders of its own.

mod commands;
mod dev;
mod failures;
mod serve;

use crate::support::TestDb;
use crate::support::program::Program;
use vestibule::crypto::{ExposeSecret, RingEntry, SystemRng};

/// A key ring as `VESTIBULE_KEYS` has it.
fn ring() -> String {
    RingEntry::generate(&SystemRng).to_setting().expose_secret().to_owned()
}

/// A program with a database of its own, migrated, and a key ring.
async fn deployed() -> (TestDb, Program) {
    let db = TestDb::new().await;
    let program = Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &ring());
    (db, program)
}

/// A database without the schema.
async fn empty_database() -> TestDb {
    let db = TestDb::new().await;
    let pool = db.pool().await;
    sqlx::query("drop schema vestibule cascade").execute(&pool).await.unwrap();
    pool.close().await;
    db
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
