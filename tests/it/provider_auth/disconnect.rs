//! Taking connected accounts away: from the user's side, by a backend, and at the provider.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use vestibule::model::problem::Error;
use vestibule::store::transact::Aborted;

use super::connecting::{accounts, configure, connect, connect_as, me};
use crate::support::person::{APP, approve, begin, go, provider_url, sign_up};
use crate::support::processes::rounds;
use crate::support::{Answer, Browser, TestApp};

async fn delete(app: &TestApp, browser: &Browser, path: &str) -> Answer {
    browser.post_form(app.url(&format!("/v1/me/external_accounts/{path}?_method=DELETE")), APP, &[]).await
}

fn id(account: &Value) -> String {
    account["id"].as_str().unwrap().to_owned()
}

/// Ada with Google and Notion; Google stands first.
async fn ada(app: &TestApp, browser: &Browser) -> (String, Vec<Value>) {
    let user = sign_up(app, browser, "oauth_google", "ada@example.com").await;
    connect_as(app, browser, "oauth_notion", "ada@example.com").await.expect(303);
    (user, accounts(app, browser).await)
}

/// Without mail nothing but providers leads in.
async fn forget_addresses(app: &TestApp) {
    let change = r#"{"attributes": {"email_address": {"enabled": false, "required": false}}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
}

#[tokio::test]
async fn a_removed_account_leaves_its_address_and_no_token() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let (user, before) = ada(&app, &browser).await;
    let google = id(&before[0]);
    let gone = delete(&app, &browser, &google).await.expect(200).json();
    assert_eq!(gone["response"], json!({ "object": "external_account", "id": google, "deleted": true }));
    let now = me(&app, &browser).await;
    assert_eq!(now["external_accounts"].as_array().unwrap().len(), 1);
    assert_eq!(now["email_addresses"][0]["verification"]["status"], "verified", "the address stays as it was");
    assert!(!now["email_addresses"][0]["linked_to"].to_string().contains("oauth_google"));
    let tokens = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(200);
    assert_eq!(tokens.json(), json!([]));
    assert_eq!(delete(&app, &browser, &google).await.expect(404).error_code(), "external_account_not_found");
    // The identity is nobody's now: it may begin again.
    let elsewhere = app.browser();
    let back = go(&app, &elsewhere, "sign_ins", "oauth_google", "new-to-us@example.com").await;
    assert_eq!(back.expect(303).location().path(), "/sso-callback");
}

#[tokio::test]
async fn last_sign_in_method_cannot_be_removed() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let (user, before) = ada(&app, &browser).await;
    forget_addresses(&app).await;
    configure(&app, "notion", "is_required = true").await;
    let refused = delete(&app, &browser, &id(&before[1])).await.expect(400);
    assert_eq!(refused.error_code(), "last_required_identification_deletion_failed");
    configure(&app, "notion", "is_required = false, authenticatable = false").await;
    // Notion does not lead in, so Google is the last one.
    let refused = delete(&app, &browser, &id(&before[0])).await.expect(400);
    assert_eq!(refused.error_code(), "identification_deletion_failed");
    let path = format!("/v1/users/{user}/external_accounts/{}", id(&before[0]));
    let refused = app.backend(Method::DELETE, &path, &json!({})).await.expect(400);
    assert_eq!(refused.error_code(), "identification_deletion_failed", "a backend neither");
    assert_eq!(accounts(&app, &browser).await.len(), 2);
    delete(&app, &browser, &id(&before[1])).await.expect(200);
    // What was never verified leads nowhere, and may always go.
    let pending = connect(&app, &browser, "oauth_notion", &[]).await.expect(200).json()["response"].clone();
    delete(&app, &browser, &id(&pending)).await.expect(200);
    app.execute(
        "insert into user_passwords (instance_id, user_id, digest, hasher, created_at, updated_at)
         values ($1, $2, 'x', 'argon2id', now(), now())",
        &user,
    )
    .await;
    delete(&app, &browser, &id(&before[0])).await.expect(200);
    assert!(accounts(&app, &browser).await.is_empty());
}

