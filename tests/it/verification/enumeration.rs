//! Where answers must not tell who has an account: known and unknown people are shown the same, after the same work,
//! also when an account is about to be locked, and once it is.

use http::Method;
use serde_json::Value;

use super::sign_in::masked;
use super::{code_for, form, messages};
use crate::support::person::{APP, client, sign_up};
use crate::support::{Answer, Browser, TestApp};
use vestibule::crypto::Secret;
use vestibule::model::id::UserId;
use vestibule::store::user_passwords;

const KNOWN: &str = "ada@example.com";
const UNKNOWN: &str = "nob@example.com";
const PASSWORD: &str = "blauwale fliegen nie";

/// A server in strict mode, and Ada: with a password, and on the browser that she signed up with.
async fn start() -> (TestApp, Browser, String) {
    let app = TestApp::start().await;
    let browser = app.browser();
    let id = sign_up(&app, &browser, "oauth_google", KNOWN).await;
    let ctx = app.ctx().await;
    let digest = ctx.app.passwords.hash(ctx.rng(), &Secret::from(PASSWORD.to_owned())).await.unwrap();
    let user = UserId::parse(&id).unwrap();
    user_passwords::set(&mut ctx.db(), &user, &digest).await.unwrap();
    let change = r#"{"enumeration_protection": "strict", "attributes": {"password": {"enabled": true}}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    // The instance is read again now, for nobody's sake.
    app.browser().get(app.url("/v1/environment")).await.expect(200);
    (app, browser, id)
}

/// What somebody sees and what it costs: status, answer, statements in order, passwords hashed.
type Seen = (u16, String, Vec<String>, usize);

/// Sends a form about `address`, and looks.
async fn look(
    app: &TestApp,
    browser: &Browser,
    address: &str,
    path: &str,
    fields: &[(&str, &str)],
    seen: &mut Vec<Seen>,
) -> Value {
    let mut answer: Option<Answer> = None;
    let cost = app.cost(async { answer = Some(form(app, browser, path, fields).await) }).await;
    let answer = answer.unwrap();
    // The flow log is written beside the request, in batches; a refused transaction is rolled back once the
    // answer is on its way.
    let reported =
        cost.reported.into_iter().filter(|reported| !reported.contains("flow") && reported != "rollback").collect();
    seen.push((answer.status.as_u16(), masked(&answer.json(), address), reported, cost.hashes));
    answer.json()
}

/// Goes through all that a stranger can try about `address` in a sign-in, well beyond the lock.
async fn try_to_sign_in(app: &TestApp, address: &str) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let browser = app.browser();
        let begun = look(app, &browser, address, "/v1/client/sign_ins", &[("identifier", address)], &mut seen).await;
        let path = format!("/v1/client/sign_ins/{}", begun["response"]["id"].as_str().unwrap());
        let prepare = format!("{path}/prepare_first_factor");
        look(app, &browser, address, &prepare, &[("strategy", "email_code")], &mut seen).await;
        let attempt = format!("{path}/attempt_first_factor");
        for _ in 0..6 {
            // Seven digits are no code.
            let fields = [("strategy", "email_code"), ("code", "1234567")];
            look(app, &browser, address, &attempt, &fields, &mut seen).await;
        }
    }
    for password in ["wrong", PASSWORD] {
        let fields = [("strategy", "password"), ("identifier", address), ("password", password)];
        look(app, &app.browser(), address, "/v1/client/sign_ins", &fields, &mut seen).await;
    }
    seen
}

#[track_caller]
fn assert_equal(known: &[Seen], unknown: &[Seen]) {
    assert_eq!(known.len(), unknown.len());
    for (step, (known, unknown)) in known.iter().zip(unknown).enumerate() {
        assert_eq!(known, unknown, "step {step}");
    }
}

#[tokio::test]
async fn sign_in_of_unknown_address_reveals_nothing_and_costs_the_same() {
    let (app, browser, id) = start().await;
    let (known, unknown) = (try_to_sign_in(&app, KNOWN).await, try_to_sign_in(&app, UNKNOWN).await);
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!(shown["locked"], true, "ten of the twelve tries were looked at");
    assert_equal(&known, &unknown);
    assert!(known.iter().all(|(_, answer, ..)| !answer.contains("lock")), "{known:#?}");
    let statuses: Vec<u16> = known.iter().map(|(status, ..)| *status).collect();
    let attempt = [200, 200, 422, 422, 422, 422, 422, 400];
    assert_eq!(statuses, [attempt.as_slice(), &attempt, &[422, 422]].concat());
    assert_eq!(known.iter().map(|(.., hashes)| hashes).sum::<usize>(), 2, "one for each password tried");
    assert_eq!((messages(&app, KNOWN).await.len(), messages(&app, UNKNOWN).await.len()), (2, 0));
    // The owner, where she is known, learns it, and signs in.
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let fields = [("strategy", "password"), ("identifier", KNOWN), ("password", PASSWORD)];
    form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(200);
    assert_eq!(client(&app, &browser).await["sessions"][0]["user"]["id"], id.as_str());
}

/// A code that leads into somebody's account is guessed in a sign-up as well as in a sign-in.
#[tokio::test]
async fn guesses_through_sign_ups_count_on_the_account_of_the_address() {
    let (app, _, id) = start().await;
    let mut seen = Vec::new();
    for address in [KNOWN, UNKNOWN] {
        let mut of_address = Vec::new();
        for _ in 0..3 {
            let browser = app.browser();
            let fields = [("email_address", address), ("password", "drei ziegen im regen")];
            let begun = look(&app, &browser, address, "/v1/client/sign_ups", &fields, &mut of_address).await;
            let path = format!("/v1/client/sign_ups/{}", begun["response"]["id"].as_str().unwrap());
            let prepare = format!("{path}/prepare_verification");
            look(&app, &browser, address, &prepare, &[("strategy", "email_code")], &mut of_address).await;
            for _ in 0..5 {
                let fields = [("strategy", "email_code"), ("code", "1234567")];
                look(&app, &browser, address, &format!("{path}/attempt_verification"), &fields, &mut of_address).await;
            }
        }
        seen.push(of_address);
    }
    assert_equal(&seen[0], &seen[1]);
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!((&shown["locked"], &shown["verification_attempts_remaining"]), (&true.into(), &0.into()));
    // From now on even the right code is a wrong one, to a stranger.
    let browser = app.browser();
    let begun = form(&app, &browser, "/v1/client/sign_ups", &[("email_address", KNOWN)]).await.expect(200).json();
    let path = format!("/v1/client/sign_ups/{}", begun["response"]["id"].as_str().unwrap());
    form(&app, &browser, &format!("{path}/prepare_verification"), &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(&app, KNOWN).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let refused = form(&app, &browser, &format!("{path}/attempt_verification"), &fields).await.expect(422);
    assert_eq!(refused.error_code(), "form_code_incorrect");
}

/// An account that an operator locked is as silent as any.
#[tokio::test]
async fn an_operators_lock_is_not_reported_to_strangers() {
    let (app, browser, id) = start().await;
    app.backend(Method::POST, &format!("/v1/users/{id}/lock"), &serde_json::json!({})).await.expect(200);
    let fields = [("strategy", "password"), ("identifier", KNOWN), ("password", PASSWORD)];
    let refused = form(&app, &app.browser(), "/v1/client/sign_ins", &fields).await.expect(422);
    assert_eq!(refused.error_code(), "form_password_incorrect");
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let refused = form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(403);
    assert_eq!(refused.error_code(), "user_locked");
}
