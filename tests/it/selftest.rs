//! The self-test walks its journeys on an instance of its own, and leaves nothing of it behind.

use vestibule::cli::selftest::{Target, walk};
use vestibule::crypto::Secret;
use vestibule::model::id::InstanceId;
use vestibule::store::{InstanceConnection, erase};

use crate::support::TestApp;

#[tokio::test]
async fn the_walk_succeeds_and_its_instance_leaves_no_row() {
    let app = TestApp::start().await;
    let secret_key = app.second_instance().await;
    let origin: String = sqlx::query_scalar("select frontend_api_origin from instances where name = 'other'")
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    let target = Target { origin: origin.parse().unwrap(), secret_key: Secret::from(secret_key) };
    let mut steps = Vec::new();
    let walked = walk(&target, &mut |step| steps.push(step.name)).await;
    assert!(walked.is_ok(), "{} after {steps:?}", walked.unwrap_err());
    assert!(steps.len() >= 12, "{steps:?}");

    let id: String =
        sqlx::query_scalar("select id from instances where name = 'other'").fetch_one(&app.app().db).await.unwrap();
    // Flow steps are written off the requests' path.
    app.app().recorder.flush().await;
    let mut connection = app.app().db.acquire().await.unwrap();
    let instance = InstanceId::parse(&id).unwrap();
    erase::instance(&mut InstanceConnection::on(&mut connection, &instance, time::Duration::ZERO)).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.columns join information_schema.tables using (table_schema, table_name)
         where table_schema = 'vestibule' and column_name = 'instance_id' and table_type = 'BASE TABLE'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(tables.len() > 25);
    for table in tables {
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table} where instance_id = $1")))
                .bind(&id)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
        assert_eq!(left, 0, "{table} still holds rows");
    }
}

#[tokio::test]
async fn a_failed_step_is_named() {
    let app = TestApp::start().await;
    sqlx::query("update provider_configs set enabled = false where provider = 'notion'")
        .execute(&app.app().db)
        .await
        .unwrap();
    let target = Target { origin: app.origin().parse().unwrap(), secret_key: Secret::from(app.secret_key.clone()) };
    let failed = walk(&target, &mut |_| {}).await.unwrap_err();
    assert_eq!(failed.step, "sign up with Notion");
    assert!(failed.to_string().contains("oauth_provider_not_enabled"), "{failed}");
}
