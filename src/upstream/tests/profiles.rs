//! Profiles: which calls are made, and what is read out of their answers.

use super::{GITHUB, at, described, upstream};
use crate::crypto::Secret;
use crate::model::profile::{EmailTrust, Profile};
use crate::model::reason::Reason;
use crate::upstream::error::UpstreamError;
use crate::upstream::oidc::NonceCheck;
use crate::upstream::profile::{self, Answers};
use crate::upstream::provider::Provider;
use crate::upstream::token::TokenAnswer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::macros::datetime;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn tokens(raw: Value) -> TokenAnswer {
    TokenAnswer {
        access_token: Secret::from("at".to_owned()),
        refresh_token: None,
        id_token: None,
        token_type: None,
        expires_in: None,
        scopes: None,
        raw,
    }
}

async fn fetch(provider: &Provider, raw: Value) -> Result<Profile, UpstreamError> {
    let now = datetime!(2026-11-21 12:00 UTC);
    let answers = Answers { callback: &BTreeMap::new(), tokens: &tokens(raw) };
    profile::fetch(&upstream(), provider, &answers, NonceCheck::NotSent, now).await
}

async fn serving(at: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    serve(&server, at, answer).await;
    server
}

async fn serve(server: &MockServer, at: &str, answer: ResponseTemplate) {
    let call = Mock::given(method("GET")).and(path(at)).and(header("authorization", "Bearer at"));
    call.respond_with(answer).mount(server).await;
}

fn json_answer(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn owner(person: Value) -> Value {
    json!({"type": "user", "user": {"object": "user", "id": "e79a0b74", "name": "Ada King Lovelace", "avatar_url": null,
                                    "type": "person", "person": person}})
}

#[tokio::test]
async fn notion_is_not_called_when_the_token_answer_says_who() {
    let server = MockServer::start().await;
    let raw = json!({"owner": owner(json!({"email": " ada@example.com "}))});
    let ada = fetch(&at(&server, "notion"), raw).await.unwrap();
    assert_eq!(ada.provider_user_id, "e79a0b74");
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("ada@example.com"), EmailTrust::Unverified));
    assert_eq!((ada.first_name.as_deref(), ada.last_name.as_deref()), (Some("Ada"), Some("King Lovelace")));
    assert_eq!(ada.avatar_url, None);

    let without = fetch(&at(&server, "notion"), json!({"owner": owner(json!({}))})).await.unwrap();
    assert_eq!((without.email, without.email_trust), (None, EmailTrust::Unverified));
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn notion_is_asked_when_the_token_answer_lacks_the_person() {
    let me = json!({"object": "user", "id": "bot", "type": "bot", "bot": {"owner": owner(json!({"email": "ada@example.com"}))}});
    let server = serving("/v1/users/me", json_answer(me)).await;
    let ada = fetch(&at(&server, "notion"), json!({"bot_id": "b"})).await.unwrap();
    assert_eq!((ada.provider_user_id.as_str(), ada.email.as_deref()), ("e79a0b74", Some("ada@example.com")));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["notion-version"], "2022-06-28");
}

#[tokio::test]
async fn a_workspace_is_nobody() {
    let me = json!({"object": "user", "id": "bot", "bot": {"owner": {"type": "workspace", "workspace": true}}});
    let server = serving("/v1/users/me", json_answer(me)).await;
    let raw = json!({"owner": {"type": "workspace", "workspace": true}});
    let error = fetch(&at(&server, "notion"), raw).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (Reason::IdentityUnusable, "absent"));
    assert_eq!(error.failure().code, "oauth_fetch_user_error");
}

async fn github(user: Value, emails: Value) -> Result<Profile, UpstreamError> {
    let server = serving("/user", json_answer(user)).await;
    serve(&server, "/user/emails", json_answer(emails)).await;
    fetch(&described(&server, GITHUB), json!({})).await
}

#[tokio::test]
async fn several_calls_make_one_profile() {
    let user = json!({"login": "ada", "id": 583231, "name": "Ada", "avatar_url": "https://avatars.example/u", "email": "public@x.y"});
    let emails = json!([
        {"email": "other@example.com", "primary": false, "verified": true},
        {"email": "ada@example.com", "primary": true, "verified": true},
    ]);
    let ada = github(user, emails).await.unwrap();
    let expected = Profile {
        provider_user_id: "583231".to_owned(),
        email: Some("ada@example.com".to_owned()),
        email_trust: EmailTrust::Verified,
        first_name: Some("Ada".to_owned()),
        last_name: None,
        username: Some("ada".to_owned()),
        avatar_url: Some("https://avatars.example/u".to_owned()),
        phone: None,
        locale: None,
        public_metadata: serde_json::Map::new(),
    };
    assert_eq!(ada, expected);
}

