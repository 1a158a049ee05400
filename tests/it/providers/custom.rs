//! Custom providers from end to end: a server of a test's own stands where the operator's issuer would.

use http::Method;
use serde_json::{Value, json};
use url::Url;
use vestibule::crypto::signing::{SigningKey, TokenType};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::person::{begin, client, provider_url};

/// An issuer, and what its token endpoint was asked.
pub struct Acme {
    pub server: MockServer,
    pub key: SigningKey,
}

/// What came of a sign-up.
struct Outcome {
    app: TestApp,
    acme: Acme,
    authorize: Url,
    browser: Browser,
}

impl Acme {
    pub async fn start() -> Self {
        let acme = Self { server: MockServer::start().await, key: SigningKey::generate().unwrap() };
        let document = json!({
            "issuer": acme.server.uri(), "authorization_endpoint": acme.at("/authorize"),
            "token_endpoint": acme.at("/token"), "userinfo_endpoint": acme.at("/me"), "jwks_uri": acme.at("/keys"),
        });
        acme.serve("/.well-known/openid-configuration", document).await;
        acme.serve("/keys", json!({"keys": [acme.key.public_jwk()]})).await;
        acme
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.uri())
    }

    pub async fn serve(&self, at: &str, body: Value) {
        Mock::given(path(at)).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&self.server).await;
    }

    /// The form and the `Authorization` header that the token endpoint got.
    async fn token_request(&self) -> (Vec<(String, String)>, Option<String>) {
        let requests = self.server.received_requests().await.unwrap();
        let mut tokens = requests.iter().filter(|request| request.url.path() == "/token");
        let request = tokens.next().expect("a token request");
        assert!(tokens.next().is_none(), "a code is traded once");
        let form = url::form_urlencoded::parse(&request.body).into_owned().collect();
        (form, request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()))
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// What differs between the providers of this file.
struct Case {
    /// Members of the configuration beside key and switch; `custom` gets the addresses of `addresses`.
    settings: Value,
    /// Claims of the id_token beside the usual ones; `None` = no id_token.
    id_token: Option<Value>,
    /// What userinfo answers, where it is asked.
    me: Value,
}

/// Everything configured: no discovery, no issuer.
fn with_identifier(acme: &Acme) -> Value {
    json!({"authorization_url": acme.at("/authorize"), "token_url": acme.at("/token"), "userinfo_url": acme.at("/me")})
}

/// Adds the provider, starts a sign-up with it, and comes back with a code.
async fn sign_up(addresses: impl FnOnce(&Acme) -> Value, case: Case) -> (Outcome, Answer) {
    let (app, acme) = (TestApp::start().await, Acme::start().await);
    let mut settings = json!({"key": "custom_acme", "enabled": true, "client_id": "ours"});
    for (name, value) in case.settings.as_object().unwrap() {
        settings[name] = value.clone();
    }
    for (name, value) in addresses(&acme).as_object().unwrap() {
        settings["custom"][name] = value.clone();
    }
    app.backend(Method::POST, "/v1/vestibule/providers", &settings).await.expect(200);
    let browser = app.browser();
    let authorize = provider_url(&begin(&app, &browser, "sign_ups", "oauth_custom_acme").await.expect(200));
    let mut tokens = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60});
    if let Some(more) = case.id_token {
        let now = app.ctx().await.now.unix_timestamp();
        let mut claims = json!({"iss": acme.server.uri(), "aud": "ours", "sub": "7", "iat": now, "exp": now + 60});
        claims["nonce"] = json!(parameter(&authorize, "nonce"));
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        tokens["id_token"] = json!(acme.key.sign(TokenType::Jwt, &claims).unwrap());
    }
    acme.serve("/token", tokens).await;
    acme.serve("/me", case.me).await;
    let state = parameter(&authorize, "state").unwrap();
    let mut callback = Url::parse(&app.url("/v1/oauth_callback")).unwrap();
    callback.query_pairs_mut().append_pair("state", &state).append_pair("code", "c0de");
    let back = browser.get(callback).await;
    (Outcome { app, acme, authorize, browser }, back)
}

impl Outcome {
    async fn account(&self) -> Value {
        let client = client(&self.app, &self.browser).await;
        let account = client["sessions"][0]["user"]["external_accounts"][0].clone();
        assert_eq!(account["provider"], "oauth_custom_acme", "{client}");
        account
    }
}

fn ada() -> Value {
    json!({"sub": "7", "email": "ada@acme.example", "email_verified": true, "given_name": "Ada", "family_name": "Lovelace"})
}

fn secret() -> Value {
    json!({"client_secret": "s3cret+ %", "custom": {"trust_email_verified": true}})
}

