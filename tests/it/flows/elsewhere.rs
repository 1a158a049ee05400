//! What lies outside of this server: the database is busy, a provider's address answers nobody or may not be asked.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;

use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sqlx::Connection;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Replayed, Told, as_page, reference, replayed};
use crate::support::TestApp;
use crate::support::browser::Answer;
use crate::support::person::{approve, begin, client, provider_url};

const STORAGE: Told =
    Told { reason: "internal", detail: "storage", text_key: "our_fault", label: "internal", status: "failed" };

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
    app.told(&program, &reference(&refused), &STORAGE).await;
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
    app.told(&program, &reference(&begun), &STORAGE).await;
}

/// A custom provider that is configured by hand, whose addresses a test moves elsewhere.
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
        (closed(), "provider_unreachable", "refused", "not_answering", "provider_down"),
        (foreign(), "provider_unreachable", "tls", "not_answering", "provider_down"),
        ("https://no-such-host.example".to_owned(), "provider_unreachable", "dns", "not_answering", "provider_down"),
        ("https://10.0.0.1".to_owned(), "endpoint_refused", "blocked", "not_set_up", "provider_config"),
    ];
    for (at, reason, detail, text_key, label) in rows {
        moved(&app, &json!({"token_url": format!("{at}/token")})).await;
        let browser = app.browser();
        let begun = begin(&app, &browser, "sign_ins", "oauth_custom_acme").await.expect(200);
        let state = crate::support::oauth::parameters(&provider_url(&begun))["state"].clone();
        browser.get(app.url(&format!("/v1/oauth_callback?state={state}&code=c0de"))).await.expect(303);
        let proof = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
        assert_eq!(proof["error"]["code"], "oauth_token_exchange_error", "{at}");
        let told = Told { reason, detail, text_key, label, status: "failed" };
        app.told(&program, &reference(&begun), &told).await;
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
        (closed(), retrieval, "provider_unreachable", "refused", "not_answering", "provider_down"),
        ("https://10.0.0.1".to_owned(), retrieval, "endpoint_refused", "blocked", "not_set_up", "provider_config"),
        (other.uri(), mismatch, "endpoint_refused", "discovery", "not_set_up", "provider_config"),
    ];
    for (at, code, reason, detail, text_key, label) in rows {
        moved(&app, &json!({"discovery_url": format!("{at}/.well-known/openid-configuration")})).await;
        let refused: Answer = begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(422);
        assert_eq!(refused.error_code(), code);
        assert!(refused.json()["errors"][0]["meta"].get("reason").is_none(), "{}", refused.text);
        let told = Told { reason, detail, text_key, label, status: "failed" };
        app.told(&program, &reference(&refused), &told).await;
        replayed(&program, &reference(&refused), Replayed::Unknown);
    }
}
