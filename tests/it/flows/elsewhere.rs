//! What lies outside of this server: the database is busy, a provider's address answers nobody or may not be asked.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sqlx::Connection;
use vestibule::crypto::SystemRng;
use vestibule::crypto::signing::{SigningKey, TokenType};
use vestibule::model::random::Rng;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Replayed, as_page, reasons, reference, replayed};
use crate::providers::custom::Acme;
use crate::support::TestApp;
use crate::support::browser::Answer;
use crate::support::person::{approve, begin, client, provider_url};

/// Does `act` while nobody can get at `table`.
async fn locked<T>(app: &TestApp, table: &str, act: impl Future<Output = T>) -> T {
    let mut other = sqlx::PgConnection::connect_with(&app.db.options()).await.unwrap();
    let mut held = other.begin().await.unwrap();
    let statement = format!("lock table {table} in access exclusive mode");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *held).await.unwrap();
    let done = act.await;
    held.rollback().await.unwrap();
    done
}

#[tokio::test]
async fn the_database_is_busy() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let refused = locked(&app, "sign_ins", begin(&app, &browser, "sign_ins", "oauth_google")).await.expect(503);
    assert_eq!((refused.error_code().as_str(), refused.header("retry-after")), ("service_unavailable", Some("1")));
    app.reported(&program, &reference(&refused), &reasons::INTERNAL_STORAGE).await;
    replayed(&program, &reference(&refused), Replayed::Gone);

    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    let page = locked(&app, "identifications", as_page(&browser, callback.as_str())).await.expect(503);
    assert!(
        page.text.contains("data-state=\"unavailable\"") && page.text.contains(&reference(&begun)),
        "{}",
        page.text
    );
    assert!(!page.text.contains("identifications"), "{}", page.text);
    app.reported(&program, &reference(&begun), &reasons::INTERNAL_STORAGE).await;
}

/// A custom provider that is configured without discovery, whose addresses a test moves elsewhere.
async fn with_custom(app: &TestApp) {
    let settings = json!({
        "key": "custom_acme", "enabled": true, "client_id": "ours", "client_secret": "s3cret",
        "custom": {"authorization_url": "http://127.0.0.1:9/authorize", "token_url": "http://127.0.0.1:9/token",
            "userinfo_url": "http://127.0.0.1:9/me"},
    });
    app.backend(Method::POST, "/v1/vestibule/providers", &settings).await.expect(200);
}

/// Moves an address of the provider, past the checks of the settings: it was a good one when it was set.
async fn moved(app: &TestApp, change: &Value) {
    let statement = "update provider_configs set custom = custom || $2::jsonb
        where instance_id = $1 and provider = 'custom_acme'";
    app.execute(statement, &change.to_string()).await;
}

/// An address of this machine at which nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server whose certificate nobody here trusts.
fn foreign() -> String {
    const SERVER: &[u8] = include_bytes!("../../fixtures/tls/server.pem");
    let certificates = CertificateDer::pem_slice_iter(SERVER).collect::<Result<Vec<_>, _>>().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(SERVER).unwrap());
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // Fails: the other side does not like our certificate.
            let _ = rustls::StreamOwned::new(connection, stream).read(&mut [0_u8; 64]);
        }
    });
    format!("https://{address}")
}

#[tokio::test]
async fn a_provider_cannot_be_reached_or_may_not_be() {
    let app = TestApp::start().await;
    let program = app.program();
    with_custom(&app).await;
    let rows = [
        (closed(), reasons::PROVIDER_UNREACHABLE_REFUSED),
        (foreign(), reasons::PROVIDER_UNREACHABLE_TLS),
        ("https://no-such-host.example".to_owned(), reasons::PROVIDER_UNREACHABLE_DNS),
        ("https://10.0.0.1".to_owned(), reasons::ENDPOINT_REFUSED_BLOCKED),
    ];
    for (at, reported) in rows {
        moved(&app, &json!({"token_url": format!("{at}/token")})).await;
        let browser = app.browser();
        let begun = begin(&app, &browser, "sign_ins", "oauth_custom_acme").await.expect(200);
        let state = crate::support::oauth::parameters(&provider_url(&begun))["state"].clone();
        browser.get(app.url(&format!("/v1/oauth_callback?state={state}&code=c0de"))).await.expect(303);
        let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
        assert_eq!(verification["error"]["code"], "oauth_token_exchange_error", "{at}");
        app.reported(&program, &reference(&begun), &reported).await;
        replayed(&program, &reference(&begun), Replayed::Unknown);
    }
}

