//! Custom providers: discovery, and userinfo before id_token.

use super::upstream;
use crate::crypto::Secret;
use crate::crypto::signing::{SigningKey, TokenType};
use crate::model::profile::{EmailTrust, Profile};
use crate::model::reason::Reason;
use crate::upstream::Upstream;
use crate::upstream::custom::CustomProvider;
use crate::upstream::error::UpstreamError;
use crate::upstream::oidc::NonceCheck;
use crate::upstream::profile::{self, Answers};
use crate::upstream::provider::{Provider, Settings};
use crate::upstream::token::TokenAnswer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;
use time::macros::datetime;
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

async fn serve(server: &MockServer, at: &str, answer: ResponseTemplate) {
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
}

fn document(server: &MockServer) -> Value {
    let at = |path: &str| format!("{}{path}", server.uri());
    json!({
        "issuer": server.uri(), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/me"), "jwks_uri": at("/keys"),
    })
}

fn discovery_url(server: &MockServer) -> Url {
    Url::parse(&format!("{}{WELL_KNOWN}", server.uri())).unwrap()
}

/// An issuer that publishes `key` and answers `me` about the bearer.
async fn issuer(key: &SigningKey, me: Value) -> MockServer {
    let server = MockServer::start().await;
    serve(&server, WELL_KNOWN, ResponseTemplate::new(200).set_body_json(document(&server))).await;
    serve(&server, "/keys", ResponseTemplate::new(200).set_body_json(json!({"keys": [key.public_jwk()]}))).await;
    serve(&server, "/me", ResponseTemplate::new(200).set_body_json(me)).await;
    server
}

async fn provider(upstream: &Upstream, server: &MockServer, fields: Value) -> Provider {
    let metadata = upstream.oidc.discover(&upstream.outbound, &discovery_url(server), None).await.unwrap();
    let custom: CustomProvider = serde_json::from_value(fields).unwrap();
    let descriptor = custom.descriptor("acme", Some(&metadata), &|_| true).unwrap();
    Provider::new(Arc::new(descriptor), Settings { client_id: "our".to_owned(), ..Settings::default() }).unwrap()
}

fn tokens(id_token: Option<String>) -> TokenAnswer {
    TokenAnswer {
        access_token: Secret::from("at".to_owned()),
        refresh_token: None,
        id_token: id_token.map(Secret::from),
        token_type: None,
        expires_in: None,
        scopes: None,
        raw: json!({}),
    }
}

/// Signs in with an id_token of subject `1` and this answer of userinfo.
async fn sign_in(fields: Value, me: Value) -> Result<Profile, UpstreamError> {
    let key = SigningKey::generate().unwrap();
    let (upstream, server) = (upstream(), issuer(&key, me).await);
    let now = NOW.unix_timestamp();
    let claims = json!({
        "iss": server.uri(), "aud": "our", "sub": "1", "iat": now, "exp": now + 60, "email": "token@example.com",
        "email_verified": true,
    });
    let tokens = tokens(Some(key.sign(TokenType::Jwt, &claims).unwrap()));
    let provider = provider(&upstream, &server, fields).await;
    let answers = Answers { callback: &BTreeMap::new(), tokens: &tokens };
    profile::fetch(&upstream, &provider, &answers, NonceCheck::NotSent, NOW).await
}

#[tokio::test]
async fn userinfo_goes_before_the_id_token_and_is_not_trusted_unasked() {
    let me = json!({"sub": "1", "email": "me@example.com", "email_verified": true, "given_name": "Ada"});
    let ada = sign_in(json!({"name": "Acme"}), me).await.unwrap();
    assert_eq!((ada.provider_user_id.as_str(), ada.first_name.as_deref()), ("1", Some("Ada")));
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("me@example.com"), EmailTrust::Unverified));
}

#[tokio::test]
async fn a_signed_answer_of_userinfo_is_believed_if_the_issuer_signed_it_for_us() {
    let (ours, foreign) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let now = NOW.unix_timestamp();
    for (key, audience, expected) in [
        (&ours, "our", Ok("me@example.com")),
        (&ours, "other", Err((Reason::IdtokenRefused, "audience"))),
        (&foreign, "our", Err((Reason::IdtokenRefused, "key"))),
    ] {
        let (upstream, server) = (upstream(), MockServer::start().await);
        serve(&server, WELL_KNOWN, ResponseTemplate::new(200).set_body_json(document(&server))).await;
        serve(&server, "/keys", ResponseTemplate::new(200).set_body_json(json!({"keys": [ours.public_jwk()]}))).await;
        let claims = json!({
            "iss": server.uri(), "aud": audience, "sub": "1", "iat": now, "exp": now + 60, "email": "me@example.com",
        });
        let signed = key.sign(TokenType::Jwt, &claims).unwrap();
        serve(&server, "/me", ResponseTemplate::new(200).set_body_raw(signed, "application/jwt")).await;
        let provider = provider(&upstream, &server, json!({"name": "Acme"})).await;
        let tokens = tokens(None);
        let answers = Answers { callback: &BTreeMap::new(), tokens: &tokens };
        let profile = profile::fetch(&upstream, &provider, &answers, NonceCheck::NotSent, NOW).await;
        let found = profile.map(|profile| profile.email.unwrap_or_default());
        assert_eq!(found.as_deref().map_err(|error| (error.reason, error.detail)), expected, "{audience}");
    }
}