#[tokio::test]
async fn discovery_basic_authentication_and_pkce_are_the_default() {
    let case = Case { settings: secret(), id_token: Some(json!({})), me: ada() };
    let (outcome, back) = sign_up(|acme| json!({"issuer": acme.server.uri()}), case).await;
    assert!(back.expect(303).location().path().ends_with("/done"));
    let account = outcome.account().await;
    assert_eq!((&account["provider_user_id"], &account["first_name"]), (&json!("7"), &json!("Ada")));
    let (form, authorization) = outcome.acme.token_request().await;
    let member = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    // RFC 6749 section 2.3.1: each part form-encoded, then Basic.
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode("ours:s3cret%2B+%25");
    assert_eq!(authorization.as_deref(), Some(format!("Basic {pair}").as_str()));
    assert_eq!((member("client_id"), member("client_secret")), (None, None));
    assert_eq!(member("redirect_uri"), parameter(&outcome.authorize, "redirect_uri"));
    let verifier = member("code_verifier").expect("PKCE");
    assert_eq!(Some(challenge(&verifier)), parameter(&outcome.authorize, "code_challenge"));
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
fn challenge(verifier: &str) -> String {
    use base64::Engine;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
}

#[tokio::test]
async fn endpoints_with_identifier_without_pkce_and_the_secret_in_the_body() {
    let custom = json!({"trust_email_verified": true, "use_pkce": false, "client_auth": "client_secret_post", "scopes": ["basic"]});
    let case = Case { settings: json!({"client_secret": "s3cret", "custom": custom}), id_token: None, me: ada() };
    let (outcome, back) = sign_up(with_identifier, case).await;
    assert!(back.expect(303).location().path().ends_with("/done"));
    assert_eq!(parameter(&outcome.authorize, "scope").as_deref(), Some("basic"), "no issuer, no openid");
    for absent in ["code_challenge", "code_challenge_method", "nonce"] {
        assert_eq!(parameter(&outcome.authorize, absent), None);
    }
    let (form, authorization) = outcome.acme.token_request().await;
    let member = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((member("client_id"), member("client_secret")), (Some("ours"), Some("s3cret")));
    assert_eq!((member("code_verifier"), authorization), (None, None));
    assert_eq!(outcome.account().await["email_address"], "ada@acme.example");
}

#[tokio::test]
async fn a_client_without_a_secret_uses_pkce_whatever_is_said() {
    let custom = json!({"trust_email_verified": true, "use_pkce": false});
    let case = Case { settings: json!({"custom": custom}), id_token: None, me: ada() };
    let (outcome, back) = sign_up(with_identifier, case).await;
    back.expect(303);
    assert!(parameter(&outcome.authorize, "code_challenge").is_some());
    let (form, authorization) = outcome.acme.token_request().await;
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"code_verifier") && names.contains(&"client_id") && !names.contains(&"client_secret"));
    assert_eq!(authorization, None);
}

#[tokio::test]
async fn attributes_come_from_where_they_are_mapped() {
    let mapping = json!({
        "provider_user_id": {"source": "user.number"},
        "email": {"source": "user.mails.1.address"},
        "email_verified": {"source": "user.mails.1.checked"},
        "first_name": {"source": "user.first", "default": "Friend"},
        "last_name": {"source": "user.last", "default": "unused"},
        "username": {"source": ""},
        "public_metadata.team": {"source": "https://acme.example/team", "default": "none"},
        "public_metadata.office": {"source": "office", "default": "London"},
    });
    let custom = json!({"trust_email_verified": true, "attribute_mapping": mapping});
    let me = json!({
        "sub": "ignored", "preferred_username": "ignored", "https://acme.example/team": "engines",
        "user": {"number": 9_007_199_254_740_993_u64, "last": "Lovelace",
                 "mails": [{"address": "other@acme.example", "checked": 0}, {"address": "ada@acme.example", "checked": 1}]},
    });
    let (outcome, back) =
        sign_up(with_identifier, Case { settings: json!({"custom": custom}), id_token: None, me }).await;
    assert!(back.expect(303).location().path().ends_with("/done"));
    let account = outcome.account().await;
    assert_eq!(account["provider_user_id"], "9007199254740993", "a number becomes decimal text, unrounded");
    assert_eq!((&account["first_name"], &account["last_name"]), (&json!("Friend"), &json!("Lovelace")));
    assert_eq!((&account["email_address"], account["username"].as_str()), (&json!("ada@acme.example"), None));
    assert_eq!(account["public_metadata"], json!({"team": "engines", "office": "London"}));
}

/// What a server sends is shown with every answer about the user and stored: neither its size nor a character that the
/// database refuses may be its choice.
#[tokio::test]
async fn mapped_claims_are_stored_without_nul_and_within_the_size_of_metadata() {
    let sources = [("team", "team"), ("huge", "huge"), ("office", "office")];
    let mapping: serde_json::Map<String, Value> =
        sources.iter().map(|(name, source)| (format!("public_metadata.{name}"), json!({"source": source}))).collect();
    let mut me = ada();
    me["team"] = json!({"na\0me": ["eng\0ines", {"\0": "\0"}]});
    me["huge"] = json!("x".repeat(200_000));
    me["office"] = json!("London");
    me["given_name"] = json!("A\0d\u{200b}a");
    for (member, text) in [
        ("picture", "https://acme.example/\0.png"),
        ("phone_number", "+49\0 30"),
        ("locale", "de\0"),
        ("preferred_username", "ada\0"),
    ] {
        me[member] = json!(text);
    }
    let custom = json!({"trust_email_verified": true, "attribute_mapping": mapping});
    let (outcome, back) =
        sign_up(with_identifier, Case { settings: json!({"custom": custom}), id_token: None, me }).await;
    assert!(back.expect(303).location().path().ends_with("/done"));
    let account = outcome.account().await;
    assert_eq!(account["public_metadata"], json!({"team": {"name": ["engines", {"": ""}]}, "office": "London"}));
    assert_eq!(account["first_name"], "Ada");
}