#[tokio::test]
async fn a_discovery_document_is_of_no_use_any_more() {
    let app = TestApp::start().await;
    let program = app.program();
    with_custom(&app).await;
    let other = MockServer::start().await;
    let document = json!({
        "issuer": "https://another.example", "authorization_endpoint": "https://another.example/authorize",
        "token_endpoint": "https://another.example/token", "jwks_uri": "https://another.example/keys",
    });
    let answer = ResponseTemplate::new(200).set_body_json(document);
    Mock::given(path("/.well-known/openid-configuration")).respond_with(answer).mount(&other).await;
    let retrieval = "custom_oauth_provider_discovery_server_retrieval_error";
    let mismatch = "custom_oauth_provider_discovery_issuer_mismatch";
    let rows = [
        (closed(), retrieval, reasons::PROVIDER_UNREACHABLE_REFUSED),
        ("https://10.0.0.1".to_owned(), retrieval, reasons::ENDPOINT_REFUSED_BLOCKED),
        (other.uri(), mismatch, reasons::ENDPOINT_REFUSED_DISCOVERY),
    ];
    for (at, code, reported) in rows {
        moved(&app, &json!({"discovery_url": format!("{at}/.well-known/openid-configuration")})).await;
        let refused: Answer = begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(422);
        assert_eq!(refused.error_code(), code);
        assert!(refused.json()["errors"][0]["meta"].get("reason").is_none(), "{}", refused.text);
        app.reported(&program, &reference(&refused), &reported).await;
        replayed(&program, &reference(&refused), Replayed::Unknown);
    }
}

/// What a discovery document must not leave out or name, reported by its own code however the rest of the provider is.
#[tokio::test]
async fn a_discovery_document_names_what_may_not_be_used() {
    let app = TestApp::start().await;
    let program = app.program();
    with_custom(&app).await;
    for endpoint in [json!("http://shop.example/token"), Value::Null] {
        let issuer = MockServer::start().await;
        let document = json!({
            "issuer": issuer.uri(), "authorization_endpoint": "https://another.example/authorize",
            "token_endpoint": endpoint, "jwks_uri": "https://another.example/keys",
        });
        let answer = ResponseTemplate::new(200).set_body_json(document);
        Mock::given(path("/.well-known/openid-configuration")).respond_with(answer).mount(&issuer).await;
        let at = format!("{}/.well-known/openid-configuration", issuer.uri());
        moved(&app, &json!({"discovery_url": at, "token_url": null, "authorization_url": null})).await;
        let refused = begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(422);
        assert_eq!(refused.error_code(), "custom_oauth_provider_cannot_use_discovery_url", "{endpoint}");
        app.reported(&program, &reference(&refused), &reasons::ENDPOINT_REFUSED_DISCOVERY).await;
    }
    // An address of the operator's own is another matter.
    moved(
        &app,
        &json!({"discovery_url": null, "token_url": "http://shop.example/token",
        "authorization_url": "https://another.example/authorize"}),
    )
    .await;
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(400);
    assert_eq!(refused.error_code(), "misconfigured_oauth_provider");
    app.reported(&program, &reference(&refused), &reasons::CREDENTIALS_UNUSABLE_MALFORMED).await;
}

/// Begins at the custom provider and comes back with a code; returns the flow.
async fn come_back_from_custom(app: &TestApp) -> String {
    let browser = app.browser();
    let begun = begin(app, &browser, "sign_ins", "oauth_custom_acme").await.expect(200);
    let state = crate::support::oauth::parameters(&provider_url(&begun))["state"].clone();
    browser.get(app.url(&format!("/v1/oauth_callback?state={state}&code=c0de"))).await.expect(303);
    reference(&begun)
}

#[tokio::test]
async fn this_server_may_ask_nobody() {
    let app = TestApp::with(1, |config| config.outbound.offline = true).await;
    let program = app.program();
    with_custom(&app).await;
    moved(&app, &json!({"token_url": "https://no-such-host.example/token"})).await;
    let flow = come_back_from_custom(&app).await;
    app.reported(&program, &flow, &reasons::ENDPOINT_REFUSED_OFFLINE).await;
}

