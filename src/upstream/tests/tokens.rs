//! The token endpoint: what is sent, and what is made of good, odd and hostile answers.

use super::{GITHUB, at, described, nowhere, upstream};
use crate::crypto::{ExposeSecret, Secret};
use crate::model::reason::Reason::{self, *};
use crate::upstream::error::UpstreamError;
use crate::upstream::provider::Provider;
use crate::upstream::request::Verifier;
use crate::upstream::token::{self, CodeExchange, TokenAnswer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const CALLBACK: &str = "http://localhost:8484/v1/oauth_callback";

/// A mock server whose token endpoint gives this answer.
async fn answering(at: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path(at)).respond_with(answer).mount(&server).await;
    server
}

async fn exchange(provider: &Provider, verifier: Option<&Verifier>) -> Result<TokenAnswer, UpstreamError> {
    let code = Secret::from("4/0A+ b".to_owned());
    let request = CodeExchange { code: &code, verifier, redirect_uri: CALLBACK };
    token::exchange(&upstream().outbound, provider, &request).await
}

async fn refresh(provider: &Provider) -> Result<TokenAnswer, UpstreamError> {
    token::refresh(&upstream().outbound, provider, &Secret::from("old refresh".to_owned())).await
}

async fn only_request(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn form(request: &Request) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

fn good() -> Value {
    json!({"access_token": "at", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "rt", "id_token": "it",
           "scope": "openid https://www.googleapis.com/auth/userinfo.email openid", "extra": {"a": 1}})
}

#[tokio::test]
async fn google_gets_a_form_with_the_secret_in_it() {
    let server = answering("/token", ResponseTemplate::new(200).set_body_json(good())).await;
    let verifier = Verifier::parse(&"v".repeat(43)).unwrap();
    let answer = exchange(&at(&server, "google"), Some(&verifier)).await.unwrap();

    let request = only_request(&server).await;
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(request.headers["accept"], "application/json");
    assert!(request.headers["user-agent"].to_str().unwrap().starts_with("Vestibule/"));
    assert!(!request.headers.contains_key("authorization"));
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", "4/0A+ b"),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier.expose()),
        ("client_id", "our:client"),
        ("client_secret", "our secret+"),
    ];
    assert_eq!(form(&request), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());

    assert_eq!(answer.access_token.expose_secret(), "at");
    assert_eq!(answer.refresh_token.as_ref().map(ExposeSecret::expose_secret), Some("rt"));
    assert_eq!(answer.id_token.as_ref().map(ExposeSecret::expose_secret), Some("it"));
    assert_eq!((answer.expires_in, answer.token_type.as_deref()), (Some(3599), Some("Bearer")));
    let scopes = ["openid", "https://www.googleapis.com/auth/userinfo.email"].map(str::to_owned);
    assert_eq!(answer.scopes.as_deref(), Some(scopes.as_slice()));
    assert_eq!(answer.raw["extra"]["a"], 1);
    let shown = format!("{answer:?} {}", answer.raw);
    for secret in ["\"at\"", "\"rt\"", "\"it\""] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn notion_gets_json_with_basic_authentication() {
    let answer = json!({"access_token": "ntn_1", "token_type": "bearer", "refresh_token": null});
    let server = answering("/v1/oauth/token", ResponseTemplate::new(200).set_body_json(answer)).await;
    let answer = exchange(&at(&server, "notion"), None).await.unwrap();

    let request = only_request(&server).await;
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["notion-version"], "2022-06-28");
    // "our%3Aclient:our+secret%2B": a colon in the id must not move the border (RFC 6749 section 2.3.1).
    assert_eq!(request.headers["authorization"], "Basic b3VyJTNBY2xpZW50Om91citzZWNyZXQlMkI=");
    let body: Value = request.body_json().unwrap();
    assert_eq!(body, json!({"grant_type": "authorization_code", "code": "4/0A+ b", "redirect_uri": CALLBACK}));

    assert!(answer.refresh_token.is_none());
    assert_eq!((answer.expires_in, answer.scopes), (None, None));
}

