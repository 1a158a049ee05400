//! Faults on the wire: each does what its name says, at the call that it names, and the adapters know it for what it is.

use super::world::{STATE, World};
use crate::support::TestApp;
use crate::support::person::{approve_failing, begin, client, provider_url};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use vestibule::model::reason::Reason;

#[tokio::test]
async fn the_callback_fails_as_configured() {
    let world = World::start().await;
    let denied = world.fail("google", "ada", "deny").await;
    assert_eq!((denied.parameters["error"].as_str(), denied.parameters["state"].as_str()), ("access_denied", STATE));
    let failed = world.fail("google", "ada", "error:server_error").await;
    assert_eq!(failed.parameters["error"], "server_error");
    assert!(!failed.parameters.contains_key("code"));
    let foreign = world.fail("google", "ada", "wrong_iss").await;
    assert!(foreign.parameters.contains_key("code"));
    assert_eq!(foreign.parameters["iss"], "https://issuer.invalid");

    let form = [("person", "ada@example.com"), ("fail", "error:invalid_scope")];
    let pressed = world.press(world.start_url("notion", None), &form).await;
    assert_eq!((pressed.status, pressed.parameters["error"].as_str()), (303, "invalid_scope"));
    world.switch("notion", json!({"fault": "deny"})).await;
    let denied = world.auto(world.start_url("notion", None), "ada").await;
    assert_eq!(denied.parameters["error"], "access_denied");
    world.switch("notion", json!({"fault": null})).await;
    assert!(world.auto(world.start_url("notion", None), "ada").await.parameters.contains_key("code"));
}

/// The answer to a code that was approved with this fault.
async fn answer(world: &World, fault: &str) -> reqwest::Response {
    let callback = world.fail("google", "ada", fault).await;
    world.google_code(&callback).send().await.unwrap()
}