#[tokio::test]
async fn of_two_removals_at_once_one_sign_in_method_remains() {
    let app = TestApp::replicas(2).await;
    let browser = app.browser();
    let (_, before) = ada(&app, &browser).await;
    forget_addresses(&app).await;
    app.apps.iter().for_each(|app| app.forget_directory());
    let (first, second) = (id(&before[0]), id(&before[1]));
    let (first, second) = tokio::join!(delete(&app, &browser, &first), delete(&app, &browser, &second));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(accounts(&app, &browser).await.len(), 1);
}

#[tokio::test]
async fn a_backend_removes_by_either_id_and_nobody_else_s() {
    let app = TestApp::start().await;
    let (browser, bob) = (app.browser(), app.browser());
    let (user, before) = ada(&app, &browser).await;
    sign_up(&app, &bob, "oauth_google", "grace@example.com").await;
    let bobs = accounts(&app, &bob).await.remove(0);
    let path = |account: &str| format!("/v1/users/{user}/external_accounts/{account}");
    let foreign = app.backend(Method::DELETE, &path(&id(&bobs)), &json!({})).await.expect(404);
    assert_eq!(foreign.error_code(), "resource_not_found");
    let by_identification = path(before[1]["identification_id"].as_str().unwrap());
    let gone = app.backend(Method::DELETE, &by_identification, &json!({})).await.expect(200);
    assert_eq!(gone.json(), json!({ "object": "external_account", "id": id(&before[1]), "deleted": true }));
    let actors = "select count(*) from audit_events where instance_id = $1 and action = $2
        and actor_kind = 'secret_key' and user_id is not null";
    assert_eq!(app.count(actors, "external_account.disconnected").await, 1);
    assert_eq!(delete(&app, &browser, &id(&bobs)).await.expect(404).error_code(), "external_account_not_found");
    assert_eq!(accounts(&app, &bob).await.len(), 1);
}

#[tokio::test]
async fn removing_needs_a_recently_verified_session() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let (_, before) = ada(&app, &browser).await;
    app.advance(Duration::from_secs(11 * 60)).await;
    for path in [id(&before[0]), format!("{}/tokens", id(&before[0]))] {
        let refused = delete(&app, &browser, &path).await.expect(403);
        assert_eq!(refused.error_code(), "session_reverification_required");
    }
    assert_eq!(accounts(&app, &browser).await.len(), 2);
}

#[tokio::test]
async fn forgotten_tokens_leave_the_account_and_its_sign_in() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let (user, before) = ada(&app, &browser).await;
    let forgotten = delete(&app, &browser, &format!("{}/tokens", id(&before[0]))).await.expect(200).json();
    assert_eq!(forgotten["response"]["id"], before[0]["id"]);
    let refused = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(422);
    assert_eq!(refused.error_code(), "oauth_missing_access_token");
    assert_eq!(accounts(&app, &browser).await[0]["verification"]["status"], "verified");
    let elsewhere = app.browser();
    let back = go(&app, &elsewhere, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    assert_eq!(back.location().path(), "/done", "it still signs in");
    app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(200);
}

/// The provider is notified in the background; the simulator then refuses what it gave.
#[tokio::test]
async fn the_provider_is_notified_of_both_removals() {
    let mut app = TestApp::start().await;
    let browser = app.browser();
    let (_, before) = ada(&app, &browser).await;
    delete(&app, &browser, &id(&before[0])).await.expect(200);
    delete(&app, &browser, &format!("{}/tokens", id(&before[1]))).await.expect(200);
    let sealed = "select count(*) from outbox where instance_id = $1 and kind = $2 and payload is null";
    assert_eq!(app.count(sealed, "provider_revoke").await, 2);
    let live = "select count(*) from simulator_tokens where instance_id = $1 and provider = $2 and kind <> 'code'
        and revoked_at is null";
    assert!(app.count(live, "google").await > 0 && app.count(live, "notion").await > 0);
    app.start_jobs();
    let undone = "select count(*) from outbox where instance_id = $1 and kind = $2 and done_at is null";
    let begun = std::time::Instant::now();
    while app.count(undone, "provider_revoke").await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the provider was never notified");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((app.count(live, "google").await, app.count(live, "notion").await), (0, 0));
}

