//! A replay decides again and changes nothing: not a row of any table, on whatever kind of flow.

use std::collections::BTreeMap;

use super::reference;
use crate::native::{Native, come_back};
use crate::support::TestApp;
use crate::support::person::{approve, begin, go, provider_url, sign_up};

/// Every table with a fingerprint of its rows.
async fn contents(app: &TestApp) -> BTreeMap<String, (i64, Option<String>)> {
    app.app().recorder.flush().await;
    let db = &app.app().db;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = current_schema() order by 1",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert!(tables.len() > 30, "{tables:?}");
    let mut found = BTreeMap::new();
    for table in tables {
        let statement = format!("select count(*), string_agg(md5(t::text), '' order by md5(t::text)) from {table} t");
        let row = sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_one(db).await.unwrap();
        found.insert(table, row);
    }
    found
}

#[tokio::test]
async fn a_replay_writes_nothing_anywhere() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let mut flows = Vec::new();

    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    browser.get(callback).await.expect(303);
    flows.push(("a sign-up that made a user", reference(&begun)));
    let found = go(&app, &app.browser(), "sign_ins", "oauth_google", "new@example.com").await.expect(303);
    flows.push(("a transfer that waits", reference(&found)));
    let verification = go(&app, &app.browser(), "sign_ins", "oauth_notion", "ada@example.com").await.expect(303);
    flows.push(("a link that waits for its verification", reference(&verification)));
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_nope").await.expect(400);
    flows.push(("a refused start", reference(&refused)));
    sign_up(&app, &app.browser(), "oauth_google", "grace@example.com").await;
    let client = app.application(serde_json::json!({})).await;
    let asked = app.browser().get(app.authorize_url(&client, &[])).await.expect(302);
    flows.push(("an authorization", reference(&asked)));
    // The browser's part is over, and what it means was rehearsed; the application has not come for it.
    for (kind, person) in [("sign_ups", "mary@example.com"), ("sign_ins", "ada@example.com")] {
        let phone = Native::new(&app);
        let begun = phone.begin(kind, "oauth_google").await.expect(200);
        come_back(&app, provider_url(&begun), person).await;
        flows.push(("a native application's", reference(&begun)));
    }

    let before = contents(&app).await;
    for (what, flow) in &flows {
        let said = program.run(&["flow", "replay", flow, "--json"]).expect(0).json();
        assert_eq!(said["id"], flow.as_str(), "{what}");
        let after = contents(&app).await;
        let changed: Vec<_> = before.keys().filter(|table| before[*table] != after[*table]).collect();
        assert!(changed.is_empty(), "{what} {flow}: {changed:?}");
    }
    // A rehearsal in the course of a native flow leaves no trace either: one decision is logged, when it is made.
    let native = app.flow(&flows[5].1).await;
    let names = super::steps(&native);
    assert!(!names.contains(&"session") && names.contains(&"handed_over"), "{native:#}");
}