fn content_type(answer: &reqwest::Response) -> Option<&str> {
    answer.headers().get("content-type").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_answer_is_something_else() {
    let world = World::start().await;
    for (fault, status) in [("http_500", 500), ("http_503", 503), ("rate_limited", 429), ("redirect", 302)] {
        let answer = answer(&world, fault).await;
        assert_eq!(answer.status(), status, "{fault}");
        assert_eq!(answer.headers().contains_key("location"), fault == "redirect");
        assert_eq!(answer.headers().contains_key("retry-after"), fault == "rate_limited");
    }
    let page = answer(&world, "not_json").await;
    assert_eq!((page.status().as_u16(), content_type(&page)), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().await.unwrap().starts_with("<!doctype html>"));

    let refused = answer(&world, "error:invalid_client@token").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"], "invalid_client");
    let callback = world.fail("notion", "ada", "error:invalid_grant@token").await;
    let error = world.exchange("notion", &callback).await.unwrap_err();
    assert_eq!((error.reason, error.provider_code.as_deref()), (Reason::TokenInvalidGrant, Some("invalid_grant")));
}

#[tokio::test]
async fn an_answer_is_spoiled() {
    let world = World::start().await;
    let half = answer(&world, "truncated_body").await;
    let length = half.content_length();
    let text = half.text().await.unwrap();
    assert_eq!(length, Some(text.len() as u64), "it pretends to be whole");
    assert!(text.starts_with("{\"access_token\"") && serde_json::from_str::<Value>(&text).is_err());

    let nameless = answer(&world, "no_content_type").await;
    assert_eq!(content_type(&nameless), None);
    assert!(nameless.json::<Value>().await.unwrap()["access_token"].is_string());

    let wrong = answer(&world, "wrong_types").await.json::<Value>().await.unwrap();
    assert!(wrong["access_token"].is_array() && wrong["expires_in"].is_object() && wrong["scope"].is_array());

    let callback = world.fail("google", "ada", "cut").await;
    let cut = async { world.google_code(&callback).send().await?.text().await };
    cut.await.expect_err("the connection ends before the answer does");

    let mut drops = answer(&world, "drip").await;
    assert_eq!(drops.chunk().await.unwrap().unwrap(), "{");
    assert_eq!(drops.chunk().await.unwrap().unwrap(), "\"");
}

#[tokio::test]
async fn an_answer_is_late() {
    let world = World::start().await;
    let callback = world.fail("google", "ada", "slow:60000").await;
    tokio::select! {
        biased;
        _ = world.google_code(&callback).send() => panic!("it is not late"),
        () = async { world.sign_in("google", "bob").await; } => {}
    }
    assert_eq!(answer(&world, "slow:1").await.status(), 200);
}

#[tokio::test]
async fn an_answer_is_without_end() {
    let world = World::start().await;
    let read = async |mut answer: reqwest::Response, wanted: usize| {
        let mut read = 0;
        while read < wanted {
            read += answer.chunk().await.unwrap().expect("more of it").len();
        }
    };
    let huge = answer(&world, "huge").await;
    assert_eq!(huge.content_length(), None);
    read(huge, 4 << 20).await;

    let packed = answer(&world, "gzip_bomb").await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    read(packed, 1 << 20).await;
    let callback = world.fail("google", "ada", "gzip_bomb").await;
    let (_, request) = world.google_code(&callback).build_split();
    let unpacked = unpacking().execute(request.unwrap()).await.unwrap();
    read(unpacked, 64 << 20).await;
}

#[expect(clippy::disallowed_methods, reason = "a client that unpacks, as ours does")]
fn unpacking() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn our_adapters_know_each_for_what_it_is() {
    use Reason::*;
    let world = World::start().await;
    for (fault, reason, detail) in [
        ("cut", ProviderUnreachable, "cut"),
        ("http_500", Provider5xx, ""),
        ("rate_limited", ProviderRateLimited, ""),
        ("redirect", EndpointRefused, "redirected"),
        ("not_json", ProviderUnreadable, "html"),
        ("truncated_body", ProviderUnreadable, "json"),
        ("no_content_type", ProviderUnreadable, "type"),
        ("wrong_types", ProviderWrongType, "access_token"),
        ("huge", ProviderUnreadable, "size"),
        ("gzip_bomb", ProviderUnreadable, "size"),
        ("error:invalid_client@token", TokenInvalidClient, ""),
        ("error:redirect_uri_mismatch@token", CallbackUnregistered, ""),
        ("error:invalid_request@token", ProviderRefused, ""),
        ("error:invalid_scope@token", ScopeRefused, ""),
    ] {
        for slug in ["github", "google", "notion"] {
            let callback = world.fail(slug, "ada", fault).await;
            let error = world.exchange(slug, &callback).await.unwrap_err();
            assert_eq!((error.reason, error.detail), (reason, detail), "{slug} {fault}");
        }
    }
}

#[tokio::test]
async fn a_fault_stays_with_its_approval_and_its_call() {
    let world = World::start().await;
    let callback = world.fail("google", "ada", "http_502@userinfo").await;
    let broken = world.exchange("google", &callback).await.unwrap();
    let (well, _) = world.sign_in("google", "ada").await;
    let userinfo = async |token: &str| {
        world.browser.get(world.url("google", "v1/userinfo")).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!(userinfo(broken.access_token.expose_secret()).await, 502);
    assert_eq!(userinfo(well.access_token.expose_secret()).await, 200);

    let callback = world.fail("google", "bob", "cut@refresh").await;
    let tokens = world.exchange("google", &callback).await.unwrap();
    let error = world.refresh("google", tokens.refresh_token.as_ref().unwrap()).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (Reason::ProviderUnreachable, "cut"));
}

#[tokio::test]
async fn keys_and_metadata_fail_for_whoever_comes_next() {
    let world = World::start().await;
    let status = async |path| world.browser.get(world.url("google", path)).send().await.unwrap().status().as_u16();
    for (fault, path) in
        [("http_500@keys", "oauth2/v3/certs"), ("http_500@discovery", ".well-known/openid-configuration")]
    {
        let callback = world.fail("google", "ada", fault).await;
        assert_eq!((status(path).await, status(path).await), (500, 200), "{fault}");
        assert!(world.exchange("google", &callback).await.is_ok());
    }
    world.switch("google", json!({"fault": "issuer_mismatch@discovery"})).await;
    let document = world.browser.get(world.url("google", ".well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(document.json::<Value>().await.unwrap()["issuer"], "https://issuer.invalid");
}

#[tokio::test]
async fn of_many_calls_so_many_fail_as_were_reported() {
    let world = World::start().await;
    let answer = world.switch("google", json!({"fail_next": {"status": 503, "count": 3}})).await;
    assert_eq!(answer, json!({"revoked_refresh_tokens": 0}));
    assert_eq!(world.state("google").await["fail_next"]["count"], 3);
    let calls = (0..10).map(|_| world.google_token(&[("grant_type", "refresh_token")]).send());
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.as_ref().unwrap().status() == 503).count(), 3);
    let state = world.state("google").await;
    assert_eq!((&state["fail_next"], &state["calls"]["refresh"]), (&Value::Null, &json!(10)));

    world.switch("google", json!({"fail_next": {"fault": "redirect@token"}})).await;
    assert!(world.refresh("google", &"1//0made-up".into()).await.is_err());
    let callback = world.auto(world.start_url("google", None), "ada").await;
    let error = world.exchange("google", &callback).await.unwrap_err();
    assert_eq!(error.reason, Reason::EndpointRefused, "a refresh does not use up a fault of the code exchange");
    assert!(world.exchange("google", &callback).await.is_ok());
}

#[tokio::test]
async fn what_is_no_fault_is_refused() {
    let world = World::start().await;
    let mut start = world.start_url("google", None);
    start.query_pairs_mut().append_pair("fail", "nope").append_pair("auto", "1").append_pair("login_hint", "ada");
    let answer = world.browser.get(start).send().await.unwrap();
    assert_eq!(answer.status(), 422);
    assert!(answer.text().await.unwrap().contains("There is no such fault."));
    for switches in [
        json!({"fault": "nope"}),
        json!({"refresh": "nope"}),
        json!({"fail_next": {}}),
        json!({"fail_next": {"status": 200}}),
        json!({"fail_next": {"status": 500, "fault": "cut"}}),
    ] {
        let answer = world.browser.post(world.url("google", "state")).json(&switches).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{switches}");
    }
    let state = world.state("google").await;
    assert_eq!(state["fault"], Value::Null, "nothing was switched");
}

#[tokio::test]
async fn an_app_receives_the_error_of_a_fault() {
    let app = TestApp::start().await;
    for (fault, code, reason) in [
        ("http_500", "oauth_token_exchange_error", "provider_5xx"),
        ("error:invalid_client@token", "misconfigured_oauth_provider", "token_invalid_client"),
        ("bad_signature", "oauth_fetch_user_error", "idtoken_refused"),
    ] {
        let browser = app.browser();
        let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
        let callback = approve_failing(&browser, provider_url(&begun), "ada@example.com", fault).await;
        browser.get(callback).await.expect(303);
        let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
        assert_eq!(
            (&verification["status"], &verification["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{fault}"
        );
        assert_eq!(verification["error"]["meta"]["reason"], reason);
    }
}
