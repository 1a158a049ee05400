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
async fn it_is_dropped_with_its_value_and_stored_when_the_test_fails() {
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
    assert!(exists(&pool, &name).await, "left for a look");
    sqlx::query(AssertSqlSafe(format!("drop database {name}"))).execute(&pool).await.unwrap();
}

#[tokio::test]
async fn the_invariants_notice_what_is_broken() {
    let app = crate::support::TestApp::start().await;
    let db = &app.app().db;
    let instance = app.instance.as_str();
    assert_eq!(app.broken_invariants().await, Vec::<String>::new());
    let put = "insert into handshakes (instance_id, hash, directives_sealed, expires_at) values ($1, $2, $3, now())";
    sqlx::query(put).bind(instance).bind(&[1_u8; 32][..]).bind(&[1_u8; 60][..]).execute(db).await.unwrap();
    sqlx::query(put).bind("ins_gone").bind(&[2_u8; 32][..]).bind(&[1_u8; 60][..]).execute(db).await.unwrap();
    sqlx::query("insert into counters (instance_id, name, shard, value) values ($1, 'users', 0, 7)")
        .bind(instance)
        .execute(db)
        .await
        .unwrap();
    let broken = app.broken_invariants().await.join("\n");
    for part in
        ["handshakes.directives_sealed", "row of no instance in handshakes: ins_gone", "users counted 7, there are 0"]
    {
        assert!(broken.contains(part), "{part}: {broken}");
    }
    sqlx::raw_sql("delete from handshakes; delete from counters").execute(db).await.unwrap();
}

/// Lookups of tokens and rows begin with the instance: no unique key may span instances, except where it finds one.
#[tokio::test]
async fn every_unique_key_names_the_instance() {
    let db = TestDb::new().await;
    let without: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_index x join pg_class c on c.oid = x.indexrelid
             join pg_class t on t.oid = x.indrelid join pg_namespace n on n.oid = t.relnamespace
         where n.nspname = 'vestibule' and x.indisunique and t.relname <> '_sqlx_migrations'
             and not exists (select from pg_attribute a where a.attrelid = t.oid and a.attname = 'instance_id'
                             and a.attnum = x.indkey[0])
         order by 1",
    )
    .fetch_all(&db.pool().await)
    .await
    .unwrap();
    let directory = [
        "instance_hosts_pkey",
        "instances_environment_key",
        "instances_name_key",
        "instances_pkey",
        "instances_publishable_key_key",
        "jobs_pkey",
        "ring_keys_pkey",
        "secret_keys_hash_key",
    ];
    assert_eq!(without, directory);
}
