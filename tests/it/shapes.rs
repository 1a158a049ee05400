//! Answers against the published API descriptions: `tests/fixtures/shapes.json` holds members, types and enums of the
//! resources we answer (facts alone). Where the SDK's wire differs from the description, the wire wins, and the
//! difference stands in [`WIRE`].

use serde_json::Value;

use crate::support::TestApp;
use crate::support::person::{begin, client, go, sign_up};

/// Differences between the description and what the SDKs send and read, by path.
const WIRE: &[&str] = &[
    // The SDK's names of the two attempts.
    "sign_in.object",
    "sign_up.object",
    // Null when there is no attempt, or nothing began.
    "sign_in",
    "sign_up",
    "first_factor_verification",
    "second_factor_verification",
    "verifications.email_address",
    "verifications.phone_number",
    "verifications.web3_wallet",
    "verifications.external_account",
    "verification.error",
    "external_account.error",
    // A provider's strategy is open: the description lists examples.
    "strategy",
];

fn shapes() -> Value {
    serde_json::from_str(include_str!("../fixtures/shapes.json")).unwrap()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Everything about `value` that does not fit `shape`.
fn misfits(path: &str, value: &Value, shape: &Value, found: &mut Vec<String>) {
    if WIRE.iter().any(|known| path == *known || path.ends_with(&format!(".{known}")))
        && (value.is_null() || value.is_string())
    {
        return;
    }
    if let Some(choices) = shape["one_of"].as_array() {
        let mut best: Option<Vec<String>> = None;
        for choice in choices {
            let mut misfit = Vec::new();
            misfits(path, value, choice, &mut misfit);
            if best.as_ref().is_none_or(|best| misfit.len() < best.len()) {
                best = Some(misfit);
            }
        }
        return found.extend(best.unwrap_or_default());
    }
    let types: Vec<&str> = shape["types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let actual = kind(value);
    let is_number = actual == "integer" && types.contains(&"number");
    if !types.is_empty() && !types.contains(&actual) && !is_number {
        return found.push(format!("{path}: {actual}, published as {types:?}"));
    }
    if let (Some(words), Some(text)) = (shape["enum"].as_array(), value.as_str())
        && !words.iter().any(|word| word == text)
    {
        found.push(format!("{path}: {text:?} is none of {words:?}"));
    }
    if let (Some(members), Some(object)) = (shape["members"].as_object(), value.as_object()) {
        for (name, member) in members {
            match object.get(name) {
                Some(value) => misfits(&format!("{path}.{name}"), value, member, found),
                None if member["required"] == true => found.push(format!("{path}.{name}: missing")),
                None => {}
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if shape["items"].is_object() {
            misfits(&format!("{path}[{index}]"), item, &shape["items"], found);
        }
    }
}

#[track_caller]
pub fn assert_published(face: &str, name: &str, value: &Value) {
    let shape = shapes()[face][name].clone();
    assert!(shape.is_object(), "no shape {name}");
    let mut found = Vec::new();
    misfits("", value, &shape, &mut found);
    assert!(found.is_empty(), "{name} does not fit:\n{}\n{value:#}", found.join("\n"));
}

#[tokio::test]
async fn attempts_clients_and_the_environment_have_the_published_shapes() {
    let app = TestApp::start().await;
    let browser = app.browser();
    assert_published("frontend", "Client.Environment", &browser.get(app.url("/v1/environment")).await.json());
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200).json();
    assert_published("frontend", "Client.SignIn", &serde_json::json!(begun["response"]).with_path("sign_in"));
    assert_published("frontend", "Client.Client", &begun["client"]);
    go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await;
    assert_published("frontend", "Client.Client", &client(&app, &browser).await);
    let known = app.browser();
    sign_up(&app, &known, "oauth_google", "grace@example.com").await;
    let signed_in = client(&app, &known).await;
    assert_published("frontend", "Client.Client", &signed_in);
    assert_published("frontend", "Client.Session", &signed_in["sessions"][0]);
    let me = known.get(app.url("/v1/me")).await.expect(200).json();
    assert_published("frontend", "Client.User", &me["response"]);
    let refused = begin(&app, &known, "sign_ins", "oauth_nope").await.expect(400).json();
    assert_published("frontend", "ClerkErrors", &refused);
}

/// The description's names of the attempts differ from the wire's; this lets the checker see where it is.
trait WithPath {
    fn with_path(self, object: &str) -> Value;
}

impl WithPath for Value {
    fn with_path(mut self, object: &str) -> Value {
        assert_eq!(self["object"], object);
        self["object"] = Value::from(format!("{object}_attempt"));
        self
    }
}

#[tokio::test]
async fn backend_resources_have_the_published_shapes() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    assert_published("backend", "User", &app.backend_get(&format!("/v1/users/{id}")).await.json());
    assert_published("backend", "TotalCount", &app.backend_get("/v1/users/count").await.json());
    assert_published("backend", "JWKS", &app.backend_get("/v1/jwks").await.json());
    let tokens = app.backend_get(&format!("/v1/users/{id}/oauth_access_tokens/google")).await.json();
    assert_published("backend", "OAuthAccessToken", &tokens);
    let application =
        serde_json::json!({ "name": "a", "callback_url": "https://a.example/cb", "scopes": "profile email" });
    let created = app.backend(http::Method::POST, "/v1/oauth_applications", &application).await.expect(200).json();
    assert_published("backend", "OAuthApplicationWithSecret", &created);
    let path = format!("/v1/oauth_applications/{}", created["id"].as_str().unwrap());
    assert_published("backend", "OAuthApplication", &app.backend_get(&path).await.expect(200).json());
    assert_published("backend", "OAuthApplications", &app.backend_get("/v1/oauth_applications").await.json());
}

#[tokio::test]
async fn discovery_has_the_published_shape() {
    let app = TestApp::start().await;
    for (path, name) in [
        ("/.well-known/openid-configuration", "WellKnown.OpenIDConfiguration"),
        ("/.well-known/oauth-authorization-server", "WellKnown.OAuth2AuthorizationServerMetadata"),
    ] {
        assert_published("frontend", name, &app.browser().get(app.url(path)).await.expect(200).json());
    }
}

/// Every code that this server can answer is a published one with a published status, or carries our prefix.
#[test]
fn codes_are_published() {
    let published: Vec<(&str, &str)> =
        include_str!("../fixtures/error_codes.tsv").lines().filter_map(|line| line.split_once('\t')).collect();
    for code in vestibule::model::problem::code::ALL {
        let known: Vec<&str> =
            published.iter().filter(|(name, _)| *name == code.name).map(|(_, status)| *status).collect();
        let status = vestibule::http::status::of(*code).as_u16().to_string();
        assert!(
            code.name.starts_with("vestibule_") || known.iter().any(|known| known.is_empty() || **known == status),
            "{} {status}: published with {known:?}",
            code.name
        );
    }
}
