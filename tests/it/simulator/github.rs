//! GitHub, simulated: form-encoded unless asked for JSON, errors behind status 200, addresses in a second call.

use super::world::{Callback, STATE, World};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use vestibule::model::profile::EmailTrust;
use vestibule::model::reason::Reason;

#[tokio::test]
async fn signs_ada_in_by_two_calls() {
    let world = World::start().await;
    let callback = world.press(world.start_url("github", None), &[("person", "ada@example.com")]).await;
    assert_eq!(callback.parameters["state"], STATE);
    assert_eq!(callback.parameters["iss"], "https://github.com/login/oauth");
    assert!(world.provider("github").check_callback_issuer(Some(&callback.parameters["iss"])).is_ok());

    let tokens = world.exchange("github", &callback).await.unwrap();
    assert!(tokens.access_token.expose_secret().starts_with("gho_"));
    assert_eq!((tokens.expires_in, tokens.refresh_token.is_none()), (None, true), "an OAuth app's token has no end");
    assert_eq!(tokens.token_type.as_deref(), Some("bearer"));
    assert_eq!(tokens.raw["scope"], "read:user,user:email");
    assert_eq!(tokens.scopes.as_deref(), Some(["read:user", "user:email"].map(str::to_owned).as_slice()));

    let ada = world.profile("github", &tokens).await.unwrap();
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("ada@example.com"), EmailTrust::Verified));
    assert_eq!((ada.first_name.as_deref(), ada.last_name.as_deref()), (Some("Ada"), Some("Lovelace")));
    assert_eq!(ada.username.as_deref(), Some("ada"));
    assert!(ada.provider_user_id.parse::<u64>().is_ok(), "the number as text: {}", ada.provider_user_id);
}

#[tokio::test]
async fn the_people_are_as_described() {
    let world = World::start().await;
    let bob = world.sign_in("github", "bob").await.1;
    assert_eq!((bob.email.as_deref(), bob.email_trust), (Some("bob@example.com"), EmailTrust::Unverified));
    let cyd = world.sign_in("github", "cyd").await.1;
    assert_eq!((cyd.email, cyd.email_trust), (None, EmailTrust::Unverified));
    let hidden = world.sign_in("github", "583231+grace@users.noreply.github.com").await.1;
    assert_eq!(hidden.email.as_deref(), Some("583231+grace@users.noreply.github.com"), "primary where privacy is on");
}

