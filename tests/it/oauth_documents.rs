//! Discovery and keys (oauth-provider section 3).

use crate::support::{TestApp, send};
use http::Method;

const PATHS: [&str; 3] =
    ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"];

#[tokio::test]
async fn both_descriptions_are_one_and_name_only_what_answers() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let openid = browser.get(app.url(PATHS[0])).await.expect(200);
    let oauth = browser.get(app.url(PATHS[1])).await.expect(200);
    assert_eq!(openid.text, oauth.text);
    let document = openid.json();
    assert_eq!(document["issuer"], app.origin());
    for required in [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "scopes_supported",
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
        "token_endpoint_auth_methods_supported",
        "claims_supported",
        "code_challenge_methods_supported",
        "backchannel_logout_supported",
        "frontchannel_logout_supported",
    ] {
        assert!(!document[required].is_null(), "{required}");
    }
    let members = document.as_object().unwrap();
    for (name, url) in members.iter().filter(|(name, _)| name.ends_with("_endpoint") || name.ends_with("_uri")) {
        let answer = send(browser.raw(Method::GET, url.as_str().unwrap())).await;
        assert_ne!(answer.status, 404, "{name}");
    }
}

#[tokio::test]
async fn the_keys_are_public_and_sign() {
    let app = TestApp::start().await;
    let keys = app.browser().get(app.url(PATHS[2])).await.expect(200).json();
    let key = &keys["keys"][0];
    let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"], "nothing private");
    assert_eq!(
        (key["kty"].as_str(), key["alg"].as_str(), key["use"].as_str()),
        (Some("RSA"), Some("RS256"), Some("sig"))
    );
}

#[tokio::test]
async fn documents_may_be_cached_and_read_by_everybody() {
    let app = TestApp::start().await;
    for path in PATHS {
        let request = app.browser().raw(Method::GET, &app.url(path)).header("origin", "https://elsewhere.example");
        let answer = send(request).await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        let etag = answer.header("etag").unwrap();
        let again = app.browser().raw(Method::GET, &app.url(path)).header("if-none-match", etag);
        assert_eq!(send(again).await.expect(304).text, "", "{path}");
        let preflight = app.browser().raw(Method::OPTIONS, &app.url(path)).header("origin", "https://x.example");
        assert_eq!(send(preflight).await.status, 204, "{path}");
        send(app.browser().raw(Method::POST, &app.url(path))).await.expect(405);
    }
}

#[tokio::test]
async fn documents_cost_no_statement() {
    let app = TestApp::start().await;
    let browser = app.browser();
    for path in PATHS {
        browser.get(app.url(path)).await.expect(200);
        let cost = app.cost(browser.get(app.url(path))).await;
        assert_eq!(cost.statements, 0, "{path}: {cost:#?}");
    }
}
