//! Signing in because an OAuth client asked for it: from the authorization endpoint to our pages and back.

use super::portal::{sign_in_as, signed_in};
use super::visitor::{Form, open, state};
use crate::support::{Answer, TestApp};
use http::Method;
use serde_json::json;
use url::Url;

const REDIRECT: &str = "https://client.example/cb";

/// An authorization request of a new confidential client, as path and query.
async fn request(app: &TestApp, more: &[(&str, &str)]) -> String {
    let body = json!({ "name": "<Planner & \"Co\">", "redirect_uris": [REDIRECT] });
    let created = app.backend(Method::POST, "/v1/oauth_applications", &body).await.expect(200).json();
    let client_id = created["client_id"].as_str().unwrap().to_owned();
    let mut url = Url::parse(&app.url("/oauth/authorize")).unwrap();
    url.query_pairs_mut()
        .extend_pairs([("response_type", "code"), ("client_id", &client_id), ("redirect_uri", REDIRECT)])
        .extend_pairs([("scope", "openid email"), ("state", "state-of-the-client")])
        .extend_pairs(more);
    format!("{}?{}", url.path(), url.query().unwrap())
}

fn of_path(url: &Url) -> String {
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

#[track_caller]
fn policy(page: &Answer) -> &str {
    page.header("content-security-policy").unwrap()
}

#[tokio::test]
async fn a_client_s_sign_in_leads_through_the_portal_and_the_question_back_to_it() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let sent = open(&browser, app.url(&request(&app, &[]).await)).await.location();
    assert_eq!(sent.path(), "/sign-in");
    let page = open(&browser, &sent).await.expect(200);
    // If the provider and the client are answered at once, the browser goes all the way in one chain after the form.
    let expected = format!("form-action 'self' {} https://client.example;", app.origin());
    assert!(policy(&page).contains(&expected), "{}", policy(&page));

    let back = sign_in_as(&app, &browser, &of_path(&sent), "ada@example.com").await.location();
    assert_eq!(back.path(), "/oauth/authorize");
    let asked = open(&browser, open(&browser, back).await.location()).await.expect(200);
    assert_eq!(state(&asked), ("oauth.consent".to_owned(), "ask".to_owned()));
    assert!(policy(&asked).contains("form-action 'self' https://client.example;"));
    assert!(!asked.text.contains("<Planner"), "names are text");
    let allowed = Form::on(&asked).press(&browser, "consented", "true").await.location();
    assert!(allowed.as_str().starts_with(REDIRECT) && allowed.query().unwrap().contains("code="));
}

#[tokio::test]
async fn an_unregistered_place_is_not_in_the_policy() {
    let app = TestApp::start().await;
    let real = request(&app, &[]).await;
    let forged = real.replace("client.example", "evil.example");
    let target: String = url::form_urlencoded::byte_serialize(app.url(&forged).as_bytes()).collect();
    let page = open(&app.browser(), app.url(&format!("/sign-in?redirect_url={target}"))).await.expect(200);
    assert!(!policy(&page).contains("evil"), "{}", policy(&page));
}

#[tokio::test]
async fn a_demanded_new_sign_in_happens_although_somebody_is_signed_in() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    // A demand counts from its whole second on.
    app.advance(std::time::Duration::from_secs(2)).await;
    let sent = open(&browser, app.url(&request(&app, &[("prompt", "login")]).await)).await.location();
    let page = open(&browser, &sent).await.expect(200);
    assert_eq!(state(&page), ("sign-in.start".to_owned(), "notice".to_owned()));
    open(&browser, app.url("/user")).await.expect(200);
    let back = sign_in_as(&app, &browser, &of_path(&sent), "ada@example.com").await.location();
    let asked = open(&browser, open(&browser, back).await.location()).await.expect(200);
    assert_eq!(state(&asked).0, "oauth.consent");
}