#[tokio::test]
async fn trust_is_the_operator_s_switch_and_a_no_stays_a_no() {
    let fields = json!({"name": "Acme", "trust_email_verified": true});
    for (flag, trust) in [
        (json!(true), EmailTrust::Verified),
        (json!(null), EmailTrust::Unverified),
        (json!(""), EmailTrust::Unverified),
        (json!({}), EmailTrust::Unverified),
        (json!(false), EmailTrust::Unverified),
        (json!("no"), EmailTrust::Unverified),
    ] {
        let me = json!({"sub": "1", "email": "me@example.com", "email_verified": flag});
        assert_eq!(sign_in(fields.clone(), me).await.unwrap().email_trust, trust, "{flag}");
    }
    let silent = json!({"sub": "1", "email": "me@example.com"});
    assert_eq!(
        sign_in(fields, silent).await.unwrap().email_trust,
        EmailTrust::Verified,
        "no claim: the switch decides"
    );
}

#[tokio::test]
async fn another_subject_s_userinfo_is_refused_unless_the_id_comes_from_elsewhere() {
    let me = json!({"sub": "2", "employee": 77, "email": "me@example.com"});
    let error = sign_in(json!({"name": "Acme"}), me.clone()).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (Reason::IdentityUnusable, "differs"));
    let proxied = json!({"name": "Acme", "attribute_mapping": {"provider_user_id": {"source": "employee"}}});
    assert_eq!(sign_in(proxied, me).await.unwrap().provider_user_id, "77");
}

#[tokio::test]
async fn a_client_without_a_secret_sends_pkce_whatever_is_configured() {
    let key = SigningKey::generate().unwrap();
    let (upstream, server) = (upstream(), issuer(&key, json!({})).await);
    let provider = provider(&upstream, &server, json!({"name": "Acme", "use_pkce": false})).await;
    assert!(provider.sends_pkce());
}

async fn refused(answer: impl FnOnce(&MockServer) -> ResponseTemplate) -> (Reason, &'static str, &'static str) {
    let (upstream, server) = (upstream(), MockServer::start().await);
    serve(&server, WELL_KNOWN, answer(&server)).await;
    let error = upstream.oidc.discover(&upstream.outbound, &discovery_url(&server), None).await.unwrap_err();
    (error.reason, error.detail, error.failure().code)
}

#[tokio::test]
async fn bad_discovery_is_reported_by_its_cause() {
    let mismatch = refused(|server| {
        let mut document = document(server);
        document["issuer"] = json!(format!("{}/", server.uri()));
        ResponseTemplate::new(200).set_body_json(document)
    });
    let code = "custom_oauth_provider_discovery_issuer_mismatch";
    assert_eq!(mismatch.await, (Reason::EndpointRefused, "discovery", code));

    let lacking = refused(|server| {
        let mut document = document(server);
        document["token_endpoint"] = json!(null);
        ResponseTemplate::new(200).set_body_json(document)
    });
    let code = "custom_oauth_provider_cannot_use_discovery_url";
    assert_eq!(lacking.await, (Reason::EndpointRefused, "discovery", code));

    let code = "custom_oauth_provider_discovery_server_retrieval_error";
    assert_eq!(refused(|_| ResponseTemplate::new(404)).await, (Reason::ProviderRefused, "", code));
    let html = refused(|_| ResponseTemplate::new(200).set_body_raw("<html>", "text/html"));
    assert_eq!(html.await, (Reason::ProviderUnreadable, "html", code));
    let huge = refused(|_| ResponseTemplate::new(200).set_body_raw(vec![b' '; 300_000], "application/json"));
    assert_eq!(huge.await, (Reason::ProviderUnreadable, "size", code));
}

#[tokio::test]
async fn a_document_is_fetched_once() {
    let key = SigningKey::generate().unwrap();
    let (upstream, server) = (upstream(), issuer(&key, json!({})).await);
    for _ in 0..3 {
        upstream.oidc.discover(&upstream.outbound, &discovery_url(&server), None).await.unwrap();
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}
