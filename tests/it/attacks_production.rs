//! What a production instance must not have although the server beside it has a development one.

use http::Method;
use vestibule::actions::instance::{self, NewInstance};
use vestibule::crypto::{ExposeSecret, SystemRng};
use vestibule::store::audit::Actor;
use vestibule::store::provider_configs;

use crate::support::TestApp;
use crate::support::browser::{Answer, send};
use crate::support::person::{begin, sign_up};

const HOST: &str = "clerk.shop.example";
const ORIGIN: &str = "https://clerk.shop.example";

/// A server with the instance `dev` and a production instance; returns the latter's id and secret key.
async fn server() -> (TestApp, vestibule::model::id::InstanceId, String) {
    let app = TestApp::start().await;
    let new = NewInstance::production("shop", ORIGIN).unwrap();
    let made = instance::create(app.app(), &new, Actor::System).await.unwrap();
    (app, made.id, made.secret_key.expose_secret().to_owned())
}

async fn get(app: &TestApp, path: &str) -> Answer {
    send(app.browser().raw(Method::GET, &app.url(path)).header("host", HOST)).await
}

async fn start(app: &TestApp, origin: &str, form: &[(&str, &str)]) -> Answer {
    let request = app.browser().raw(Method::POST, &app.url("/v1/client/sign_ins"));
    send(request.header("host", HOST).header("origin", origin).form(form)).await
}

const FORM: [(&str, &str); 2] = [("strategy", "oauth_google"), ("redirect_url", "/sso-callback")];

/// `client_id` and whether there is a secret, as an operator would have set them.
async fn configure(app: &TestApp, id: &vestibule::model::id::InstanceId, client_id: Option<&str>) {
    let at = provider_configs::secret_at(id, "google");
    let sealed = client_id.map(|_| app.app().ring.seal(&SystemRng, &at, b"the-secret-of-the-shop").unwrap());
    sqlx::query(
        "insert into provider_configs (instance_id, provider, environment_type, enabled, credentials, client_id,
             client_secret_sealed, created_at, updated_at)
         values ($1, 'google', 'production', true, 'custom', $2, $3, now(), now())
         on conflict (instance_id, provider) do update set client_id = excluded.client_id,
             client_secret_sealed = excluded.client_secret_sealed",
    )
    .bind(id.as_str())
    .bind(client_id)
    .bind(sealed)
    .execute(&app.app().db)
    .await
    .unwrap();
}

#[tokio::test]
async fn there_are_no_development_pages_and_no_simulated_providers() {
    let (app, id, _) = server().await;
    for path in
        ["/_dev", "/_dev/providers/google/o/oauth2/v2/auth?client_id=x", "/_dev/providers/google/token", "/_dev/clock"]
    {
        assert_eq!(get(&app, path).await.status, 404, "{path}");
    }
    assert_eq!(start(&app, ORIGIN, &FORM).await.error_code(), "oauth_provider_not_enabled");
    configure(&app, &id, None).await;
    assert_eq!(start(&app, ORIGIN, &FORM).await.error_code(), "oauth_config_missing");
    let simulated = "update provider_configs set credentials = 'simulated' where instance_id = $1";
    let refused = sqlx::query(simulated).bind(id.as_str()).execute(&app.app().db).await.unwrap_err();
    assert!(refused.to_string().contains("provider_configs_simulated_check"), "{refused}");
    let moved = "update instances set clock_offset = interval '1 hour' where id = $1";
    assert!(sqlx::query(moved).bind(id.as_str()).execute(&app.app().db).await.is_err());
}

#[tokio::test]
async fn own_credentials_lead_to_the_real_provider_under_that_client_id() {
    let (app, id, _) = server().await;
    configure(&app, &id, Some("shop.apps.example")).await;
    let begun = start(&app, ORIGIN, &FORM).await.expect(200);
    let url = begun.json()["response"]["first_factor_verification"]["external_verification_redirect_url"].clone();
    let url: url::Url = url.as_str().unwrap().parse().unwrap();
    assert_eq!(url.origin().ascii_serialization(), "https://accounts.google.com");
    let sent = crate::support::oauth::parameters(&url);
    assert_eq!(sent["client_id"], "shop.apps.example");
    assert_eq!(sent["redirect_uri"], format!("{ORIGIN}/v1/oauth_callback"));
    assert!(!url.as_str().contains("the-secret-of-the-shop"));
    for line in begun.set_cookies() {
        assert!(line.contains("; Secure") && line.contains("SameSite=Lax") && line.contains("Path=/"), "{line}");
        assert_eq!(line.contains("HttpOnly"), line.starts_with("__client="), "{line}");
        assert_eq!(line.contains("Domain="), !line.starts_with("__client="), "{line}");
    }
    assert_eq!(begun.header("strict-transport-security"), Some("max-age=63072000; includeSubDomains"));
}

#[tokio::test]
async fn loopback_and_look_alike_origins_are_foreign() {
    let (app, id, _) = server().await;
    configure(&app, &id, Some("shop.apps.example")).await;
    for origin in [
        "http://localhost:3000",
        "http://clerk.shop.example",
        "https://shop.example",
        "https://accountsshop.example",
        "https://clerk.shop.example.evil.example",
        "https://accounts.clerk.shop.example",
        "null",
    ] {
        assert_eq!(start(&app, origin, &FORM).await.error_code(), "origin_invalid", "{origin}");
        let handshake = get(&app, &format!("/v1/client/handshake?redirect_url={origin}/")).await;
        assert!(handshake.status.is_client_error() && handshake.header("location").is_none(), "{origin}");
    }
    start(&app, "https://accounts.shop.example", &FORM).await.expect(200);
    for target in ["http://localhost:3000/", "http://127.0.0.1/", "https://evil.example/"] {
        let refused = start(&app, ORIGIN, &[("strategy", "oauth_google"), ("redirect_url", target)]).await;
        assert_eq!(refused.error_code(), "redirect_url_domain_mismatch", "{target}");
    }
}

#[tokio::test]
async fn keys_and_cookies_of_one_instance_are_nothing_at_the_other() {
    let (app, _, secret_key) = server().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let token = browser.cookie("localhost", "__client").unwrap();
    let foreign = |path: &str| {
        app.browser()
            .raw(Method::GET, &app.url(path))
            .header("host", HOST)
            .header("cookie", format!("__client={token}; __clerk_db_jwt={token}"))
    };
    assert!(send(foreign("/v1/client")).await.expect(200).json()["response"].is_null());
    assert!(send(foreign(&format!("/v1/client?__clerk_db_jwt={token}"))).await.json()["response"].is_null());
    assert_eq!(send(foreign("/v1/me")).await.status, 401);
    let user = format!("/v1/users/{user}");
    let theirs = app.browser().raw(Method::GET, &app.url(&user)).bearer_auth(&secret_key);
    assert_eq!(send(theirs).await.status, 404, "the key names the instance, whatever the host");
    app.backend_get(&user).await.expect(200);
    begin(&app, &browser, "sign_ins", "oauth_google").await;
}