/// Whoever signs in and whoever takes the account away want the same two rows: the user's comes first, for both, so
/// that the second waits with nothing in its hands that the first may want.
#[tokio::test]
async fn a_callback_waits_for_a_removal_without_the_account_in_its_hands() {
    let app = TestApp::start().await;
    let (user, before) = ada(&app, &app.browser()).await;
    let elsewhere = app.browser();
    let begun = begin(&app, &elsewhere, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&elsewhere, provider_url(&begun), "ada@example.com").await;
    let pool = app.db.pool().await;
    let mut removal = pool.begin().await.unwrap();
    let lock = "select id from users where instance_id = $1 and id = $2 for no key update";
    sqlx::query(lock).bind(app.instance.as_str()).bind(&user).execute(&mut *removal).await.unwrap();
    let removes = async {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&app.app().db).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let take = "select id from external_accounts where instance_id = $1 and id = $2 for update nowait";
        let taken = sqlx::query(take).bind(app.instance.as_str()).bind(id(&before[0])).execute(&mut *removal).await;
        taken.expect("nobody has the account");
        removal.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(elsewhere.get(callback), removes);
    assert_eq!(answer.expect(303).location().as_str(), format!("{APP}/done"));
}

#[tokio::test]
async fn callbacks_and_removals_at_once_are_all_answered() {
    let app = TestApp::replicas(2).await;
    let (user, _) = ada(&app, &app.browser()).await;
    let mut removed = 0;
    for _ in 0..rounds() {
        let elsewhere = app.browser();
        let begun = begin(&app, &elsewhere, "sign_ins", "oauth_google").await.expect(200);
        let callback = approve(&elsewhere, provider_url(&begun), "ada@example.com").await;
        let shown = app.backend_get(&format!("/v1/users/{user}")).await.json();
        let accounts = shown["external_accounts"].as_array().unwrap().clone();
        let google = accounts.iter().find(|account| account["provider"] == "oauth_google").map(id);
        let removal = async {
            let Some(google) = google else { return 0 };
            let path = format!("/v1/users/{user}/external_accounts/{google}");
            app.backend(Method::DELETE, &path, &json!({})).await.expect(200);
            1
        };
        let (answer, count) = tokio::join!(elsewhere.get(callback), removal);
        // Signed in by the account, or by the address that the provider vouches for.
        assert_eq!(answer.expect(303).location().as_str(), format!("{APP}/done"));
        removed += count;
    }
    assert!(removed > 0);
}

/// What PostgreSQL ends for another's sake is decided again, in whatever form the error comes.
#[tokio::test]
async fn a_deadlock_is_a_lost_race() {
    let app = TestApp::start().await;
    let (user, other) = (app.person("ada").await.user_id, app.person("bob").await.user_id);
    let pool = app.db.pool().await;
    let lock = "select id from users where id = $1 for no key update";
    let deadlock = async || {
        let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
        sqlx::query(lock).bind(&user).execute(&mut *one).await.unwrap();
        sqlx::query(lock).bind(&other).execute(&mut *two).await.unwrap();
        let crossed = tokio::join!(async { sqlx::query(lock).bind(&other).execute(&mut *one).await.err() }, async {
            let error = sqlx::query(lock).bind(&user).execute(&mut *two).await.err();
            two.rollback().await.unwrap();
            error
        });
        crossed.0.or(crossed.1).expect("one of them is ended")
    };
    assert!(matches!(<Aborted>::from(deadlock().await), Aborted::Conflict));
    assert!(matches!(<Aborted>::from(Error::from(deadlock().await)), Aborted::Conflict));
    let other = sqlx::query("select no_such_column").execute(&pool).await.unwrap_err();
    assert!(matches!(<Aborted>::from(Error::from(other)), Aborted::Error(Error::Fault(_))));
}
