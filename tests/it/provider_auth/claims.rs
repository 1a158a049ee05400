//! An account that a stranger claims by naming somebody's address waits with the stranger's own attempt: nothing of it
//! is the owner's, anywhere, before the address is verified, and all of it afterwards.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use vestibule::store::retention::Remover;

use super::connecting::connect;
use super::linking::{ADA, arrive, assert_waits, linked, prove, user, users};
use crate::support::browser::send;
use crate::support::person::{begin, client, sign_up};
use crate::support::retention::remove;
use crate::support::{Browser, TestApp};
use crate::verification::{code_for, form};

const HOUR: Duration = Duration::from_secs(3600);

/// Takes out what differs from one request to the next: times and tokens.
fn without_times(mut tree: Value) -> Value {
    fn scrub(tree: &mut Value) {
        match tree {
            Value::Object(members) => {
                members.retain(|name, _| !name.ends_with("_at") && name != "jwt" && name != "factor_verification_age");
                members.values_mut().for_each(scrub);
            }
            Value::Array(items) => items.iter_mut().for_each(scrub),
            _ => {}
        }
    }
    scrub(&mut tree);
    tree
}

/// A page without its form tokens.
fn without_tokens(page: &str) -> String {
    let (before, rest) = page.split_once("name=\"csrf\" value=\"").unwrap_or((page, ""));
    let rest = rest.split_once('"').map_or(String::new(), |(_, rest)| without_tokens(rest));
    format!("{before}{rest}")
}

/// Everything that anybody is shown of a user, and what is stored and counted of all.
async fn shown(app: &TestApp, browser: &Browser, id: &str) -> Vec<(&'static str, String)> {
    let mut seen = Vec::new();
    for path in ["/v1/client", "/v1/me"] {
        seen.push((path, without_times(browser.get(app.url(path)).await.expect(200).json()).to_string()));
    }
    let user = format!("/v1/users/{id}");
    for (what, path) in [("user", user.as_str()), ("users", "/v1/users"), ("count", "/v1/users/count")] {
        seen.push((what, without_times(app.backend_get(path).await.expect(200).json()).to_string()));
    }
    for path in ["/user", "/user/connections"] {
        seen.push((path, without_tokens(&browser.get(app.url(path)).await.expect(200).text)));
    }
    let rows = "select md5(string_agg(t, '' order by t)) from (
            select u::text as t from users u union all select i::text from identifications i
            union all select e::text from external_accounts e union all select p::text from provider_tokens p
            union all select o::text from outbox o union all select a::text from audit_events a where a.user_id is not null
            union all select c::text from counters c) rows";
    seen.push(("rows", sqlx::query_scalar(rows).fetch_one(&app.app().db).await.unwrap()));
    seen
}

/// Lets as many people at Notion show Ada's address; returns the names they answer to.
async fn claimants(app: &TestApp, count: usize) -> Vec<String> {
    let hints: Vec<String> = (0..count).map(|number| format!("claim-{number}@example.com")).collect();
    let id = |hint: &String| vestibule::simulator::provider_user_id("notion", hint).unwrap();
    let ids: Vec<String> = hints.iter().map(id).collect();
    sqlx::query(
        r#"insert into simulator_people (instance_id, provider, provider_user_id, login_hint, person, created_at)
           select $1, 'notion', n.id, n.hint, '{"first_name": "Eve", "last_name": "Dropper", "email": "ada@example.com",
               "email_verified": false}', now() from unnest($2::text[], $3::text[]) n (id, hint)"#,
    )
    .bind(app.instance.as_str())
    .bind(ids)
    .bind(&hints)
    .execute(&app.app().db)
    .await
    .unwrap();
    hints
}

/// Claims that wait, and tokens that wait with them.
async fn waiting(app: &TestApp) -> (i64, i64) {
    let claims = "select count(*) from sign_ins where instance_id = $1 and $2 = '' and pending_account is not null";
    let tokens = "select count(*) from provider_authorizations where instance_id = $1 and $2 = ''
        and (tokens_sealed is not null or profile is not null or provider_user_id is not null)";
    (app.count(claims, "").await, app.count(tokens, "").await)
}

/// External accounts and provider tokens of the instance.
async fn stored(app: &TestApp) -> (i64, i64) {
    let accounts = "select count(*) from external_accounts where instance_id = $1 and $2 = ''";
    let tokens = "select count(*) from provider_tokens where instance_id = $1 and $2 = ''";
    (app.count(accounts, "").await, app.count(tokens, "").await)
}

async fn attempt_code(app: &TestApp, browser: &Browser, attempt: &Value, code: &str) -> crate::support::Answer {
    let path = format!("/v1/client/sign_ins/{}/attempt_first_factor", attempt["id"].as_str().unwrap());
    form(app, browser, &path, &[("strategy", "email_code"), ("code", code)]).await
}

