//! What the simulated token endpoints refuse, each with its provider's own error.

use super::world::{Callback, World};
use base64::Engine;
use serde_json::{Value, json};

/// An authorization code for ada.
async fn code(world: &World, slug: &str) -> Callback {
    world.auto(world.start_url(slug, None), "ada").await
}

/// A token request that Google would accept; `None` leaves a member out.
fn google<'a>(world: &'a World, code: &'a Callback) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("grant_type", Some("authorization_code".to_owned())),
        ("code", Some(code.parameters["code"].clone())),
        ("redirect_uri", Some(world.callback_url().into())),
        ("code_verifier", Some(world.verifier.expose().to_owned())),
        ("client_id", Some("sim_google".to_owned())),
        ("client_secret", Some(world.secret("google"))),
    ]
}

async fn ask_google(world: &World, changed: &[(&'static str, Option<&str>)]) -> (u16, Value) {
    let code = code(world, "google").await;
    ask_google_with(world, &code, changed).await
}

async fn ask_google_with(world: &World, code: &Callback, changed: &[(&'static str, Option<&str>)]) -> (u16, Value) {
    let mut form = google(world, code);
    for (name, value) in changed {
        form.retain(|(known, _)| known != name);
        form.push((name, value.map(str::to_owned)));
    }
    let answer = world.browser.post(world.url("google", "token")).form(&form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn error(name: &str, description: &str) -> Value {
    json!({"error": name, "error_description": description})
}

#[tokio::test]
async fn google_accepts_the_request_that_the_others_vary() {
    let world = World::start().await;
    assert_eq!(ask_google(&world, &[]).await.0, 200);
}

#[tokio::test]
async fn google_refuses_a_wrong_secret_or_one_in_the_wrong_place() {
    let world = World::start().await;
    let refused = (401, error("invalid_client", "Unauthorized"));
    assert_eq!(ask_google(&world, &[("client_secret", Some("wrong"))]).await, refused);
    assert_eq!(ask_google(&world, &[("client_id", Some("sim_notion"))]).await, refused);
    assert_eq!(ask_google(&world, &[("client_secret", None)]).await, refused);
    let code = code(&world, "google").await;
    let form: Vec<_> = google(&world, &code).into_iter().filter(|(name, _)| !name.starts_with("client_")).collect();
    let post = world.browser.post(world.url("google", "token")).form(&form);
    let answer = post.basic_auth("sim_google", Some(world.secret("google"))).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.json::<Value>().await.unwrap()), refused);
    assert!(world.exchange("google", &code).await.is_ok(), "a stranger's try does not use up the code");
}

#[tokio::test]
async fn google_refuses_a_wrong_redirect_uri() {
    let world = World::start().await;
    let other = format!("{}/", world.callback_url());
    let refused = ask_google(&world, &[("redirect_uri", Some(&other))]).await;
    assert_eq!(refused, (400, error("redirect_uri_mismatch", "Bad Request")));
}

#[tokio::test]
async fn google_refuses_a_wrong_or_missing_verifier() {
    let world = World::start().await;
    let refused = (400, error("invalid_grant", "The code verifier does not fit."));
    assert_eq!(ask_google(&world, &[("code_verifier", Some(&"w".repeat(43)))]).await, refused);
    assert_eq!(ask_google(&world, &[("code_verifier", None)]).await, refused);
}

#[tokio::test]
async fn google_refuses_a_used_or_old_or_foreign_code() {
    let world = World::start().await;
    let refused = (400, error("invalid_grant", "Malformed auth code."));
    let used = code(&world, "google").await;
    assert_eq!(ask_google_with(&world, &used, &[]).await.0, 200);
    assert_eq!(ask_google_with(&world, &used, &[]).await, refused);
    let notions = code(&world, "notion").await;
    assert_eq!(ask_google_with(&world, &notions, &[]).await, refused);
    assert_eq!(ask_google(&world, &[("code", Some("4/0Amade-up"))]).await, refused);
    let old = code(&world, "google").await;
    world.advance(61).await;
    assert_eq!(ask_google_with(&world, &old, &[]).await, refused);
}

#[tokio::test]
async fn google_refuses_what_is_not_a_form_or_no_grant() {
    let world = World::start().await;
    let code = code(&world, "google").await;
    let members: Value =
        google(&world, &code).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let answer = world.browser.post(world.url("google", "token")).json(&members).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()),
        (400, error("invalid_request", "Bad Request"))
    );
    let refused = ask_google(&world, &[("grant_type", Some("password"))]).await;
    assert_eq!(refused, (400, error("unsupported_grant_type", "Invalid grant_type")));
    let refused = ask_google(&world, &[("code", None)]).await;
    assert_eq!(refused, (400, error("invalid_request", "Missing required parameter: code")));
}

#[tokio::test]
async fn of_many_redemptions_of_one_code_one_wins() {
    let world = World::start().await;
    let code = code(&world, "google").await;
    let tries = (0..20).map(|_| ask_google_with(&world, &code, &[]));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|(_, body)| body["error"] == "invalid_grant").count(), 19);
}

