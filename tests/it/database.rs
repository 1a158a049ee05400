//! The tests' own databases: separate, complete, gone afterwards.

use crate::support::TestDb;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

async fn instances(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from instances").fetch_one(pool).await.unwrap()
}

async fn exists(pool: &PgPool, name: &str) -> bool {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn each_test_has_its_own_database_with_the_schema() {
    let (one, other) = (TestDb::new().await, TestDb::new().await);
    let (one, other) = (one.pool().await, other.pool().await);
    let insert = "insert into instances (id, application_id, name, environment_type, key_form, publishable_key,
                  frontend_api_origin, created_at, updated_at)
                  values ('ins_1', 'app_1', 'dev', 'development', 'test', 'pk', 'http://localhost', now(), now())";
    sqlx::query(insert).execute(&one).await.unwrap();
    assert_eq!((instances(&one).await, instances(&other).await), (1, 0));
}

#[tokio::test]
async fn a_child_process_reaches_it_by_url() {
    let db = TestDb::new().await;
    let mut connection = PgConnection::connect(&db.url()).await.unwrap();
    let path: String = sqlx::query_scalar("show search_path").fetch_one(&mut connection).await.unwrap();
    assert_eq!(path, "vestibule,public");
    sqlx::query("select id from instances").execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn it_is_dropped_with_its_value_and_kept_when_the_test_fails() {
    let witness = TestDb::new().await;
    let pool = witness.pool().await;
    let dropped = TestDb::new().await;
    let open = dropped.pool().await;
    let name = dropped.options().get_database().unwrap().to_owned();
    assert!(exists(&pool, &name).await);
    drop(dropped);
    assert!(!exists(&pool, &name).await, "dropped although a pool is open on it");
    open.close().await;

    let failed = TestDb::new().await;
    let name = failed.options().get_database().unwrap().to_owned();
    let panic = std::thread::spawn(move || {
        let _database = failed;
        panic!("a test that fails (part of this test)");
    });
    assert!(panic.join().is_err());
    assert!(exists(&pool, &name).await, "kept for a look");
    sqlx::query(AssertSqlSafe(format!("drop database {name}"))).execute(&pool).await.unwrap();
}