async fn prepare_code(app: &TestApp, browser: &Browser, attempt: &Value) -> String {
    let path = format!("/v1/client/sign_ins/{}/prepare_first_factor", attempt["id"].as_str().unwrap());
    let id = attempt["supported_first_factors"][0]["email_address_id"].as_str().unwrap();
    form(app, browser, &path, &[("strategy", "email_code"), ("email_address_id", id)]).await.expect(200);
    code_for(app, ADA).await
}

#[tokio::test]
async fn claims_of_strangers_change_nothing_that_anybody_is_shown_of_the_owner() {
    let app = TestApp::start().await;
    let ada = app.browser();
    let id = sign_up(&app, &ada, "oauth_google", ADA).await;
    // What she is connecting herself is hers to see, all along.
    connect(&app, &ada, "oauth_github", &[]).await.expect(200);
    let before = shown(&app, &ada, &id).await;
    let listed = user(&app, &id).await["external_accounts"].as_array().unwrap().len();
    assert_eq!(listed, 2, "the connected one and the one that is being connected");

    let hints = claimants(&app, 200).await;
    for some in hints.chunks(10) {
        let claim = async |hint: &String| {
            let browser = app.browser();
            assert_waits(&arrive(&app, &browser, "sign_ins", "oauth_notion", hint).await, ADA);
        };
        join_all(some.iter().map(claim)).await;
    }
    for (after, before) in shown(&app, &ada, &id).await.into_iter().zip(before) {
        assert_eq!(after, before);
    }
    assert_eq!(waiting(&app).await, (200, 200), "each in an attempt of its own");

    // The owner comes, by an account that nobody vouches for either, and verifies the address.
    let owner = app.browser();
    let attempt = arrive(&app, &owner, "sign_ups", "oauth_notion", ADA).await;
    assert_waits(&attempt, ADA);
    assert_eq!(stored(&app).await, (2, 1), "no account and no token before the verification");
    let done = prove(&app, &owner, &attempt, ADA).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["client"]["sessions"][0]["user"]["id"], id.as_str());
    assert_eq!(linked(&user(&app, &id).await), ["oauth_google", "oauth_notion"]);
    let tokens = app.backend_get(&format!("/v1/users/{id}/oauth_access_tokens/notion")).await.expect(200).json();
    let token = tokens[0]["token"].as_str().unwrap();
    let api = app.url("/_dev/providers/notion/v1/users/me");
    let asked = app.browser().raw(http::Method::GET, &api).bearer_auth(token).header("Notion-Version", "2022-06-28");
    send(asked).await.expect(200);
    assert_eq!((stored(&app).await, waiting(&app).await.0, users(&app).await), ((3, 2), 200, json!(1)));
}

#[tokio::test]
async fn a_claim_goes_with_its_attempt() {
    let app = TestApp::start().await;
    let ada = app.person("ada").await;
    let browser = app.browser();
    let attempt = arrive(&app, &browser, "sign_ins", "oauth_notion", ADA).await;

    // A wrong code verifies nothing and takes nothing away.
    let code = prepare_code(&app, &browser, &attempt).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    attempt_code(&app, &browser, &attempt, wrong).await.expect(422);
    assert_eq!((stored(&app).await, waiting(&app).await), ((0, 0), (1, 1)));

    // A newer attempt of the same browser takes the claim and its tokens away; the code leads nowhere any more.
    begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    assert_eq!((stored(&app).await, waiting(&app).await), ((0, 0), (0, 0)));
    let late = attempt_code(&app, &browser, &attempt, &code).await.expect(403);
    assert_eq!(late.error_code(), "resource_forbidden");

    // And so does a day.
    let other = app.browser();
    let attempt = arrive(&app, &other, "sign_ups", "oauth_notion", ADA).await;
    assert_eq!(waiting(&app).await, (1, 1));
    app.advance(24 * HOUR).await;
    let late = attempt_code(&app, &other, &attempt, &code).await.expect(400);
    assert_eq!(late.error_code(), "client_state_invalid");
    remove(&app, Remover::ProviderAuthorizationSecrets).await;
    assert_eq!((stored(&app).await, waiting(&app).await), ((0, 0), (1, 0)), "what came from the provider is gone");
    app.advance(25 * HOUR).await;
    remove(&app, Remover::SignIns).await;
    assert_eq!(waiting(&app).await, (0, 0));
    assert!(linked(&user(&app, &ada.user_id).await).is_empty());
    assert_eq!(client(&app, &other).await["sessions"], json!([]));
}

#[tokio::test]
async fn two_verifications_of_a_claim_at_once_link_it_once() {
    let app = TestApp::start().await;
    let ada = app.person("ada").await;
    let browser = app.browser();
    let attempt = arrive(&app, &browser, "sign_ins", "oauth_notion", ADA).await;
    let code = prepare_code(&app, &browser, &attempt).await;
    let answers = join_all((0..4).map(|_| attempt_code(&app, &browser, &attempt, &code))).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1, "{answers:?}");
    assert_eq!((stored(&app).await, waiting(&app).await.0), ((1, 1), 0));
    let done = "select count(*) from audit_events where instance_id = $1 and action = 'external_account.linked'
        and user_id = $2";
    assert_eq!(app.count(done, &ada.user_id).await, 1);
}