#[tokio::test]
async fn trust_is_a_closed_list() {
    for (verified, trust) in [
        (json!(true), EmailTrust::Verified),
        (json!("1"), EmailTrust::Verified),
        (json!(false), EmailTrust::Unverified),
        (json!("yes"), EmailTrust::Unverified),
        (json!(null), EmailTrust::Unverified),
        (json!({"true": true}), EmailTrust::Unverified),
    ] {
        let emails = json!([{"email": "ada@example.com", "primary": true, "verified": verified}]);
        assert_eq!(github(json!({"id": 1}), emails).await.unwrap().email_trust, trust, "{verified}");
    }
}

#[tokio::test]
async fn odd_values_are_left_out_and_odd_ids_refused() {
    let user = json!({"id": 1, "login": {"x": 1}, "name": "\u{0}A\u{7}da \n", "avatar_url": "javascript:alert(1)"});
    let ada = github(user, json!([{"email": "no address", "primary": true, "verified": true}])).await.unwrap();
    assert_eq!((ada.username, ada.avatar_url, ada.email), (None, None, None));
    assert_eq!((ada.email_trust, ada.first_name.as_deref()), (EmailTrust::Unverified, Some("Ada")));
    let long = "x".repeat(256);
    for id in [json!(null), json!(""), json!(1.5), json!(true), json!([1]), json!(long), json!("a\u{0}b")] {
        let error = github(json!({"id": id}), json!([])).await.unwrap_err();
        assert_eq!((error.reason, error.detail), (Reason::IdentityUnusable, "absent"), "{id}");
    }
}

#[tokio::test]
async fn a_failing_call_fails_the_sign_in() {
    for (answer, reason) in [
        (ResponseTemplate::new(401).set_body_json(json!({"message": "Bad credentials"})), Reason::ProviderRefused),
        (ResponseTemplate::new(403), Reason::ProviderRefused),
        (ResponseTemplate::new(429), Reason::ProviderRateLimited),
        (ResponseTemplate::new(200).set_body_raw("<html>", "text/html"), Reason::ProviderUnreadable),
        (ResponseTemplate::new(302).insert_header("location", "/elsewhere"), Reason::EndpointRefused),
        (ResponseTemplate::new(500), Reason::Provider5xx),
    ] {
        let server = serving("/user", answer).await;
        let error = fetch(&described(&server, GITHUB), json!({})).await.unwrap_err();
        assert_eq!((error.reason, error.failure().code), (reason, "oauth_fetch_user_error"));
        let expected = if reason == Reason::Provider5xx { 2 } else { 1 };
        assert_eq!(server.received_requests().await.unwrap().len(), expected, "{reason}");
    }
}

#[tokio::test]
async fn a_get_is_sent_once_more_after_a_fault() {
    let server = MockServer::start().await;
    let first = Mock::given(method("GET")).and(path("/user")).respond_with(ResponseTemplate::new(503));
    first.up_to_n_times(1).mount(&server).await;
    serve(&server, "/user", json_answer(json!({"id": 7}))).await;
    serve(&server, "/user/emails", json_answer(json!([]))).await;
    assert_eq!(fetch(&described(&server, GITHUB), json!({})).await.unwrap().provider_user_id, "7");
}

#[tokio::test]
async fn an_optional_call_may_fail_and_its_address_takes_earlier_answers() {
    let file = GITHUB.replace(
        "[profile]",
        "[[calls]]\nid = \"owner\"\nurl = \"https://api.github.com/owners/{user.login}\"\noptional = true\n\n[profile]\nfirst_name = \"owner.first\"",
    );
    let server = serving("/user", json_answer(json!({"id": 1, "login": "a/b c"}))).await;
    serve(&server, "/user/emails", json_answer(json!([]))).await;
    assert_eq!(fetch(&described(&server, &file), json!({})).await.unwrap().first_name, None);
    let paths: Vec<String> =
        server.received_requests().await.unwrap().iter().map(|request| request.url.path().to_owned()).collect();
    assert_eq!(paths, ["/user", "/user/emails", "/owners/a%2Fb%20c"]);
}