/// How a test deviates from the request that Notion would accept.
enum Start {
    None,
    Form,
    SecretInBody,
    WrongSecret,
    NoVersion,
    Member(&'static str, String),
}

async fn ask_notion(world: &World, code: &Callback, start: Start) -> (u16, Value) {
    let mut members = json!({
        "grant_type": "authorization_code", "code": code.parameters["code"], "redirect_uri": world.callback_url(),
    });
    let mut secret = Some(world.secret("notion"));
    let mut post = world.browser.post(world.url("notion", "v1/oauth/token"));
    if !matches!(start, Start::NoVersion) {
        post = post.header("Notion-Version", "2022-06-28");
    }
    match &start {
        Start::SecretInBody => {
            members["client_id"] = json!("sim_notion");
            members["client_secret"] = json!(secret.take());
        }
        Start::WrongSecret => secret = Some("wrong".to_owned()),
        Start::Member(name, value) => members[*name] = json!(value),
        Start::None | Start::Form | Start::NoVersion => {}
    }
    if let Some(secret) = secret {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("sim_notion:{secret}"));
        post = post.header("Authorization", format!("Basic {pair}"));
    }
    let post = if matches!(start, Start::Form) { post.form(&members) } else { post.json(&members) };
    let answer = post.send().await.unwrap();
    let status = answer.status().as_u16();
    let mut body: Value = answer.json().await.unwrap();
    assert!(body["request_id"].take().is_string(), "Notion numbers its answers");
    (status, body)
}

fn notions(name: &str, description: &str) -> Value {
    json!({"error": name, "error_description": description, "request_id": null})
}

#[tokio::test]
async fn notion_refuses_a_form_body() {
    let world = World::start().await;
    let code = code(&world, "notion").await;
    let refused = ask_notion(&world, &code, Start::Form).await;
    let expected = json!({"object": "error", "status": 400, "code": "invalid_json", "message": "Error parsing JSON body.",
                          "request_id": null});
    assert_eq!(refused, (400, expected));
    assert_eq!(ask_notion(&world, &code, Start::None).await.0, 200);
}

#[tokio::test]
async fn notion_refuses_a_wrong_secret_or_one_in_the_body() {
    let world = World::start().await;
    let code = code(&world, "notion").await;
    let refused = (401, notions("invalid_client", "Client authentication failed."));
    assert_eq!(ask_notion(&world, &code, Start::WrongSecret).await, refused);
    assert_eq!(ask_notion(&world, &code, Start::SecretInBody).await, refused);
}

#[tokio::test]
async fn notion_refuses_a_wrong_redirect_uri_and_a_used_code() {
    let world = World::start().await;
    let first = code(&world, "notion").await;
    let other = Start::Member("redirect_uri", "http://localhost:1/".to_owned());
    let words = "The redirect URI is not that of the authorization request.";
    assert_eq!(ask_notion(&world, &first, other).await, (400, notions("invalid_grant", words)));
    let second = code(&world, "notion").await;
    assert_eq!(ask_notion(&world, &second, Start::None).await.0, 200);
    let refused = ask_notion(&world, &second, Start::None).await;
    assert_eq!(refused, (400, notions("invalid_grant", "The code is unknown, used or expired.")));
}

#[tokio::test]
async fn notion_refuses_a_missing_version() {
    let world = World::start().await;
    let code = code(&world, "notion").await;
    let (status, body) = ask_notion(&world, &code, Start::NoVersion).await;
    assert_eq!((status, &body["code"]), (400, &json!("missing_version")));
}