#[tokio::test]
async fn a_refresh_asks_in_the_same_form() {
    let answer = json!({"access_token": "new", "expires_in": "3600"});
    let server = answering("/token", ResponseTemplate::new(200).set_body_json(answer)).await;
    let answer = refresh(&at(&server, "google")).await.unwrap();
    let sent = form(&only_request(&server).await);
    assert_eq!(sent["grant_type"], "refresh_token");
    assert_eq!(sent["refresh_token"], "old refresh");
    assert_eq!(sent["client_secret"], "our secret+");
    assert!(answer.refresh_token.is_none(), "the stored one stays");
    assert_eq!(answer.expires_in, Some(3600));
}

#[tokio::test]
async fn an_access_token_is_exchanged_by_the_grant_that_the_file_names() {
    let body = json!({"access_token": "longer", "token_type": "bearer", "expires_in": 5_183_944});
    let server = answering("/login/oauth/access_token", ResponseTemplate::new(200).set_body_json(body)).await;
    let refresh = "[refresh]\nexchange = { grant_type = \"prolong_it\", token_param = \"held_token\" }";
    let provider = described(&server, &GITHUB.replace("[refresh]", refresh));
    let exchange = provider.descriptor.refresh.exchange.as_ref().unwrap();
    let held = Secret::from("held".to_owned());
    let answer = token::exchange_long_lived(&upstream().outbound, &provider, exchange, &held).await.unwrap();
    assert_eq!((answer.access_token.expose_secret(), answer.expires_in), ("longer", Some(5_183_944)));
    assert!(answer.refresh_token.is_none() && answer.scopes.is_none());
    let sent = form(&only_request(&server).await);
    let expected = [
        ("grant_type", "prolong_it"),
        ("held_token", "held"),
        ("client_id", "our:client"),
        ("client_secret", "our secret+"),
    ];
    assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

fn is(outcome: Result<TokenAnswer, UpstreamError>) -> (Reason, &'static str) {
    let error = outcome.unwrap_err();
    (error.reason, error.detail)
}

#[tokio::test]
async fn hostile_answers_become_reasons() {
    let json = |status: u16, body: &str| ResponseTemplate::new(status).set_body_raw(body, "application/json");
    let html = |status: u16| ResponseTemplate::new(status).set_body_raw("<html><script>alert(1)</script>", "text/html");
    let huge = format!("{{\"access_token\":\"{}\"}}", "a".repeat(70_000));
    for (name, answer, expected) in [
        ("html", html(200), (ProviderUnreadable, "html")),
        ("html 400", html(400), (ProviderRefused, "")),
        ("html 502", html(502), (Provider5xx, "")),
        ("text", ResponseTemplate::new(200).set_body_raw("access_token=a", "text/plain"), (ProviderUnreadable, "type")),
        (
            "no type",
            ResponseTemplate::new(200).set_body_bytes(b"{\"access_token\":\"a\"}"),
            (ProviderUnreadable, "type"),
        ),
        ("cut json", json(200, "{\"access_token\":\"a"), (ProviderUnreadable, "json")),
        ("empty", json(200, ""), (ProviderUnreadable, "json")),
        ("204", ResponseTemplate::new(204), (ProviderUnreadable, "type")),
        ("huge", json(200, &huge), (ProviderUnreadable, "size")),
        ("list", json(200, "[]"), (ProviderWrongType, "access_token")),
        ("null", json(200, "null"), (ProviderWrongType, "access_token")),
        ("nothing", json(200, "{}"), (ProviderWrongType, "access_token")),
        ("empty token", json(200, "{\"access_token\":\"\"}"), (ProviderWrongType, "access_token")),
        ("number", json(200, "{\"access_token\":7}"), (ProviderWrongType, "access_token")),
        ("newline", json(200, "{\"access_token\":\"a\\r\\nX: y\"}"), (ProviderWrongType, "access_token")),
        ("bad life", json(200, "{\"access_token\":\"a\",\"expires_in\":\"soon\"}"), (ProviderWrongType, "expires_in")),
        ("negative", json(200, "{\"access_token\":\"a\",\"expires_in\":-1}"), (ProviderWrongType, "expires_in")),
        ("list life", json(200, "{\"access_token\":\"a\",\"expires_in\":[1]}"), (ProviderWrongType, "expires_in")),
        (
            "bad refresh",
            json(200, "{\"access_token\":\"a\",\"refresh_token\":{}}"),
            (ProviderWrongType, "refresh_token"),
        ),
        ("bad id", json(200, "{\"access_token\":\"a\",\"id_token\":1}"), (ProviderWrongType, "id_token")),
        ("bad scope", json(200, "{\"access_token\":\"a\",\"scope\":[1]}"), (ProviderWrongType, "scope")),
        ("hidden error", json(200, "{\"error\":\"invalid_grant\"}"), (TokenInvalidGrant, "")),
        ("grant", json(400, "{\"error\":\"invalid_grant\"}"), (TokenInvalidGrant, "")),
        ("client", json(401, "{\"error\":\"invalid_client\"}"), (TokenInvalidClient, "")),
        ("redirect uri", json(400, "{\"error\":\"redirect_uri_mismatch\"}"), (CallbackUnregistered, "")),
        ("object", json(400, "{\"error\":{\"code\":190,\"message\":\"m\"}}"), (ProviderRefused, "")),
        ("moved", json(302, "").insert_header("location", "http://127.0.0.1:1/"), (EndpointRefused, "redirected")),
        ("429", json(429, "{}").insert_header("retry-after", "7"), (ProviderRateLimited, "")),
        ("500", json(500, "{\"error\":\"invalid_grant\"}"), (Provider5xx, "")),
    ] {
        let server = answering("/token", answer).await;
        assert_eq!(is(exchange(&at(&server, "google"), None).await), expected, "{name}");
        only_request(&server).await;
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let error = exchange(&nowhere("google"), None).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (ProviderUnreachable, "refused"));
    assert_eq!(error.failure().code, "oauth_token_exchange_error");
}

#[tokio::test]
async fn github_error_with_status_200_is_read() {
    for (error, expected) in [
        ("bad_verification_code", (TokenInvalidGrant, "")),
        ("incorrect_client_credentials", (TokenInvalidClient, "")),
        ("redirect_uri_mismatch", (CallbackUnregistered, "")),
        ("unverified_user_email", (ProviderRefused, "")),
    ] {
        let body = json!({"error": error, "error_description": "words", "access_token": "not to be believed"});
        let server = answering("/login/oauth/access_token", ResponseTemplate::new(200).set_body_json(body)).await;
        let failed = exchange(&described(&server, GITHUB), None).await.unwrap_err();
        assert_eq!((failed.reason, failed.detail), expected, "{error}");
        assert_eq!(failed.provider_code.as_deref(), Some(error));
        assert_eq!(failed.status, Some(200));
    }
    let body = json!({"error": "bad_refresh_token"});
    let server = answering("/login/oauth/access_token", ResponseTemplate::new(200).set_body_json(body)).await;
    assert_eq!(is(refresh(&described(&server, GITHUB)).await), (RefreshRefused, "invalid_grant"));
}

#[tokio::test]
async fn scopes_are_read_in_every_spelling() {
    let spelled = |scope: Value| json!({"access_token": "a", "scope": scope});
    for scope in [json!("read:user,user:email"), json!("read:user user:email"), json!(["read:user", "user:email"])] {
        let answer = ResponseTemplate::new(200).set_body_json(spelled(scope.clone()));
        let server = answering("/login/oauth/access_token", answer).await;
        let scopes = exchange(&described(&server, GITHUB), None).await.unwrap().scopes.unwrap();
        assert_eq!(scopes, ["read:user", "user:email"], "{scope}");
    }
    let hostile = json!({"access_token": "a", "scope": "read:user,a\u{0}b", "token_type": "bea\u{0}rer"});
    let server = answering("/login/oauth/access_token", ResponseTemplate::new(200).set_body_json(hostile)).await;
    let answer = exchange(&described(&server, GITHUB), None).await.unwrap();
    assert_eq!(answer.scopes.unwrap(), ["read:user"], "a NUL cannot be stored");
    assert_eq!(answer.token_type, None);
}
