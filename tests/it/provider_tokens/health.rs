//! How a token is doing: shown to backends, on the command line, as events and in the audit log.

use crate::support::TestApp;
use crate::support::issuer::{Issuer, stored};
use crate::support::program::Program;
use std::time::Duration;

#[tokio::test]
async fn a_backend_reads_the_state_and_never_the_token() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    let fresh = app.backend_get(&ada.health()).await.expect(200).json();
    assert_eq!(fresh["object"], "provider_token");
    assert_eq!(fresh["external_account_id"], ada.account.as_str());
    assert_eq!(fresh["provider"], "oauth_custom_vault");
    assert_eq!(fresh["state"], "fresh");
    assert!(fresh["reason"].is_null() && fresh["last_refresh_at"].is_null());
    assert!(fresh["since"].is_i64() && fresh["expires_at"].is_i64());
    assert_eq!(fresh.as_object().unwrap().len(), 8);
    app.advance(Duration::from_secs(7200)).await;
    let stale = app.backend_get(&ada.health()).await.json();
    assert_eq!((&stale["state"], &stale["since"]), (&"stale".into(), &fresh["expires_at"]));
    app.backend_get(&ada.path()).await.expect(200);
    let again = app.backend_get(&ada.health()).await;
    assert!(!again.text.contains("at-"));
    assert_eq!((&again.json()["state"], again.json()["last_refresh_at"].is_i64()), (&"fresh".into(), true));
    let other = issuer.connect(&app, "grace").await;
    let foreign = format!("/v1/vestibule/users/{}/external_accounts/{}/token", other.user, ada.account);
    assert_eq!(app.backend_get(&foreign).await.expect(404).error_code(), "resource_not_found");
}

#[tokio::test]
async fn every_change_of_state_is_an_event_and_every_token_access_is_audited() {
    let mut app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    app.start_jobs();
    app.backend_get(&ada.path()).await.expect(200);
    issuer.behave(|it| it.fault = Some((500, "text/plain", "")));
    issuer.expire(&app, &ada).await;
    app.backend_get(&ada.path()).await.expect(400);
    app.backend_get(&ada.path()).await.expect(400);
    issuer.behave(|it| it.fault = None);
    issuer.revoke(&ada);
    app.backend_get(&ada.path()).await.expect(400);
    issuer.reconnect(&app, &ada, Some(3600)).await;
    let events: Vec<(String, Option<String>)> = sqlx::query_as(
        "select payload ->> 'token_state', payload ->> 'reason' from outbox
         where payload ->> 'type' like 'vestibule.external_account.%' order by created_at, id",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    let lost = "refresh_refused:lost".to_owned();
    assert_eq!(
        events,
        [
            ("refused".to_owned(), Some("provider_5xx".to_owned())),
            // A provider that answered 500 may have replaced the token all the same.
            ("needs_reconnect".to_owned(), Some(lost)),
        ]
    );
    let audited = "select count(*) from audit_events where instance_id = $1 and target_id = $2
        and action in ('provider_token.handed_out', 'provider_token.refused') and actor_kind = 'secret_key'";
    let begun = std::time::Instant::now();
    while app.count(audited, ada.account.as_str()).await < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "token accesses are written within a second");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.backend_get(&ada.path()).await.expect(200);
    assert_eq!(app.count(audited, ada.account.as_str()).await, 3, "the same once an hour");
    let changes = "select count(*) from audit_events where instance_id = $1 and target_id = $2
        and action = 'provider_token.changed'";
    assert_eq!(app.count(changes, ada.account.as_str()).await, 2);
}

#[tokio::test]
async fn the_command_line_shows_refreshes_and_reveals_on_the_record() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    let program = Program::new()
        .database(&app.db.url())
        .variable("VESTIBULE_KEYS", &app.keys())
        .variable("VESTIBULE_OUTBOUND__ALLOW", "loopback");
    let account = ada.account.to_string();
    let shown = program.run(&["token", "show", &account]).expect(0);
    assert!(shown.stdout.contains("fresh") && !shown.stdout.contains("at-"), "{}", shown.stdout);
    let shown = program.run(&["token", "show", &account, "--json"]).expect(0).json();
    assert_eq!((&shown["state"], shown.get("token")), (&"fresh".into(), None));
    let revealed = program.run(&["token", "show", &account, "--reveal", "--json"]).expect(0).json();
    assert_eq!(Some(revealed["token"].as_str().unwrap().to_owned()), stored(&app, &ada, "access_token_sealed").await);
    let audited = "select count(*) from audit_events where instance_id = $1 and target_id = $2
        and action = 'provider_token.revealed' and actor_kind = 'cli'";
    assert_eq!(app.count(audited, &account).await, 1);
    let mut refreshing = program.start(&["token", "refresh", &account, "--json"]);
    issuer.until_asked(1).await;
    let (code, _) = tokio::task::spawn_blocking(move || refreshing.wait()).await.unwrap();
    assert_eq!((code, stored(&app, &ada, "access_token_sealed").await), (0, Some(issuer.newest(&ada))));
    issuer.revoke(&ada);
    let mut refused = program.start(&["token", "refresh", &account]);
    let (code, said) = tokio::task::spawn_blocking(move || refused.wait()).await.unwrap();
    assert_eq!(code, 1, "{said:?}");
    program.run(&["token", "show", "eac_2O4BCh3zUONvWlZHtBXv6s6tm7u"]).expect(1);
}
