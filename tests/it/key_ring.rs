//! The key ring is rotated while everybody works, and the command line tells what depends on which key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde_json::{Value, json};
use vestibule::actions::key_ring::{self, KeyStatus, KeyUse};
use vestibule::crypto::{ExposeSecret, RingEntry, SystemRng};
use vestibule::store::audit::Actor;
use vestibule::store::sealed::{self, COLUMNS, Renewed, SealedValue};

use crate::support::oauth::{OAuthClient, member};
use crate::support::person::{APP, approve, begin, client, go, provider_url, sign_up};
use crate::support::program::Program;
use crate::support::{Browser, TestApp, TestDb};

/// The session that a browser is signed in with.
async fn session(app: &TestApp, browser: &Browser) -> String {
    client(app, browser).await["sessions"][0]["id"].as_str().unwrap().to_owned()
}

/// Repeats `act` until `stop`; gives how often it succeeded.
async fn again_and_again<F: Future<Output = ()>>(stop: Arc<AtomicBool>, mut act: impl FnMut() -> F) -> usize {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        act().await;
        rounds += 1;
    }
    rounds
}

fn user_status<'a>(keys: &'a [KeyStatus], id: &str) -> &'a KeyStatus {
    keys.iter().find(|key| key.id == id).unwrap_or_else(|| panic!("{id} is not in {keys:?}"))
}

/// Everything a client, a browser and a backend do with what was made under the old key.
struct Load {
    browser: Browser,
    session: String,
    backend: Browser,
    oauth: Browser,
    client: OAuthClient,
    refresh_token: tokio::sync::Mutex<String>,
    provider_token: String,
    user: String,
    secret_key: String,
    origin: String,
}

impl Load {
    async fn mint(&self) {
        let url = format!("{}/v1/client/sessions/{}/tokens", self.origin, self.session);
        assert!(self.browser.post_form(url, APP, &[]).await.expect(200).json()["jwt"].is_string());
    }

    async fn provider_token(&self) {
        let url = format!("{}/v1/users/{}/oauth_access_tokens/notion", self.origin, self.user);
        let request = self.backend.raw(Method::GET, &url).bearer_auth(&self.secret_key);
        assert_eq!(self.backend.send(request).await.expect(200).json()[0]["token"], self.provider_token.as_str());
    }

    async fn refresh(&self) {
        let mut token = self.refresh_token.lock().await;
        let request = self.oauth.raw(Method::POST, &format!("{}/oauth/token", self.origin));
        let request = request.basic_auth(&self.client.id, self.client.secret.as_ref());
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let tokens = self.oauth.send(request.form(&form)).await.expect(200).json();
        *token = member(&tokens, "refresh_token").to_owned();
    }
}