/// A token request that GitHub would accept, with some members changed or (`None`) left out.
async fn ask(world: &World, code: &Callback, accept: &str, changed: &[(&'static str, Option<&str>)]) -> (u16, String) {
    let mut form = vec![
        ("grant_type", Some("authorization_code".to_owned())),
        ("code", Some(code.parameters["code"].clone())),
        ("redirect_uri", Some(world.callback_url().into())),
        ("code_verifier", Some(world.verifier.expose().to_owned())),
        ("client_id", Some("sim_github".to_owned())),
        ("client_secret", Some(world.secret("github"))),
    ];
    for (name, value) in changed {
        form.retain(|(known, _)| known != name);
        form.push((name, value.map(str::to_owned)));
    }
    let post = world.browser.post(world.url("github", "login/oauth/access_token")).header("accept", accept);
    let answer = post.form(&form).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn code(world: &World) -> Callback {
    world.auto(world.start_url("github", None), "ada").await
}

#[tokio::test]
async fn without_the_accept_header_the_answer_is_form_encoded() {
    let world = World::start().await;
    let (status, text) = ask(&world, &code(&world).await, "*/*", &[]).await;
    assert_eq!(status, 200);
    assert!(text.contains("scope=read%3Auser%2Cuser%3Aemail") && text.contains("access_token=gho_"), "{text}");
    let (status, text) = ask(&world, &code(&world).await, "*/*", &[("code", Some("wrong"))]).await;
    assert!(status == 200 && text.starts_with("error=bad_verification_code&error_description=The+code"), "{text}");
}

#[tokio::test]
async fn github_refusals_have_status_200_and_github_codes() {
    let world = World::start().await;
    let used = code(&world).await;
    assert_eq!(ask(&world, &used, "application/json", &[]).await.0, 200);
    let wrong_code = ("bad_verification_code", "The code passed is incorrect or expired.");
    let credentials = ("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.");
    let elsewhere =
        ("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application.");
    let (fresh, long) = (code(&world).await, "w".repeat(43));
    for (code, changed, (error, description)) in [
        (&used, ("grant_type", Some("authorization_code")), wrong_code),
        (&fresh, ("client_secret", Some("wrong")), credentials),
        (&fresh, ("client_secret", None), credentials),
        (&fresh, ("client_id", Some("sim_google")), credentials),
        (&fresh, ("grant_type", Some("password")), ("unsupported_grant_type", "The grant_type is not supported.")),
        (&fresh, ("code", None), wrong_code),
        (&fresh, ("code", Some("made-up")), wrong_code),
        (&fresh, ("redirect_uri", Some("http://localhost:1/")), elsewhere),
        (&self::code(&world).await, ("code_verifier", Some(long.as_str())), wrong_code),
        (&self::code(&world).await, ("code_verifier", None), wrong_code),
    ] {
        let (status, text) = ask(&world, code, "application/json", &[changed]).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &body["error"], &body["error_description"]), (200, &json!(error), &json!(description)));
        assert!(body["error_uri"].as_str().unwrap().starts_with("https://docs.github.com/"), "{body}");
    }
}

#[tokio::test]
async fn our_adapter_reads_the_refusals() {
    let world = World::start().await;
    let callback = code(&world).await;
    world.exchange("github", &callback).await.unwrap();
    let error = world.exchange("github", &callback).await.unwrap_err();
    assert_eq!((error.reason, error.status), (Reason::TokenInvalidGrant, Some(200)));
    assert_eq!(error.provider_code.as_deref(), Some("bad_verification_code"));
}

async fn api(world: &World, path: &str, token: &str, agent: Option<&str>) -> (u16, Value) {
    let mut request = world.browser.get(world.url("github", path)).bearer_auth(token);
    if let Some(agent) = agent {
        request = request.header("user-agent", agent);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_api_wants_a_good_token_a_user_agent_and_the_scope() {
    let world = World::start().await;
    let tokens = world.sign_in("github", "ada").await.0;
    let token = tokens.access_token.expose_secret();
    for path in ["user", "user/emails", "user/orgs"] {
        let (status, body) = api(&world, path, "gho_wrong", None).await;
        assert_eq!((status, &body["message"]), (401, &json!("Bad credentials")), "{path}");
        let (status, body) = api(&world, path, token, None).await;
        assert!(status == 403 && body["message"].as_str().unwrap().contains("User-Agent"), "{path} {body}");
    }
    let (status, user) = api(&world, "user", token, Some("test")).await;
    assert_eq!((status, &user["login"], &user["email"]), (200, &json!("ada"), &Value::Null));
    let (_, emails) = api(&world, "user/emails", token, Some("test")).await;
    let first = json!({"email": "ada@example.com", "primary": true, "verified": true, "visibility": "private"});
    assert_eq!(emails[0], first);
    assert_eq!(emails[1]["email"], format!("{}+ada@users.noreply.github.com", user["id"]));
    let (status, body) = api(&world, "user/orgs", token, Some("test")).await;
    assert!(status == 403 && body["message"].as_str().unwrap().contains("read:org"), "{body}");
    let (status, body) = api(&world, "repos/x/y", token, Some("test")).await;
    assert_eq!((status, &body["message"]), (404, &json!("Not Found")));

    let form = [("shown", "1"), ("email", "ada@example.com"), ("scope", "read:user")];
    let callback = world.press(world.start_url("github", None), &form).await;
    let narrow = world.exchange("github", &callback).await.unwrap();
    let (status, body) = api(&world, "user/emails", narrow.access_token.expose_secret(), Some("test")).await;
    assert_eq!((status, &body["message"]), (404, &json!("Not Found")), "without user:email");
    assert_eq!(world.profile("github", &narrow).await.unwrap_err().reason, Reason::ProviderRefused);
}

#[tokio::test]
async fn a_github_app_s_tokens_end_and_are_replaced_together() {
    let world = World::start().await;
    world.switch("github", json!({"refresh": "rotating"})).await;
    let tokens = world.sign_in("github", "ada").await.0;
    assert!(tokens.expires_in.is_some());
    assert_eq!(tokens.raw["refresh_token_expires_in"], 15_897_600);
    let first = tokens.refresh_token.unwrap();
    assert!(first.expose_secret().starts_with("ghr_"));
    let fresh = world.refresh("github", &first).await.unwrap();
    assert_ne!(fresh.access_token.expose_secret(), tokens.access_token.expose_secret());
    assert_ne!(fresh.refresh_token.unwrap().expose_secret(), first.expose_secret());
    let error = world.refresh("github", &first).await.unwrap_err();
    assert_eq!((error.reason, error.detail, error.status), (Reason::RefreshRefused, "invalid_grant", Some(200)));
    assert_eq!(error.provider_code.as_deref(), Some("bad_refresh_token"));
}
