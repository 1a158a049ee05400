//! The decision table of social sign-in and sign-up, through the public API: who ends where, row by row and column by
//! column. Google's simulation vouches for addresses, Notion's is trusted in none.

use serde_json::{Value, json};

use crate::support::person::{APP, client, go, sign_up, transfer};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::{code_for, form};

pub const ADA: &str = "ada@example.com";

/// Sets members of the instance's settings.
pub async fn set(app: &TestApp, change: Value) {
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", &change.to_string()).await;
    app.app().forget_directory();
}

/// Status and error code of the provider's verification in the client's present attempt.
pub fn verification(client: &Value) -> (String, String) {
    let verification = match &client["sign_in"] {
        Value::Null => &client["sign_up"]["verifications"]["external_account"],
        sign_in => &sign_in["first_factor_verification"],
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&verification["status"]), text(&verification["error"]["code"]))
}

/// Comes back from a provider; returns the client as the app sees it then.
pub async fn back(app: &TestApp, browser: &Browser, kind: &str, strategy: &str, person: &str) -> Value {
    go(app, browser, kind, strategy, person).await.expect(303);
    client(app, browser).await
}

fn said(status: &str, code: &str) -> (String, String) {
    (status.to_owned(), code.to_owned())
}

/// Begins at the entry page `kind` and ends in a sign-in: by itself, or by the transfer that a sign-up is informed of.
pub async fn arrive(app: &TestApp, browser: &Browser, kind: &str, strategy: &str, person: &str) -> Value {
    let found = back(app, browser, kind, strategy, person).await;
    if kind == "sign_ins" {
        return found["sign_in"].clone();
    }
    assert_eq!(
        verification(&found),
        said("transferable", "external_account_exists"),
        "a sign-up gives way to a sign-in"
    );
    assert_eq!(found["sessions"], json!([]));
    transfer(app, browser, "sign_ins").await.expect(200).json()["response"].clone()
}

/// An attempt that waits for the verification of `address` and takes nothing else.
#[track_caller]
pub fn assert_waits(attempt: &Value, address: &str) {
    assert_eq!(attempt["status"], "needs_first_factor", "{attempt}");
    assert_eq!(attempt["identifier"], address);
    let verification = &attempt["first_factor_verification"];
    assert_eq!(verification["status"], "unverified");
    assert_eq!(verification["error"]["code"], "external_account_email_address_verification_required");
    let factors = attempt["supported_first_factors"].as_array().unwrap();
    assert!(!factors.is_empty(), "an empty list is a dead end");
    assert!(factors.iter().all(|factor| factor["strategy"] == "email_code" || factor["strategy"] == "email_link"));
}

/// Sends the code and brings it back.
pub async fn prove(app: &TestApp, browser: &Browser, attempt: &Value, address: &str) -> Answer {
    let path = format!("/v1/client/sign_ins/{}", attempt["id"].as_str().unwrap());
    let id = attempt["supported_first_factors"][0]["email_address_id"].as_str().unwrap();
    let asked = [("strategy", "email_code"), ("email_address_id", id)];
    form(app, browser, &format!("{path}/prepare_first_factor"), &asked).await.expect(200);
    let code = code_for(app, address).await;
    let brought = [("strategy", "email_code"), ("code", code.as_str())];
    form(app, browser, &format!("{path}/attempt_first_factor"), &brought).await
}

/// The user as a backend sees it.
pub async fn user(app: &TestApp, id: &str) -> Value {
    app.backend_get(&format!("/v1/users/{id}")).await.expect(200).json()
}

/// The providers whose accounts are a factor of `user`.
pub fn linked(user: &Value) -> Vec<&str> {
    let accounts = user["external_accounts"].as_array().unwrap().iter();
    let verified = accounts.filter(|account| account["verification"]["status"] == "verified");
    verified.map(|account| account["provider"].as_str().unwrap()).collect()
}

pub async fn users(app: &TestApp) -> Value {
    app.backend_get("/v1/users/count").await.json()["total_count"].clone()
}

const DOORS: [&str; 2] = ["sign_ins", "sign_ups"];