#[tokio::test]
async fn null_or_empty_email_verified_counts_as_unverified() {
    for flag in [Value::Null, json!(""), json!([true])] {
        let mut me = ada();
        me["email_verified"] = flag.clone();
        let case = Case { settings: secret(), id_token: Some(json!({})), me };
        let (outcome, back) = sign_up(|acme| json!({"issuer": acme.server.uri()}), case).await;
        back.expect(303);
        let found = outcome.app.backend_get("/v1/users?email_address=ada@acme.example").await.expect(200).json();
        for user in found.as_array().unwrap() {
            assert_ne!(user["email_addresses"][0]["verification"]["status"], "verified", "{flag}: {user}");
        }
    }
}

#[tokio::test]
async fn userinfo_goes_before_the_id_token() {
    let claims = json!({"email": "token@acme.example", "email_verified": true, "given_name": "Token"});
    let case = Case { settings: secret(), id_token: Some(claims), me: ada() };
    let (outcome, back) = sign_up(|acme| json!({"issuer": acme.server.uri()}), case).await;
    back.expect(303);
    let account = outcome.account().await;
    assert_eq!((&account["email_address"], &account["first_name"]), (&json!("ada@acme.example"), &json!("Ada")));
}

#[tokio::test]
async fn without_userinfo_the_id_token_gives_the_profile() {
    let claims = json!({"email": "token@acme.example", "email_verified": true, "given_name": "Token"});
    let case = Case { settings: secret(), id_token: Some(claims), me: json!({}) };
    let addresses = |acme: &Acme| {
        json!({"issuer": acme.server.uri(), "authorization_url": acme.at("/authorize"), "token_url": acme.at("/token"),
               "jwks_url": acme.at("/keys")})
    };
    let (outcome, back) = sign_up(addresses, case).await;
    back.expect(303);
    assert_eq!(outcome.account().await["email_address"], "token@acme.example");
    let asked = outcome.acme.server.received_requests().await.unwrap();
    assert!(asked.iter().all(|request| !["/me", "/.well-known/openid-configuration"].contains(&request.url.path())));
}

#[tokio::test]
async fn another_subject_s_userinfo_makes_nobody() {
    let mut me = ada();
    me["sub"] = json!("8");
    let case = Case { settings: secret(), id_token: Some(json!({})), me };
    let (outcome, back) = sign_up(|acme| json!({"issuer": acme.server.uri()}), case).await;
    back.expect(303);
    let attempt = client(&outcome.app, &outcome.browser).await["sign_up"].clone();
    let verification = &attempt["verifications"]["external_account"];
    assert_eq!(verification["error"]["code"], "oauth_fetch_user_error", "{attempt}");
    let count = outcome.app.backend_get("/v1/users/count").await.expect(200).json();
    assert_eq!(count["total_count"], 0);
}

#[tokio::test]
async fn an_address_counts_only_if_the_operator_trusts_the_server() {
    let case = Case { settings: json!({"client_secret": "s"}), id_token: Some(json!({})), me: ada() };
    let (outcome, back) = sign_up(|acme| json!({"issuer": acme.server.uri()}), case).await;
    back.expect(303);
    let found = outcome.app.backend_get("/v1/users?email_address=ada@acme.example").await.expect(200).json();
    for user in found.as_array().unwrap() {
        assert_ne!(user["email_addresses"][0]["verification"]["status"], "verified", "{user}");
    }
}

#[tokio::test]
async fn a_server_whose_document_turns_bad_cannot_be_used() {
    let (app, acme) = (TestApp::start().await, Acme::start().await);
    let custom = json!({"issuer": acme.server.uri()});
    let body = json!({"key": "custom_acme", "enabled": true, "client_id": "ours", "custom": custom});
    app.backend(Method::POST, "/v1/vestibule/providers", &body).await.expect(200);
    begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(200);
    for (number, authorize) in ["javascript:alert(1)", "http://id.acme.example/", "data:text/html,x"].iter().enumerate()
    {
        let document = json!({
            "issuer": acme.server.uri(), "authorization_endpoint": authorize, "token_endpoint": acme.at("/token"),
            "userinfo_endpoint": acme.at("/me"),
        });
        acme.serve(&format!("/{number}"), document).await;
        sqlx::query("update provider_configs set custom = custom || jsonb_build_object('discovery_url', $1::text) where custom is not null")
            .bind(acme.at(&format!("/{number}")))
            .execute(&app.app().db)
            .await
            .unwrap();
        let refused = begin(&app, &app.browser(), "sign_ins", "oauth_custom_acme").await.expect(422);
        assert_eq!(refused.error_code(), "custom_oauth_provider_cannot_use_discovery_url", "{authorize}");
    }
}
