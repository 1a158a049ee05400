//! The record itself: it holds no secret, it fails nobody, and it ends after a week.

use std::time::Duration;

use sqlx::Connection;
use vestibule::store::retention::Remover;

use super::reference;
use crate::support::TestApp;
use crate::support::person::{approve, begin, client, provider_url};
use crate::support::retention::remove;

#[tokio::test]
async fn a_timeline_holds_lengths_and_masks_instead_of_secrets() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let provider = provider_url(&begun);
    let callback = approve(&browser, provider.clone(), "ada@example.com").await;
    let done = browser.get(callback.as_str()).await.expect(303);
    let flow = app.flow(&reference(&begun)).await;
    assert_eq!(reference(&done), reference(&begun));
    let names = super::steps(&flow).join(" ");
    let expected = "started sent_to_provider callback state_checked token_exchange identity_fetched";
    assert!(names.starts_with(expected), "{names}");
    let parameters = &flow["steps"][1]["detail"]["parameters"];
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(parameters[name], "43 characters", "{parameters}");
    }
    assert!(flow["steps"][4]["duration_ms"].is_i64() && flow["steps"][4]["detail"]["host"] == "localhost", "{flow}");
    let identity = &flow["steps"][5]["detail"];
    assert_eq!((&identity["email"], &identity["email_trust"]), (&"a****@example.com".into(), &"verified".into()));
    assert_eq!(flow["configuration"]["differs_from_now"], false);
    sqlx::query("update provider_configs set scopes = '{x}' where provider = 'google'")
        .execute(&app.app().db)
        .await
        .unwrap();
    let later = app.flow(&reference(&begun)).await;
    assert_eq!(later["configuration"]["differs_from_now"], true);

    let mut secrets = vec!["ada@example.com".to_owned(), browser.cookie("localhost", "__client").unwrap()];
    let of_urls = provider.query_pairs().chain(callback.query_pairs());
    let is_secret = |name: &str| ["state", "nonce", "code", "code_challenge"].contains(&name);
    secrets.extend(of_urls.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.into_owned()));
    assert!(secrets.len() >= 6);
    let rows: Vec<String> =
        sqlx::query_scalar("select f::text from flows f union all select s::text from flow_steps s")
            .fetch_all(&app.app().db)
            .await
            .unwrap();
    let page = app.flow_page(&reference(&begun)).await;
    for secret in secrets {
        assert!(!rows.iter().any(|row| row.contains(&secret)) && !page.contains(&secret), "{secret}");
    }
}

#[tokio::test]
async fn a_locked_or_missing_table_fails_no_flow() {
    let app = TestApp::start().await;
    let mut lock = sqlx::PgConnection::connect_with(&app.db.options()).await.unwrap();
    let mut held = lock.begin().await.unwrap();
    sqlx::query("lock table flows in access exclusive mode").execute(&mut *held).await.unwrap();
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    browser.get(callback).await.expect(303);
    assert_eq!(client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1);
    held.rollback().await.unwrap();
    assert_eq!(app.flow(&reference(&begun)).await["id"], reference(&begun), "what waited is written");

    for statement in ["alter table flows rename to gone", "alter table flow_steps rename to gone_steps"] {
        sqlx::query(statement).execute(&app.app().db).await.unwrap();
    }
    let other = app.browser();
    let begun = begin(&app, &other, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&other, provider_url(&begun), "bob@example.com").await;
    other.get(callback).await.expect(303);
    app.app().recorder.flush().await;
    for statement in ["alter table gone rename to flows", "alter table gone_steps rename to flow_steps"] {
        sqlx::query(statement).execute(&app.app().db).await.unwrap();
    }
    let lost = app.browser().get(app.url(&format!("/_dev/flows/{}", reference(&begun)))).await;
    assert_eq!(lost.status, 404, "what could not be written is lost");
}

#[tokio::test]
async fn a_flow_is_stored_for_a_week() {
    let app = TestApp::start().await;
    let begun = begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    assert_eq!(app.flow(&reference(&begun)).await["status"], "open");
    let remove = async || (remove(&app, Remover::Flows).await, remove(&app, Remover::FlowSteps).await > 0);
    app.advance(Duration::from_secs(7 * 86_400 - 60)).await;
    assert_eq!(remove().await, (0, false));
    assert_eq!(app.flow(&reference(&begun)).await["status"], "silent", "nothing came for an hour");
    let hint = app.flow(&reference(&begun)).await["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains(&app.url("/v1/oauth_callback")), "the likely cause of silence at the provider: {hint}");
    app.advance(Duration::from_secs(120)).await;
    assert_eq!(remove().await, (1, true));
    let left: i64 = sqlx::query_scalar("select count(*) from flow_steps").fetch_one(&app.app().db).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_command_line_lists_and_refuses_what_is_no_reference() {
    let app = TestApp::start().await;
    let program = app.program();
    let begun = begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    let failed = begin(&app, &app.browser(), "sign_ins", "oauth_nope").await.expect(400);
    app.app().recorder.flush().await;
    let all = program.run(&["flow", "list"]).expect(0).stdout;
    assert!(all.contains(&reference(&begun)) && all.contains(&reference(&failed)), "{all}");
    let some = program.run(&["flow", "list", "--outcome", "failed", "--json"]).expect(0).json();
    assert_eq!((some.as_array().unwrap().len(), &some[0]["id"]), (1, &reference(&failed).into()));
    let of_google = program.run(&["flow", "list", "--provider", "google", "--json"]).expect(0).json();
    assert_eq!((of_google.as_array().unwrap().len(), &of_google[0]["id"]), (1, &reference(&begun).into()));
    let shown = program.run(&["flow", "show", &reference(&failed)]).expect(0).stdout;
    assert!(shown.contains("provider_unavailable (unknown)") && shown.contains("started"), "{shown}");
    program.run(&["flow", "show", "ses_2O4BCh3zUONvWlZHtBXv6s6tm7u"]).expect(2);
    program.run(&["flow", "show", "req_2O4BCh3zUONvWlZHtBXv6s6tm7u"]).expect(1);
    let unknown = program.run(&["flow", "show", "flw_2O4BCh3zUONvWlZHtBXv6s6tm7u"]).expect(1);
    assert!(unknown.stderr.contains("7 days"), "{}", unknown.stderr);
}

#[tokio::test]
async fn the_record_does_not_exist_without_development_pages() {
    let app = TestApp::with(1, |config| config.dev.pages = false).await;
    for path in ["/_dev/flows", "/_dev/flows.json", "/_dev/flows/flw_2O4BCh3zUONvWlZHtBXv6s6tm7u"] {
        app.browser().get(app.url(path)).await.expect(404);
    }
}