#[tokio::test]
async fn row_2_a_user_with_a_session_here_is_named() {
    let app = TestApp::start().await;
    set(&app, json!({ "single_session_mode": false })).await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", ADA).await;
    for kind in DOORS {
        let found = back(&app, &browser, kind, "oauth_google", ADA).await;
        assert_eq!(verification(&found), said("failed", "identifier_already_signed_in"));
        let attempt = if kind == "sign_ins" {
            &found["sign_in"]["first_factor_verification"]
        } else {
            &found["sign_up"]["verifications"]["external_account"]
        };
        assert_eq!(attempt["error"]["meta"]["session_id"], found["sessions"][0]["id"]);
        assert_eq!(found["sessions"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn rows_3_and_12_closed_accounts_stay_closed_and_nothing_is_linked() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let end = "update sessions set status = 'ended', ended_at = now() where instance_id = $1 and user_id = $2";
    app.execute(end, &id).await;
    let ban = "update users set banned_at = now(), locked_at = null where instance_id = $1 and id = $2";
    let lock = "update users set banned_at = null, locked_at = now() where instance_id = $1 and id = $2";
    for (statement, code) in [(ban, "user_banned"), (lock, "user_locked")] {
        app.execute(statement, &id).await;
        // The same identity, and others that name the address: a claim, and a claim that counts.
        for (kind, strategy) in DOORS.into_iter().flat_map(|kind| [(kind, "oauth_google"), (kind, "oauth_notion")]) {
            let found = back(&app, &app.browser(), kind, strategy, ADA).await;
            assert_eq!(verification(&found), said("failed", code), "{kind} {strategy}");
        }
    }
    assert_eq!(linked(&user(&app, &id).await), ["oauth_google"]);
    let refused =
        "select count(*) from audit_events where instance_id = $1 and action = 'sign_in.refused' and user_id = $2";
    assert_eq!(app.count(refused, &id).await, 8);
}

#[tokio::test]
async fn rows_4_to_6_a_stranger_s_sign_in_gives_way_to_a_sign_up() {
    let app = TestApp::start().await;
    let rows = [("oauth_notion", "cyd"), ("oauth_google", ADA), ("oauth_notion", "bob@example.com")];
    for (strategy, person) in rows {
        let found = back(&app, &app.browser(), "sign_ins", strategy, person).await;
        assert_eq!(verification(&found), said("transferable", "external_account_not_found"), "{person}");
        assert_eq!(found["sign_in"]["status"], "needs_identifier");
    }
    assert_eq!(users(&app).await, 0);
}

#[tokio::test]
async fn row_6_unverified_claim_needs_a_code_before_the_user_is_created() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": {} })).await;
    for kind in DOORS {
        let browser = app.browser();
        let person = if kind == "sign_ins" { "bob@example.com" } else { ADA };
        let found = back(&app, &browser, kind, "oauth_notion", person).await;
        let attempt = match kind {
            "sign_ins" => transfer(&app, &browser, "sign_ups").await.expect(200).json()["response"].clone(),
            _ => found["sign_up"].clone(),
        };
        assert_eq!(attempt["status"], "missing_requirements");
        assert_eq!(attempt["unverified_fields"], json!(["email_address"]), "{attempt}");
        assert_eq!(attempt["missing_fields"], json!([]));
        assert_eq!(attempt["email_address"], person);
        assert_eq!(attempt["verifications"]["external_account"]["status"], "verified");
        let done = prove_sign_up(&app, &browser, &attempt, person).await.expect(200).json();
        assert_eq!(done["response"]["status"], "complete");
        let made = &done["client"]["sessions"][0]["user"];
        assert_eq!(made["email_addresses"][0]["verification"]["status"], "verified");
        assert_eq!(linked(made), ["oauth_notion"]);
        let tokens = format!("/v1/users/{}/oauth_access_tokens/notion", made["id"].as_str().unwrap());
        assert!(app.backend_get(&tokens).await.expect(200).json()[0]["token"].is_string(), "the tokens waited with it");
    }
}

/// Sends the code of a sign-up and brings it back.
pub async fn prove_sign_up(app: &TestApp, browser: &Browser, attempt: &Value, address: &str) -> Answer {
    let path = format!("/v1/client/sign_ups/{}", attempt["id"].as_str().unwrap());
    form(app, browser, &format!("{path}/prepare_verification"), &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(app, address).await;
    let brought = [("strategy", "email_code"), ("code", code.as_str())];
    form(app, browser, &format!("{path}/attempt_verification"), &brought).await
}

#[tokio::test]
async fn row_7_verified_claim_links_to_verified_address() {
    for kind in DOORS {
        let app = TestApp::start().await;
        let ada = app.person("ada").await;
        let attempt = arrive(&app, &app.browser(), kind, "oauth_google", ADA).await;
        assert_eq!(attempt["status"], "complete", "{kind}");
        let shown = user(&app, &ada.user_id).await;
        assert_eq!(linked(&shown), ["oauth_google"]);
        assert_eq!(shown["email_addresses"][0]["linked_to"][0]["type"], "oauth_google");
        assert_eq!(users(&app).await, 1);
        let done = "select count(*) from audit_events where instance_id = $1 and action = 'external_account.linked'
            and user_id = $2";
        assert_eq!(app.count(done, &ada.user_id).await, 1);
        // From now on it is row 1.
        let again = arrive(&app, &app.browser(), kind, "oauth_google", ADA).await;
        assert_eq!(again["status"], "complete");
    }
}

#[tokio::test]
async fn row_8_a_claim_waits_for_the_verification_of_the_address() {
    for kind in DOORS {
        let app = TestApp::start().await;
        let ada = app.person("ada").await;
        let browser = app.browser();
        let attempt = arrive(&app, &browser, kind, "oauth_notion", ADA).await;
        assert_waits(&attempt, ADA);
        assert_eq!(
            attempt["user_data"]["first_name"],
            user(&app, &ada.user_id).await["first_name"],
            "as if it were typed"
        );
        assert_eq!(client(&app, &browser).await["sessions"], json!([]), "an address alone signs nobody in");
        assert!(linked(&user(&app, &ada.user_id).await).is_empty());
        let tokens = format!("/v1/users/{}/oauth_access_tokens/notion", ada.user_id);
        assert_eq!(app.backend_get(&tokens).await.expect(200).json(), json!([]));

        let done = prove(&app, &browser, &attempt, ADA).await.expect(200).json();
        assert_eq!(done["response"]["status"], "complete", "{kind}");
        assert_eq!(done["client"]["sessions"][0]["user"]["id"], ada.user_id.as_str());
        let shown = user(&app, &ada.user_id).await;
        assert_eq!(linked(&shown), ["oauth_notion"]);
        assert_eq!(shown["email_addresses"][0]["linked_to"][0]["type"], "oauth_notion");
        assert!(app.backend_get(&tokens).await.expect(200).json()[0]["token"].is_string());
        assert_eq!(users(&app).await, 1);
    }
}

#[tokio::test]
async fn row_8_of_two_attempts_the_first_verification_wins() {
    let app = TestApp::start().await;
    let ada = app.person("ada").await;
    let (first, second) = (app.browser(), app.browser());
    let stale = arrive(&app, &first, "sign_ins", "oauth_notion", ADA).await;
    let attempt = arrive(&app, &second, "sign_ins", "oauth_notion", ADA).await;
    assert_eq!(user(&app, &ada.user_id).await["external_accounts"], json!([]), "each waits with its own attempt");
    assert_eq!(prove(&app, &second, &attempt, ADA).await.expect(200).json()["response"]["status"], "complete");
    app.advance(std::time::Duration::from_secs(31)).await;
    let late = prove(&app, &first, &stale, ADA).await.expect(400);
    assert_eq!(late.error_code(), "identification_claimed");
    assert_eq!(linked(&user(&app, &ada.user_id).await), ["oauth_notion"]);
}

#[tokio::test]
async fn row_9_reserved_address_is_verified_by_code_or_verified_claim() {
    for (kind, strategy) in DOORS.into_iter().flat_map(|kind| [(kind, "oauth_notion"), (kind, "oauth_google")]) {
        let app = TestApp::start().await;
        let ada = app.person("ada").await;
        let reserve = "update identifications set status = 'reserved', verified_at = null where instance_id = $1
            and user_id = $2";
        app.execute(reserve, &ada.user_id).await;
        let browser = app.browser();
        let attempt = arrive(&app, &browser, kind, strategy, ADA).await;
        if strategy == "oauth_notion" {
            assert_waits(&attempt, ADA);
            let done = prove(&app, &browser, &attempt, ADA).await.expect(200).json();
            assert_eq!(done["response"]["status"], "complete", "{kind}");
        } else {
            assert_eq!(attempt["status"], "complete", "{kind}");
        }
        let shown = user(&app, &ada.user_id).await;
        assert_eq!(linked(&shown), [strategy]);
        assert_eq!(shown["email_addresses"][0]["verification"]["status"], "verified");
    }
}

#[tokio::test]
async fn rows_10_and_11_a_claimed_address_is_hostile_until_verified() {
    // Row 10: the owner's provider vouches. Row 11: it does not.
    let rows = [("oauth_notion", ADA, "oauth_google", ADA), ("oauth_google", "eve", "oauth_notion", ADA)];
    for (kind, (before, claimant, after, owner)) in DOORS.into_iter().flat_map(|kind| rows.map(|row| (kind, row))) {
        let app = TestApp::start().await;
        let earlier = app.browser();
        let id = sign_up(&app, &earlier, before, claimant).await;
        let browser = app.browser();
        // Typed, the address would identify nobody, where addresses are verified at sign-up; a claim tells as little.
        let verify = r#"{"attributes": {"email_address": {"enabled": true, "verify_at_sign_up": true}}}"#;
        set(&app, serde_json::from_str(verify).unwrap()).await;
        let typed = app.browser().post_form(app.url("/v1/client/sign_ins"), APP, &[("identifier", ADA)]).await;
        assert_eq!(typed.expect(422).error_code(), "form_identifier_not_found");
        let attempt = arrive(&app, &browser, kind, after, owner).await;
        assert_waits(&attempt, ADA);
        assert_eq!(attempt["user_data"], Value::Null, "{attempt}");
        assert_eq!(client(&app, &earlier).await["sessions"].as_array().unwrap().len(), 1, "nothing is taken in vain");
        let done = prove(&app, &browser, &attempt, ADA).await.expect(200).json();
        assert_eq!(done["response"]["status"], "complete", "{kind} {after}");
        assert_eq!(done["client"]["sessions"][0]["user"]["id"], id.as_str());
        let shown = user(&app, &id).await;
        assert_eq!(linked(&shown), [after], "the earlier claimant's account is gone");
        assert_eq!(shown["email_addresses"][0]["verification"]["status"], "verified");
        assert_eq!(client(&app, &earlier).await["sessions"], json!([]), "the earlier session is over");
        assert_eq!(users(&app).await, 1);
    }
}

#[tokio::test]
async fn rows_7_to_11_end_where_the_instance_never_links() {
    let claim = "update identifications set status = 'unverified', verified_at = null where instance_id = $1
        and user_id = $2";
    let reserve = "update identifications set status = 'reserved', verified_at = null where instance_id = $1
        and user_id = $2";
    let app = TestApp::start().await;
    set(&app, json!({ "linking": "never" })).await;
    let ada = app.person("ada").await;
    for change in [None, Some(reserve), Some(claim)] {
        if let Some(statement) = change {
            app.execute(statement, &ada.user_id).await;
        }
        for (kind, strategy) in DOORS.into_iter().flat_map(|kind| [(kind, "oauth_notion"), (kind, "oauth_google")]) {
            let browser = app.browser();
            let found = back(&app, &browser, kind, strategy, ADA).await;
            assert_eq!(verification(&found), said("failed", "external_account_exists"), "{kind} {strategy}");
            for other in DOORS {
                let refused = transfer(&app, &browser, other).await.expect(400);
                assert_eq!(refused.error_code(), "account_transfer_invalid");
            }
        }
    }
    assert_eq!((users(&app).await, linked(&user(&app, &ada.user_id).await).len()), (json!(1), 0));
    let refused = "select count(*) from audit_events where instance_id = $1 and action = 'external_account.refused'
        and reason = 'linking_off' and user_id = $2";
    assert_eq!(app.count(refused, &ada.user_id).await, 12);
}

#[tokio::test]
async fn where_nothing_can_be_sent_a_claim_ends_and_an_unverified_one_blocks_nobody() {
    let app = TestApp::start().await;
    set(&app, json!({ "email": { "code": false, "link": false } })).await;
    let claimant = app.browser();
    let id = sign_up(&app, &claimant, "oauth_notion", ADA).await;
    // Row 11: neither side verifies anything. Row 10: the provider can, and the owner begins anew beside the claim.
    let found = back(&app, &app.browser(), "sign_ins", "oauth_google", "eve").await;
    let unprovable = said("failed", "external_account_email_address_verification_required");
    assert_eq!(verification(&found), unprovable);
    let owner = app.browser();
    let made = sign_up(&app, &owner, "oauth_google", ADA).await;
    assert_ne!(made, id);
    assert_eq!(user(&app, &made).await["email_addresses"][0]["verification"]["status"], "verified");
    assert_eq!(user(&app, &id).await["email_addresses"], json!([]), "the claim is gone");
    assert_eq!(linked(&user(&app, &id).await), ["oauth_notion"]);
    // Row 8, and row 6 where addresses are verified at sign-up.
    let found = back(&app, &app.browser(), "sign_ins", "oauth_google", "eve").await;
    assert_eq!(verification(&found), unprovable);
    set(&app, json!({ "attributes": {} })).await;
    let found = back(&app, &app.browser(), "sign_ups", "oauth_notion", "bob@example.com").await;
    assert_eq!(verification(&found), unprovable);
    assert_eq!(users(&app).await, 2);
}

#[tokio::test]
async fn in_strict_mode_a_claim_learns_nothing_before_its_verification() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": {}, "enumeration_protection": "strict" })).await;
    let ada = app.person("ada").await;
    let seen = async |kind: &str, person: &str| {
        let browser = app.browser();
        let mut found = back(&app, &browser, kind, "oauth_notion", person).await;
        let attempt = found[if kind == "sign_ins" { "sign_in" } else { "sign_up" }].take();
        (browser, attempt)
    };
    for kind in DOORS {
        let shape = |attempt: &Value| {
            let members = ["status", "missing_fields", "unverified_fields", "supported_first_factors"];
            let verification = match kind {
                "sign_ins" => &attempt["first_factor_verification"],
                _ => &attempt["verifications"]["external_account"],
            };
            (
                members.map(|name| attempt[name].clone()),
                verification["status"].clone(),
                verification["error"]["code"].clone(),
            )
        };
        let (_, known) = seen(kind, ADA).await;
        let (_, unknown) = seen(kind, "bob@example.com").await;
        assert_eq!(shape(&known), shape(&unknown), "{kind}");
    }
    // The match is shown to whoever has verified the address, and then a sign-in takes its place.
    let (browser, attempt) = seen("sign_ups", ADA).await;
    let reported = prove_sign_up(&app, &browser, &attempt, ADA).await.expect(200).json();
    let verification = &reported["response"]["verifications"]["external_account"];
    assert_eq!(
        (&verification["status"], &verification["error"]["code"]),
        (&json!("transferable"), &json!("external_account_exists"))
    );
    assert_eq!((users(&app).await, linked(&user(&app, &ada.user_id).await).len()), (json!(1), 0));
    let done = transfer(&app, &browser, "sign_ins").await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "one verification is enough");
    assert_eq!(done["client"]["sessions"][0]["user"]["id"], ada.user_id.as_str());
    assert_eq!(linked(&user(&app, &ada.user_id).await), ["oauth_notion"]);
}

#[tokio::test]
async fn of_two_claims_the_older_one_is_handed_over_and_the_other_is_lost() {
    let app = TestApp::start().await;
    let older = sign_up(&app, &app.browser(), "oauth_notion", ADA).await;
    set(&app, json!({ "enumeration_protection": "strict" })).await;
    let younger = sign_up(&app, &app.browser(), "oauth_google", "eve").await;
    set(&app, json!({ "enumeration_protection": "off" })).await;
    assert_ne!(older, younger);
    let browser = app.browser();
    let attempt = arrive(&app, &browser, "sign_ins", "oauth_google", ADA).await;
    assert_waits(&attempt, ADA);
    let done = prove(&app, &browser, &attempt, ADA).await.expect(200).json();
    assert_eq!(done["client"]["sessions"][0]["user"]["id"], older.as_str());
    assert_eq!(user(&app, &younger).await["email_addresses"], json!([]));
    assert_eq!(linked(&user(&app, &younger).await), ["oauth_google"], "all else stays with them");
    let lost =
        "select count(*) from audit_events where instance_id = $1 and action = 'email_address.lost' and user_id = $2";
    assert_eq!(app.count(lost, &younger).await, 1);
}
