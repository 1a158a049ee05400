//! Passwords through the API: signing up and in with one, choosing a new one, verifying oneself again.

use serde_json::{Value, json};

use crate::support::person::{client, sign_up};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::{code_for, form};

pub const EMAIL: &str = "ada@example.com";
pub const PASSWORD: &str = "blauwale fliegen nie";
pub const OTHER: &str = "drei ziegen im regen";

pub async fn settings(app: &TestApp, change: &str) {
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
}

/// A server whose users may have passwords.
pub async fn start() -> TestApp {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {"password": {"enabled": true}}}"#).await;
    app
}

/// Signs Ada up with an identifier, with a password and a verified address; returns the browser and her id.
pub async fn ada(app: &TestApp) -> (Browser, String) {
    let browser = app.browser();
    let fields = [("email_address", EMAIL), ("password", PASSWORD)];
    let begun = form(app, &browser, "/v1/client/sign_ups", &fields).await.expect(200).json();
    assert_eq!(begun["response"]["has_password"], true);
    let path = format!("/v1/client/sign_ups/{}", begun["response"]["id"].as_str().unwrap());
    form(app, &browser, &format!("{path}/prepare_verification"), &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(app, EMAIL).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let done = form(app, &browser, &format!("{path}/attempt_verification"), &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
    (browser, done["response"]["created_user_id"].as_str().unwrap().to_owned())
}

pub async fn sign_in(app: &TestApp, browser: &Browser, identifier: &str, password: &str) -> Answer {
    let fields = [("strategy", "password"), ("identifier", identifier), ("password", password)];
    form(app, browser, "/v1/client/sign_ins", &fields).await
}

fn error(answer: &Answer) -> (String, Option<String>) {
    let param = answer.json()["errors"][0]["meta"]["param_name"].as_str().map(str::to_owned);
    (answer.error_code(), param)
}

#[tokio::test]
async fn who_signed_up_with_a_password_signs_in_with_it() {
    let app = start().await;
    let (_, id) = ada(&app).await;
    // At once, with identifier and password.
    let browser = app.browser();
    let done = sign_in(&app, &browser, "ADA@example.com", PASSWORD).await.expect(200).json();
    assert_eq!((&done["response"]["status"], &done["client"]["sign_in"]), (&json!("complete"), &Value::Null));
    assert_eq!(done["client"]["sessions"][0]["user"]["id"], id.as_str());
    assert_eq!(done["client"]["sessions"][0]["user"]["password_enabled"], true);
    assert_eq!(app.backend_get(&format!("/v1/users/{id}")).await.expect(200).json()["password_enabled"], true);
    assert_eq!(done["client"]["last_authentication_strategy"], "password");
    assert_eq!(client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1, "the cookie came along");
    // In two steps.
    let browser = app.browser();
    let begun = form(&app, &browser, "/v1/client/sign_ins", &[("identifier", EMAIL)]).await.expect(200).json();
    assert_eq!(begun["response"]["supported_first_factors"][0]["strategy"], "password");
    let path = format!("/v1/client/sign_ins/{}/attempt_first_factor", begun["response"]["id"].as_str().unwrap());
    let wrong = form(&app, &browser, &path, &[("strategy", "password"), ("password", OTHER)]).await.expect(422);
    assert_eq!(error(&wrong), ("form_password_incorrect".to_owned(), Some("password".to_owned())));
    let done = form(&app, &browser, &path, &[("strategy", "password"), ("password", PASSWORD)]).await.expect(200);
    assert_eq!(done.json()["response"]["status"], "complete");
    let methods = "select count(*) from sessions where instance_id = $1 and user_id = $2 and amr = '{pwd}'";
    assert_eq!(app.count(methods, &id).await, 2);
    let stored =
        "select count(*) from user_passwords where instance_id = $1 and user_id = $2 and digest like '$argon2id$%'";
    assert_eq!(app.count(stored, &id).await, 1);
}

#[tokio::test]
async fn a_bad_password_is_refused_by_its_rule() {
    let app = start().await;
    let long = "blauwale fliegen nie ".repeat(4);
    for (password, code) in [
        ("kJ8#qx2", "form_password_length_too_short"),
        (long.as_str(), "form_password_length_too_long"),
        ("Password123!", "form_password_pwned"),
        ("qwertyuiop", "form_password_pwned"),
        (EMAIL, "form_password_matches_identifier"),
    ] {
        let fields = [("email_address", EMAIL), ("password", password)];
        let refused = form(&app, &app.browser(), "/v1/client/sign_ups", &fields).await.expect(422);
        assert_eq!(error(&refused), (code.to_owned(), Some("password".to_owned())), "{password}");
    }
    settings(&app, r#"{"attributes": {"password": {"enabled": false}}}"#).await;
    let refused = form(&app, &app.browser(), "/v1/client/sign_ups", &[("password", PASSWORD)]).await.expect(400);
    assert_eq!(error(&refused), ("form_param_value_disabled".to_owned(), Some("password".to_owned())));
}

#[tokio::test]
async fn the_sdk_is_reported_whether_there_are_passwords() {
    let app = TestApp::start().await;
    let shown = async || app.browser().get(app.url("/v1/environment")).await.expect(200).json();
    let off = shown().await;
    assert_eq!(off["auth_config"]["password"], "off");
    assert_eq!(off["user_settings"]["attributes"]["password"]["enabled"], false);
    assert_eq!(off["user_settings"]["attack_protection"]["user_lockout"]["max_attempts"], 10);
    let change = r#"{"attributes": {"password": {"required": true, "max_length": 100}}, "lockout": {"attempts": 7, "duration": 600}}"#;
    settings(&app, change).await;
    let on = shown().await;
    assert_eq!(on["auth_config"]["password"], "required");
    assert!(on["auth_config"]["first_factors"].as_array().unwrap().contains(&json!("password")));
    assert_eq!(on["user_settings"]["attributes"]["password"]["required"], true);
    assert_eq!(on["user_settings"]["password_settings"]["max_length"], 100);
    let lockout = json!({ "enabled": true, "max_attempts": 7, "duration_in_minutes": 10 });
    assert_eq!(on["user_settings"]["attack_protection"]["user_lockout"], lockout);
}

#[tokio::test]
async fn user_without_password_gets_an_error_that_says_so_unless_that_is_a_secret() {
    let app = start().await;
    sign_up(&app, &app.browser(), "oauth_google", EMAIL).await;
    let refused = sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(400);
    assert_eq!(refused.error_code(), "strategy_for_user_invalid");
    let unknown = sign_in(&app, &app.browser(), "nobody@example.com", PASSWORD).await.expect(422);
    assert_eq!(unknown.error_code(), "form_identifier_not_found");
    settings(&app, r#"{"enumeration_protection": "strict"}"#).await;
    for identifier in [EMAIL, "nobody@example.com"] {
        let refused = sign_in(&app, &app.browser(), identifier, PASSWORD).await.expect(422);
        assert_eq!(refused.error_code(), "form_password_incorrect", "{identifier}");
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_lock_strangers_out_and_leave_the_owner_in() {
    let app = start().await;
    let (owner, id) = ada(&app).await;
    let mut codes = Vec::new();
    for _ in 0..11 {
        codes.push(sign_in(&app, &app.browser(), EMAIL, OTHER).await.error_code());
    }
    assert_eq!(codes[..7], vec!["form_password_incorrect"; 7]);
    assert_eq!(codes[7..10], vec!["account_lockout_warning"; 3]);
    assert_eq!(codes[10], "user_locked");
    let refused = sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(403);
    assert!(refused.json()["errors"][0]["meta"]["lockout_expires_in_seconds"].as_i64().unwrap() > 3_500);
    // The browser that Ada signed up with.
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), crate::support::person::APP, &[]).await.expect(200);
    sign_in(&app, &owner, EMAIL, PASSWORD).await.expect(200);
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!(shown["locked"], true, "strangers stay out");
}

/// Codes count like passwords: a thousand parallel guesses of a code, from as many sign-ins as there are strangers, get
/// no more than ten looks.
#[tokio::test]
async fn guesses_of_codes_over_many_attempts_are_counted_on_the_account() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", EMAIL).await;
    let mut verified = 0;
    for _ in 0..4 {
        let browser = app.browser();
        let fields = [("identifier", EMAIL), ("strategy", "email_code")];
        let begun = form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(200).json();
        let path = format!("/v1/client/sign_ins/{}/attempt_first_factor", begun["response"]["id"].as_str().unwrap());
        let code = code_for(&app, EMAIL).await;
        let wrong = if code == "111111" { "222222" } else { "111111" };
        let fields = [("strategy", "email_code"), ("code", wrong)];
        let guesses = (0..25).map(|_| form(&app, &browser, &path, &fields));
        for answer in futures_util::future::join_all(guesses).await {
            let code = answer.error_code();
            verified += usize::from(["form_code_incorrect", "account_lockout_warning"].contains(&code.as_str()));
        }
    }
    assert_eq!(verified, 10);
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!((&shown["locked"], &shown["verification_attempts_remaining"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let app = start().await;
    let (elsewhere, id) = ada(&app).await;
    let browser = app.browser();
    let fields = [("identifier", EMAIL), ("strategy", "email_code")];
    let begun = form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(200).json();
    let attempt = begun["response"]["id"].as_str().unwrap();
    let path = format!("/v1/client/sign_ins/{attempt}/reset_password");
    let early = form(&app, &browser, &path, &[("password", OTHER)]).await.expect(400);
    assert_eq!(early.error_code(), "verification_missing", "nothing is verified yet");
    // As row 10 leaves it: verified, and a new password is wanted.
    app.execute("update sign_ins set status = 'needs_new_password' where instance_id = $1 and id = $2", attempt).await;
    let refused = form(&app, &browser, &path, &[("password", "12345678")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_password_pwned");
    let refused = form(&app, &browser, &path, &[("password", PASSWORD)]).await.expect(422);
    assert_eq!(refused.error_code(), "form_new_password_matches_current");
    let done = form(&app, &browser, &path, &[("password", OTHER)]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert!(client(&app, &elsewhere).await["sessions"].as_array().unwrap().is_empty());
    assert_eq!(client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.error_code(), "form_password_incorrect");
    sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(200);
    let resets =
        "select count(*) from audit_events where instance_id = $1 and action = 'password.reset' and user_id = $2";
    assert_eq!(app.count(resets, &id).await, 1);
}

/// What was about to be granted before the new password is worth nothing after it, and a browser of before is a
/// stranger.
#[tokio::test]
async fn a_new_password_ends_codes_and_consents_and_forgets_browsers() {
    let app = start().await;
    let (elsewhere, id) = ada(&app).await;
    let oauth = app.application(json!({})).await;
    let code = app.code(&elsewhere, &oauth, &[]).await;
    let browser = app.browser();
    let fields = [("identifier", EMAIL), ("strategy", "email_code")];
    let begun = form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(200).json();
    let attempt = begun["response"]["id"].as_str().unwrap();
    app.execute("update sign_ins set status = 'needs_new_password' where instance_id = $1 and id = $2", attempt).await;
    let path = format!("/v1/client/sign_ins/{attempt}/reset_password");
    form(&app, &browser, &path, &[("password", OTHER)]).await.expect(200);
    let refused = app.redeem(&oauth, &code, &[]).await.expect(400).json();
    assert_eq!(refused["error"], "invalid_grant");
    let consents = "select count(*) from oauth_consents where instance_id = $1 and user_id = $2";
    assert_eq!(app.count(consents, &id).await, 0);
    let known = "select count(*) from known_clients where instance_id = $1 and user_id = $2";
    assert_eq!(app.count(known, &id).await, 1, "the one that chose the password");
    for _ in 0..10 {
        sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(422);
    }
    assert_eq!(sign_in(&app, &elsewhere, EMAIL, OTHER).await.error_code(), "user_locked");
}

/// Whoever had the mailbox for a moment and waits with what it verified gets nothing once the owner has chosen.
#[tokio::test]
async fn of_two_sign_ins_that_wait_for_a_new_password_the_first_chooses() {
    let app = start().await;
    ada(&app).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let browser = app.browser();
        let begun = form(&app, &browser, "/v1/client/sign_ins", &[("identifier", EMAIL)]).await.expect(200).json();
        let attempt = begun["response"]["id"].as_str().unwrap().to_owned();
        app.execute("update sign_ins set status = 'needs_new_password' where instance_id = $1 and id = $2", &attempt)
            .await;
        waiting.push((browser, format!("/v1/client/sign_ins/{attempt}/reset_password")));
    }
    form(&app, &waiting[1].0, &waiting[1].1, &[("password", OTHER)]).await.expect(200);
    let late = [("password", "vier kutschen ohne pferd")];
    let refused = form(&app, &waiting[0].0, &waiting[0].1, &late).await.expect(400);
    assert_eq!(refused.error_code(), "verification_missing");
    sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(200);
}

const RESET: &str = "reset_password_email_code";

/// Names `identifier` and has a code sent for a new password; the path of the sign-in.
async fn forgot(app: &TestApp, browser: &Browser, identifier: &str) -> String {
    let fields = [("strategy", RESET), ("identifier", identifier)];
    let begun = form(app, browser, "/v1/client/sign_ins", &fields).await.expect(200).json();
    assert_eq!(begun["response"]["status"], "needs_first_factor");
    let verification = &begun["response"]["first_factor_verification"];
    assert_eq!((&verification["strategy"], &verification["status"]), (&json!(RESET), &json!("unverified")));
    format!("/v1/client/sign_ins/{}", begun["response"]["id"].as_str().unwrap())
}

async fn attempt(app: &TestApp, browser: &Browser, path: &str, strategy: &str, code: &str) -> Answer {
    form(app, browser, &format!("{path}/attempt_first_factor"), &[("strategy", strategy), ("code", code)]).await
}

fn wrong(code: &str) -> &'static str {
    if code == "111111" { "222222" } else { "111111" }
}

#[tokio::test]
async fn forgotten_password_is_replaced_after_verification_of_the_address() {
    let app = start().await;
    let (elsewhere, id) = ada(&app).await;
    let browser = app.browser();
    let begun = form(&app, &browser, "/v1/client/sign_ins", &[("identifier", EMAIL)]).await.expect(200).json();
    let factors = begun["response"]["supported_first_factors"].as_array().unwrap();
    let names: Vec<&str> = factors.iter().map(|factor| factor["strategy"].as_str().unwrap()).collect();
    assert_eq!(names, ["password", "email_code", RESET]);
    assert_eq!(factors[2]["safe_identifier"], "a****@example.com");

    let path = forgot(&app, &browser, EMAIL).await;
    let mail = crate::verification::newest(&app, EMAIL).await;
    assert!(mail["text"].as_str().unwrap().contains("choose a new password"), "{mail}");
    let code = mail["code"].as_str().unwrap().to_owned();
    let early = form(&app, &browser, &format!("{path}/reset_password"), &[("password", OTHER)]).await.expect(400);
    assert_eq!(early.error_code(), "verification_missing", "nothing is verified yet");
    // It is no code to sign in with, nor is one of those good for this.
    let other = attempt(&app, &browser, &path, "email_code", &code).await.expect(400);
    assert_eq!(other.error_code(), "verification_missing");
    let refused = attempt(&app, &browser, &path, RESET, wrong(&code)).await.expect(422);
    assert_eq!(error(&refused), ("form_code_incorrect".to_owned(), Some("code".to_owned())));

    let verified = attempt(&app, &browser, &path, RESET, &code).await.expect(200).json();
    assert_eq!(verified["response"]["status"], "needs_new_password");
    assert!(verified["client"]["sessions"].as_array().unwrap().is_empty(), "nobody is signed in by the code alone");
    let again = attempt(&app, &browser, &path, RESET, &code).await.expect(400);
    assert_eq!(again.error_code(), "client_state_invalid");
    assert_eq!(client(&app, &elsewhere).await["sessions"].as_array().unwrap().len(), 1, "nothing has ended yet");

    let same = form(&app, &browser, &format!("{path}/reset_password"), &[("password", PASSWORD)]).await.expect(422);
    assert_eq!(same.error_code(), "form_new_password_matches_current");
    // The flag changes nothing: a reset ends every other session.
    let fields = [("password", OTHER), ("sign_out_of_other_sessions", "false")];
    let done = form(&app, &browser, &format!("{path}/reset_password"), &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["response"]["created_session_id"], done["client"]["sessions"][0]["id"]);
    assert!(client(&app, &elsewhere).await["sessions"].as_array().unwrap().is_empty());
    assert_eq!(sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.error_code(), "form_password_incorrect");
    sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(200);
    let resets =
        "select count(*) from audit_events where instance_id = $1 and action = 'password.reset' and user_id = $2";
    assert_eq!(app.count(resets, &id).await, 1);
    let verified = "select count(*) from identifications where instance_id = $1 and value_key = $2
        and verification_strategy = 'email_code'";
    assert_eq!(app.count(verified, EMAIL).await, 1, "the address remembers how it was verified first");
}

#[tokio::test]
async fn a_new_password_may_come_along_with_the_code() {
    let app = start().await;
    ada(&app).await;
    let browser = app.browser();
    let path = forgot(&app, &browser, EMAIL).await;
    let code = code_for(&app, EMAIL).await;
    let fields = [("strategy", RESET), ("code", code.as_str()), ("password", "12345678")];
    let refused = form(&app, &browser, &format!("{path}/attempt_first_factor"), &fields).await.expect(422);
    assert_eq!(refused.error_code(), "form_password_pwned");
    // The code is used up; what it verified stands.
    let shown = browser.get(app.url(&path)).await.expect(200).json();
    assert_eq!(shown["response"]["status"], "needs_new_password");
    form(&app, &browser, &format!("{path}/reset_password"), &[("password", OTHER)]).await.expect(200);

    let browser = app.browser();
    let path = forgot(&app, &browser, EMAIL).await;
    let code = code_for(&app, EMAIL).await;
    let fields = [("strategy", RESET), ("code", code.as_str()), ("password", PASSWORD)];
    let done = form(&app, &browser, &format!("{path}/attempt_first_factor"), &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn there_is_nothing_to_reset_where_there_is_no_password() {
    let app = start().await;
    sign_up(&app, &app.browser(), "oauth_google", EMAIL).await;
    let begin = async |identifier: &str| {
        let fields = [("strategy", RESET), ("identifier", identifier)];
        form(&app, &app.browser(), "/v1/client/sign_ins", &fields).await
    };
    assert_eq!(begin(EMAIL).await.expect(400).error_code(), "strategy_for_user_invalid");
    assert_eq!(begin("nobody@example.com").await.expect(422).error_code(), "form_identifier_not_found");
    // Where nobody may learn who has an account, it is promised to everybody, and sent to whoever has one.
    settings(&app, r#"{"enumeration_protection": "strict"}"#).await;
    let mut shapes = Vec::new();
    for identifier in [EMAIL, "ada@example.org"] {
        let mut shown = begin(identifier).await.expect(200).json()["response"].clone();
        for member in ["id", "identifier", "abandon_at", "supported_first_factors"] {
            shown[member] = Value::Null;
        }
        shown["first_factor_verification"]["expire_at"] = Value::Null;
        shapes.push(shown);
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(crate::verification::messages(&app, EMAIL).await.len(), 1);
    assert!(crate::verification::messages(&app, "ada@example.org").await.is_empty());
    settings(&app, r#"{"enumeration_protection": "off", "attributes": {"password": {"enabled": false}}}"#).await;
    assert_eq!(begin(EMAIL).await.expect(400).error_code(), "strategy_for_user_invalid");
}

/// Security.md section 11 counts a reset among the verifications of an account.
#[tokio::test]
async fn wrong_guesses_of_reset_codes_lock_the_account() {
    let app = start().await;
    let (_, id) = ada(&app).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let browser = app.browser();
        let path = forgot(&app, &browser, EMAIL).await;
        let code = code_for(&app, EMAIL).await;
        for _ in 0..4 {
            codes.push(attempt(&app, &browser, &path, RESET, wrong(&code)).await.error_code());
        }
    }
    assert_eq!(codes[..7], vec!["form_code_incorrect"; 7]);
    assert_eq!(codes[7..10], vec!["account_lockout_warning"; 3]);
    assert_eq!(codes[10..], vec!["user_locked"; 2]);
    let browser = app.browser();
    let path = forgot(&app, &browser, EMAIL).await;
    let code = code_for(&app, EMAIL).await;
    assert_eq!(attempt(&app, &browser, &path, RESET, &code).await.expect(403).error_code(), "user_locked");
    assert_eq!(app.backend_get(&format!("/v1/users/{id}")).await.json()["locked"], true);
    sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(403);
}

/// Strangers' failures are no weapon against the one way out of them.
#[tokio::test]
async fn owner_locked_by_strangers_resets_the_password_in_a_known_browser() {
    let app = start().await;
    let (owner, id) = ada(&app).await;
    let elsewhere = app.browser();
    sign_in(&app, &elsewhere, EMAIL, PASSWORD).await.expect(200);
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), crate::support::person::APP, &[]).await.expect(200);
    for _ in 0..10 {
        sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(422);
    }
    let path = forgot(&app, &owner, EMAIL).await;
    let code = code_for(&app, EMAIL).await;
    attempt(&app, &owner, &path, RESET, &code).await.expect(200);
    let done = form(&app, &owner, &format!("{path}/reset_password"), &[("password", OTHER)]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    let known = "select count(*) from known_clients where instance_id = $1 and user_id = $2";
    assert_eq!(app.count(known, &id).await, 1, "this browser alone");
    for stranger in [&elsewhere, &app.browser()] {
        assert_eq!(sign_in(&app, stranger, EMAIL, OTHER).await.expect(403).error_code(), "user_locked");
    }
}

/// The same where the verification is the first of the address and takes the account over.
#[tokio::test]
async fn owner_locked_by_strangers_verifies_the_address_in_a_known_browser() {
    let app = start().await;
    let (owner, id) = ada(&app).await;
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), crate::support::person::APP, &[]).await.expect(200);
    let unverified =
        "update identifications set status = 'unverified', verified_at = null, verification_strategy = null
        where instance_id = $1 and user_id = $2";
    app.execute(unverified, &id).await;
    let attributes =
        r#"{"attributes": {"password": {"enabled": true}, "email_address": {"verify_at_sign_up": false}}}"#;
    settings(&app, attributes).await;
    for _ in 0..10 {
        sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(422);
    }
    let fields = [("identifier", EMAIL), ("strategy", "email_code")];
    let begun = form(&app, &owner, "/v1/client/sign_ins", &fields).await.expect(200).json();
    let path = format!("/v1/client/sign_ins/{}", begun["response"]["id"].as_str().unwrap());
    let code = code_for(&app, EMAIL).await;
    let done = attempt(&app, &owner, &path, "email_code", &code).await.expect(200).json();
    assert_eq!(done["response"]["status"], "needs_new_password", "{done}");
    let done = form(&app, &owner, &format!("{path}/reset_password"), &[("password", OTHER)]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    let taken = "select count(*) from audit_events where instance_id = $1 and user_id = $2
        and action = 'user.taken_over'";
    assert_eq!(app.count(taken, &id).await, 1);
}

/// A page that was left open is no key to the account.
#[tokio::test]
async fn reset_code_older_than_ten_minutes_must_be_verified_again() {
    let app = start().await;
    ada(&app).await;
    let browser = app.browser();
    for (minutes, status) in [(9, 200), (10, 400)] {
        let path = forgot(&app, &browser, EMAIL).await;
        let code = code_for(&app, EMAIL).await;
        app.advance(std::time::Duration::from_secs(120)).await;
        attempt(&app, &browser, &path, RESET, &code).await.expect(200);
        app.advance(std::time::Duration::from_secs(minutes * 60)).await;
        let password = format!("{minutes} ziegen im regen");
        let fields = [("password", password.as_str())];
        let answer = form(&app, &browser, &format!("{path}/reset_password"), &fields).await.expect(status);
        match status {
            200 => assert_eq!(answer.json()["response"]["status"], "complete"),
            _ => assert_eq!(answer.error_code(), "verification_expired"),
        }
        browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), crate::support::person::APP, &[]).await;
    }
    sign_in(&app, &app.browser(), EMAIL, "9 ziegen im regen").await.expect(200);
}

#[tokio::test]
async fn password_reverifies_the_session() {
    let app = start().await;
    let (browser, _) = ada(&app).await;
    let session = client(&app, &browser).await["sessions"][0]["id"].as_str().unwrap().to_owned();
    app.advance(std::time::Duration::from_secs(1_200)).await;
    let path = format!("/v1/client/sessions/{session}/verify");
    let attempt = format!("{path}/attempt_first_factor");
    let missing = form(&app, &browser, &attempt, &[("strategy", "password"), ("password", PASSWORD)]).await.expect(400);
    assert_eq!(missing.error_code(), "session_reverification_missing");
    let begun = form(&app, &browser, &path, &[("level", "first_factor")]).await.expect(200).json();
    assert_eq!(begun["response"]["supported_first_factors"][0]["strategy"], "password");
    let wrong = form(&app, &browser, &attempt, &[("strategy", "password"), ("password", OTHER)]).await.expect(422);
    assert_eq!(wrong.error_code(), "form_password_incorrect");
    let done = form(&app, &browser, &attempt, &[("strategy", "password"), ("password", PASSWORD)]).await.expect(200);
    let done = done.json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["response"]["first_factor_verification"]["strategy"], "password");
    assert_eq!(client(&app, &browser).await["sessions"][0]["factor_verification_age"], json!([0, -1]));
}