async fn load(app: &TestApp) -> Arc<Load> {
    let browser = app.browser();
    let user = sign_up(app, &browser, "oauth_notion", "ada@example.com").await;
    let tokens = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/notion")).await.expect(200).json();
    let oauth_client = app.application(json!({})).await;
    let code = app.code(&browser, &oauth_client, &[]).await;
    let granted = app.redeem(&oauth_client, &code, &[]).await.expect(200).json();
    Arc::new(Load {
        session: session(app, &browser).await,
        browser,
        backend: app.browser(),
        oauth: app.browser(),
        client: oauth_client,
        refresh_token: tokio::sync::Mutex::new(member(&granted, "refresh_token").to_owned()),
        provider_token: tokens[0]["token"].as_str().unwrap().to_owned(),
        user,
        secret_key: app.secret_key.clone(),
        origin: app.origin(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_loses_nothing() {
    let mut app = TestApp::replicas(2).await;
    let old = app.ring()[0].clone();
    let new = RingEntry::generate(&SystemRng);
    let load = load(&app).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut busy = tokio::task::JoinSet::new();
    for kind in 0..3 {
        let (load, stop) = (Arc::clone(&load), Arc::clone(&stop));
        busy.spawn(again_and_again(stop, move || {
            let load = Arc::clone(&load);
            async move {
                match kind {
                    0 => load.mint().await,
                    1 => load.provider_token().await,
                    _ => load.refresh().await,
                }
            }
        }));
    }
    // Everybody can read with the new key, then everybody writes with it.
    for ring in [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()]] {
        for replica in 0..2 {
            app.restart_with_ring(replica, ring.clone()).await;
        }
    }
    let before = key_ring::status(app.app()).await.unwrap();
    assert!(user_status(&before, &old.id).sealed > 0 && !user_status(&before, &old.id).removable, "{before:?}");
    let done = key_ring::reseal(app.app(), Actor::System).await.unwrap();
    assert!(done.resealed > 0 && done.unopened.is_empty(), "{done:?}");
    stop.store(true, Ordering::Relaxed);
    while let Some(rounds) = busy.join_next().await {
        assert!(rounds.expect("no request failed") > 0);
    }
    let between = key_ring::status(app.app()).await.unwrap();
    assert_eq!((user_status(&between, &old.id).sealed, user_status(&between, &new.id).place), (0, KeyUse::Writes));
    assert!(user_status(&between, &old.id).lookups > 0, "the browser's token is still under the old key: {between:?}");

    // A new sign-in replaces the browser's token; every other lookup was brought along when it was used.
    load.browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    go(&app, &load.browser, "sign_ins", "oauth_notion", "ada@example.com").await.expect(303);
    let after = key_ring::status(app.app()).await.unwrap();
    assert!(user_status(&after, &old.id).removable, "{after:?}");
    for replica in 0..2 {
        app.restart_with_ring(replica, vec![new.clone()]).await;
    }
    assert!(client(&app, &load.browser).await["sessions"][0]["id"].is_string());
    load.refresh().await;
    let held = app.backend_get(&format!("/v1/users/{}/oauth_access_tokens/notion", load.user)).await.expect(200);
    assert!(held.json()[0]["token"].is_string());
}

#[tokio::test]
async fn a_authorization_that_began_under_the_old_key_ends_under_the_new_one() {
    let mut app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let ring = vec![RingEntry::generate(&SystemRng), app.ring()[0].clone()];
    app.restart_with_ring(0, ring).await;
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    let done = browser.get(callback).await.expect(303);
    assert_eq!(done.location().as_str(), format!("{APP}/done"));
}

#[tokio::test]
async fn a_value_that_changed_meanwhile_is_not_overwritten() {
    let app = TestApp::start().await;
    let user = sign_up(&app, &app.browser(), "oauth_notion", "ada@example.com").await;
    let column = COLUMNS.iter().find(|one| one.column == "access_token_sealed").unwrap();
    let db = &app.app().db;
    let found = sealed::batch(db, column, b"none", ("", ""), 10).await.unwrap().pop().unwrap();
    let stale = SealedValue { instance: found.instance.clone(), row: found.row.clone(), sealed: vec![1, 2, 3] };
    assert_eq!(sealed::renew(db, column, &[Renewed { stale, fresh: vec![9] }]).await.unwrap(), 0);
    let held = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/notion")).await.expect(200);
    assert!(held.json()[0]["token"].is_string());
}

fn setting(entries: &[&RingEntry]) -> String {
    entries.iter().map(|entry| entry.to_setting().expose_secret().to_owned()).collect::<Vec<_>>().join(",")
}

fn key<'a>(status: &'a Value, id: &str) -> &'a Value {
    status["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()
}

#[tokio::test]
async fn the_commands_rotate_and_say_what_is_left() {
    let db = TestDb::new().await;
    let (old, new) = (RingEntry::generate(&SystemRng), RingEntry::generate(&SystemRng));
    let with =
        |entries: &[&RingEntry]| Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &setting(entries));
    with(&[&old]).run(&["instance", "create", "--name", "shop"]).expect(0);

    let rotated = with(&[&new, &old]);
    let before = rotated.run(&["keys", "status", "--json"]).expect(0).json();
    assert_eq!((&key(&before, &old.id)["place"], &key(&before, &new.id)["place"]), (&json!("reads"), &json!("writes")));
    assert!(key(&before, &old.id)["sealed"].as_i64().unwrap() > 0, "signing keys are sealed: {before}");
    let done = rotated.run(&["keys", "reseal", "--json"]).expect(0).json();
    assert_eq!((&done["unopened"], &done["replaced"]), (&json!([]), &json!(0)));
    let after = rotated.run(&["keys", "status", "--json"]).expect(0).json();
    assert_eq!(key(&after, &old.id)["sealed"], 0);
    assert_eq!(key(&after, &new.id)["sealed"], key(&before, &old.id)["sealed"]);
    assert_eq!(key(&after, &new.id)["seals"], done["resealed"]);
    assert_eq!(key(&after, &old.id)["removable"], false, "the secret key has not been used since");
    assert!(rotated.run(&["keys", "status"]).expect(0).stdout.contains("writes"));
    assert_eq!(rotated.run(&["keys", "reseal", "--json"]).expect(0).json()["resealed"], 0);

    // The old key alone is the wrong one now: what it cannot open is counted, and nothing is lost.
    let wrong = with(&[&old]).run(&["keys", "reseal"]).expect(1);
    assert!(wrong.stderr.contains("do not open") && wrong.stderr.contains(&new.id), "{}", wrong.stderr);
    assert!(with(&[&old]).run(&["keys", "status"]).expect(1).stdout.contains("not in the ring"));
    let pool = db.pool().await;
    let audited: i64 = sqlx::query_scalar(
        "select count(*) from audit_events where instance_id = 'deployment' and action = 'key_ring.resealed'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(audited, 3);
}

#[tokio::test]
async fn a_new_key_is_printed_once_or_put_into_the_folder_of_dev() {
    let db = TestDb::new().await;
    let ring = RingEntry::generate(&SystemRng);
    let program = Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &setting(&[&ring]));
    let made = program.run(&["keys", "add", "--ring", "--json"]).expect(0).json();
    let entry = made["entry"].as_str().unwrap();
    assert!(entry.starts_with(&format!("{}:", made["id"].as_str().unwrap())), "{entry}");
    let both = Program::new().database(&db.url()).variable("VESTIBULE_KEYS", &format!("{entry},{}", setting(&[&ring])));
    both.run(&["keys", "status"]).expect(0);
    program.run(&["keys", "add"]).expect(2);

    let folder = Program::new();
    std::fs::create_dir(folder.path(".vestibule")).unwrap();
    let file = folder.path(".vestibule/keys.toml");
    let secret = ring.secret.expose_secret();
    std::fs::write(&file, format!("keys = [{{ id = \"{}\", secret = \"{secret}\" }}]\n", ring.id)).unwrap();
    let made = folder.run(&["keys", "add", "--ring", "--json"]).expect(0).json();
    assert!(made["entry"].is_null(), "the secret is in the file alone: {made}");
    let stored = std::fs::read_to_string(&file).unwrap();
    let (first, second) = (stored.find(made["id"].as_str().unwrap()).unwrap(), stored.find(&ring.id).unwrap());
    assert!(first < second && stored.contains(secret), "{stored}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