#[tokio::test]
async fn a_provider_that_fails_again_and_again_is_left_alone() {
    let app = TestApp::start().await;
    let program = app.program();
    with_custom(&app).await;
    moved(&app, &json!({"token_url": format!("{}/token", closed())})).await;
    for _ in 0..5 {
        come_back_from_custom(&app).await;
    }
    let flow = come_back_from_custom(&app).await;
    app.reported(&program, &flow, &reasons::PROVIDER_UNREACHABLE_BREAKER).await;
    replayed(&program, &flow, Replayed::Unknown);
}

/// An id_token of our own making, of which the signature is not the point.
fn forged(header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.{}", encoded(header), encoded(claims), "A".repeat(342))
}

#[tokio::test]
async fn an_identity_is_not_what_the_issuer_vouches_for() {
    let app = TestApp::start().await;
    let program = app.program();
    // Alive all the time: the address of a server that has gone would be given to the next one.
    let mut issuers = Vec::new();
    for (index, reported) in [
        reasons::IDTOKEN_REFUSED_KEY,
        reasons::IDTOKEN_REFUSED_ALGORITHM,
        reasons::IDTOKEN_REFUSED_AT_HASH,
        reasons::IDENTITY_UNUSABLE_DIFFERS,
    ]
    .into_iter()
    .enumerate()
    {
        let acme = Acme::start().await;
        let key = format!("custom_acme{index}");
        let settings = json!({"key": key, "enabled": true, "client_id": "ours", "client_secret": "s3cret",
            "custom": {"issuer": acme.server.uri()}});
        app.backend(Method::POST, "/v1/vestibule/providers", &settings).await.expect(200);
        let browser = app.browser();
        let begun = begin(&app, &browser, "sign_ins", &format!("oauth_{key}")).await.expect(200);
        let sent = crate::support::oauth::parameters(&provider_url(&begun));
        let now = app.ctx().await.now.unix_timestamp();
        let mut claims = json!({"iss": acme.server.uri(), "aud": "ours", "sub": "7", "iat": now, "exp": now + 60,
            "nonce": sent["nonce"]});
        if reported.detail == "at_hash" {
            claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
        }
        let id_token = match reported.detail {
            "key" => SigningKey::generate().unwrap().sign(TokenType::Jwt, &claims).unwrap(),
            "algorithm" => forged(&json!({"alg": "none", "typ": "JWT"}), &claims),
            _ => acme.key.sign(TokenType::Jwt, &claims).unwrap(),
        };
        acme.serve("/token", json!({"access_token": "at", "token_type": "Bearer", "id_token": id_token})).await;
        acme.serve("/me", json!({"sub": "8", "email": "ada@acme.example"})).await;
        browser.get(app.url(&format!("/v1/oauth_callback?state={}&code=c0de", sent["state"]))).await.expect(303);
        let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
        assert_eq!(verification["error"]["code"], "oauth_fetch_user_error", "{reported:?}: {verification}");
        app.reported(&program, &reference(&begun), &reported).await;
        replayed(&program, &reference(&begun), Replayed::Unknown);
        issuers.push(acme);
    }
}

/// Randomness that breaks once, when a handler wants a secret: nothing else needs 32 bytes.
struct Trap(AtomicBool);

impl Rng for Trap {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() >= 32 && self.0.swap(false, Ordering::Relaxed) {
            panic!("the trap is sprung");
        }
        SystemRng.fill(buffer);
    }
}

#[tokio::test]
async fn a_handler_panics() {
    let trap = Arc::new(Trap(AtomicBool::new(false)));
    let app = TestApp::with_rng(Arc::clone(&trap) as Arc<dyn Rng>).await;
    let program = app.program();
    let browser = app.browser();
    // The client has its token already, so the next secret is the state.
    begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    trap.0.store(true, Ordering::Relaxed);
    let failed = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(500);
    assert_eq!(failed.error_code(), "internal_clerk_error");
    assert!(!failed.text.contains("trap"), "{}", failed.text);
    let request = failed.json()["clerk_trace_id"].as_str().unwrap().to_owned();
    let flow = app.flow(&request).await["id"].as_str().unwrap().to_owned();
    app.reported(&program, &flow, &reasons::INTERNAL_PANIC).await;
    begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
}
