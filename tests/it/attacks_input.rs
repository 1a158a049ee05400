//! Every text parameter of both APIs with texts that break things: a refusal or an ordinary answer, never a fault.

use http::Method;
use serde_json::json;
use vestibule::http::route::{Caller, Route};
use vestibule::http::router;

use crate::support::TestApp;
use crate::support::browser::{Answer, send};
use crate::support::person::{APP, client, sign_up};

const HOSTILE: &[&str] = &[
    "'",
    "''",
    "' or '1'='1",
    "'; drop table users; --",
    "\" or 1=1 --",
    "1; select pg_sleep(5)",
    "$1",
    "$$x$$",
    "%",
    "_",
    "\\",
    "\\'",
    "name;drop",
    "created_at desc, (select 1)",
    "../../etc/passwd",
    "..%2f",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "\0",
    "a\0b",
    "\u{1}\u{2}",
    "\r\nSet-Cookie: a=b",
    "\u{202e}abc",
    "\u{200f}",
    "\u{feff}",
    "\u{1f600}",
    "e\u{301}\u{301}\u{301}",
    "\u{fffd}",
    "\u{10ffff}",
    "null",
    "undefined",
    "NaN",
    "-1",
    "0",
    "9223372036854775808",
    "1e400",
    "true",
    "[]",
    "{\"a\":\"\\u0000\"}",
    "[[[[[[",
    " ",
    "\t",
    "ſ",
    "İ",
    "ß@ß",
    "a@b,c@d",
];

/// Fails on a fault, and on an answer that repeats markup as markup.
#[track_caller]
fn judge(answer: &Answer, place: &str, text: &str) {
    assert!(answer.status.as_u16() < 500, "{place} {text:?}: {} {}", answer.status, answer.text);
    let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    assert!(!(is_page && answer.text.contains("<script>alert(1)")), "{place} {text:?}");
    assert!(!(is_page && answer.text.contains("<img src=x")), "{place} {text:?}");
    assert!(answer.set_cookies().iter().all(|line| !line.starts_with("a=b")), "{place} {text:?}");
}

fn texts() -> Vec<String> {
    let long = ["x".repeat(300), "x".repeat(2100), "\u{1f600}".repeat(400)];
    HOSTILE.iter().map(|text| (*text).to_owned()).chain(long).collect()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[tokio::test]
async fn queries_and_paths() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let backend = [
        "/v1/users?email_address=",
        "/v1/users?user_id=",
        "/v1/users?external_id=",
        "/v1/users?username=",
        "/v1/users?order_by=",
        "/v1/users?limit=",
        "/v1/users?offset=",
        "/v1/users/",
        "/v1/oauth_applications?name_query=",
        "/v1/oauth_applications?order_by=",
        "/v1/oauth_applications/",
        "/v1/clients/handshake_payload?nonce=",
    ];
    let navigated = [
        "/sign-in?redirect_url=",
        "/sign-up?redirect_url=",
        "/sign-in?email_address=",
        "/sign-in/sso-callback?redirect_url=",
        "/user?x=",
        "/oauth/authorize?client_id=",
        "/oauth-consent?client_id=",
        "/oauth/authorize?",
        "/v1/oauth_callback?state=",
        "/v1/oauth_callback?error=access_denied&error_description=",
        "/v1/client/handshake?redirect_url=",
        "/v1/me?_clerk_session_id=",
        "/v1/client/sign_ins/",
        "/v1/client/sign_ups/",
        "/v1/me/oauth/consent/",
        "/v1/me/oauth/consent/x?scope=",
        "/v1/client?__clerk_api_version=",
        "/_dev/providers/google/",
        "/_dev/providers/",
        "/_dev/",
        "/.well-known/",
    ];
    for text in texts() {
        let word = encoded(&text);
        for place in backend {
            let request = browser.raw(Method::GET, &app.url(&format!("{place}{word}")));
            judge(&send(request.bearer_auth(&app.secret_key)).await, place, &text);
        }
        let user = format!("/v1/users/{word}/oauth_access_tokens/{word}");
        let request = browser.raw(Method::GET, &app.url(&user)).bearer_auth(&app.secret_key);
        judge(&send(request).await, "oauth_access_tokens", &text);
        for place in navigated {
            let request =
                browser.request(Method::GET, &app.url(&format!("{place}{word}"))).header("accept", "text/html");
            judge(&browser.send(request).await, place, &text);
        }
    }
}

#[tokio::test]
async fn forms_and_json() {
    let app = TestApp::start().await;
    let (client, browser) = (app.application(json!({})).await, app.browser());
    for text in texts() {
        let post = |path: &str| browser.raw(Method::POST, &app.url(path));
        let secret = client.secret.as_deref();
        for name in ["code", "redirect_uri", "code_verifier", "grant_type", "scope", "resource", "client_id"] {
            let mut form = vec![("grant_type", "authorization_code"), ("code", "x")];
            form.retain(|(given, _)| *given != name);
            form.push((name, &text));
            judge(&send(post("/oauth/token").basic_auth(&client.id, secret).form(&form)).await, name, &text);
        }
        judge(&send(post("/oauth/token").basic_auth(&text, Some(&text)).form(&[("code", "x")])).await, "basic", &text);
        for path in ["/oauth/token_info", "/oauth/token/revoke"] {
            let form = [("token", text.as_str()), ("token_type_hint", &text)];
            judge(&send(post(path).basic_auth(&client.id, secret).form(&form)).await, path, &text);
        }
        for name in ["name", "callback_url", "scopes", "redirect_uris", "public"] {
            for value in [json!(text), json!([{ "a": text }])] {
                let body = json!({ "name": "x", "callback_url": "https://a.example/cb", name: value });
                let request = post("/v1/oauth_applications").bearer_auth(&app.secret_key).json(&body);
                judge(&send(request).await, name, &text);
            }
        }
    }
}

/// Parameters of the frontend API and of our pages' forms; a route that does not know one ignores it or says so.
const NAMES: [&str; 30] = [
    "strategy",
    "redirect_url",
    "action_complete_redirect_url",
    "oidc_prompt",
    "oidc_login_hint",
    "transfer",
    "identifier",
    "email_address",
    "email_address_id",
    "password",
    "new_password",
    "code",
    "token",
    "ticket",
    "username",
    "first_name",
    "last_name",
    "locale",
    "unsafe_metadata",
    "legal_accepted",
    "additional_scope",
    "level",
    "active_organization_id",
    "organization_id",
    "sign_up_if_missing",
    "consented",
    "client_id",
    "redirect_uri",
    "state",
    "_clerk_session_id",
];

/// A path with the caller's own things in it, so that nothing is refused before the handler.
fn own(path: &str, client: &serde_json::Value) -> String {
    let session = client["sessions"][0]["id"].as_str().unwrap();
    let account = client["sessions"][0]["user"]["external_accounts"][0]["id"].as_str().unwrap();
    let id = match path {
        path if path.contains("/sessions/") => session,
        path if path.contains("/external_accounts/") => account,
        path if path.contains("/sign_ins/") => client["sign_in"]["id"].as_str().unwrap_or("none"),
        path if path.contains("/sign_ups/") => client["sign_up"]["id"].as_str().unwrap_or("none"),
        _ => "none",
    };
    path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/")
}

/// Every route of the frontend API that takes a form, as the route table has them: signed in, with an attempt under
/// way, from an origin of the app, so that the texts come as far as they can.
#[tokio::test]
async fn every_form_of_the_route_table() {
    let app = TestApp::start().await;
    let settings = json!({"single_session_mode": false, "attributes": {"password": {"enabled": true}}}).to_string();
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", &settings).await;
    app.app().forget_directory();
    let ends = ["/v1/client", "/v1/client/sessions", "/v1/client/sessions/{id}/end", "/v1/client/sessions/{id}/remove"];
    let is_form = |route: &&Route| {
        let takes_forms = matches!(route.rules.caller, Caller::Browser | Caller::Anyone);
        takes_forms && route.method != Method::GET && !route.path.starts_with("/_dev/providers")
    };
    let routes: Vec<Route> = router::routes().into_iter().filter(|route| is_form(&route)).collect();
    assert!(routes.len() > 18, "{}", routes.len());
    let mut reached = std::collections::BTreeSet::new();
    for (turn, route) in routes.iter().filter(|route| !ends.contains(&route.path)).enumerate() {
        let browser = app.browser();
        sign_up(&app, &browser, "oauth_google", &format!("p{}@example.com", reached.len())).await;
        let begun = [("strategy", "email_code"), ("identifier", "p0@example.com")];
        for kind in ["sign_ins", "sign_ups"].into_iter().filter(|kind| route.path.contains(kind)) {
            let form = if kind == "sign_ins" {
                begun
            } else {
                [("strategy", "email_code"), ("email_address", "q@example.com")]
            };
            browser.post_form(app.url(&format!("/v1/client/{kind}")), APP, &form).await;
        }
        let mine = client(&app, &browser).await;
        let url = app.url(&own(route.path, &mine));
        // Each route gets every fourth text, and its neighbours the others.
        for (index, text) in texts().iter().enumerate().skip(turn % 4).step_by(4) {
            // All of them broken, and each in turn beside good ones.
            let broken = |name: &str| index % NAMES.len() == 0 || NAMES[index % NAMES.len()] == name;
            let good = |name: &str| if name == "strategy" { "oauth_google" } else { "/sso-callback" };
            let form: Vec<(&str, &str)> =
                NAMES.iter().map(|name| (*name, if broken(name) { text.as_str() } else { good(name) })).collect();
            let request = browser.request(route.method.clone(), &url).header("origin", APP);
            let answer = browser.send(request.header("accept", "text/html").form(&form)).await;
            judge(&answer, &format!("{} {}", route.method, route.path), text);
            let refused_before_the_handler = answer.status == 400 && answer.text.contains("\"origin_");
            if !refused_before_the_handler && answer.status != 405 {
                reached.insert(format!("{} {}", route.method, route.path));
            }
        }
    }
    let expected = routes.iter().filter(|route| !ends.contains(&route.path)).count();
    assert_eq!(reached.len(), expected, "every route was reached: {reached:?}");
}

#[tokio::test]
async fn bodies_of_another_kind_than_announced() {
    let app = TestApp::start().await;
    let many: String = (0..9_000).map(|number| format!("\"{number}\":1,")).collect();
    let bodies: Vec<Vec<u8>> = vec![
        b"{\"name\":\"\\ud800\"}".to_vec(),
        b"{\"name\":\"\xff\"}".to_vec(),
        b"{\"name\":\"a\0\"}".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\"x\"".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        "[".repeat(60_000).into_bytes(),
        "{\"a\":".repeat(10_000).into_bytes(),
        format!(
            "{{{}\"x\":1}}",
            many.get(..60_000).unwrap().rsplit_once("\"").unwrap().0.rsplit_once(',').unwrap().0.to_owned() + ","
        )
        .into_bytes(),
        b"name=%ff&callback_url=%".to_vec(),
        "a=b&".repeat(101).into_bytes(),
        b"--x\r\n\r\n--x--".to_vec(),
    ];
    let browser = app.browser();
    let kinds = [
        "application/json",
        "application/json; charset=utf-16",
        "APPLICATION/JSON",
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "",
        "x",
    ];
    for body in &bodies {
        for kind in kinds {
            for (path, key) in [
                ("/v1/oauth_applications", true),
                ("/v1/client/sign_ups", false),
                ("/oauth/token", false),
                ("/oauth/userinfo", false),
            ] {
                let request = browser.raw(Method::POST, &app.url(path)).header("content-type", kind).body(body.clone());
                let request = if key { request.bearer_auth(&app.secret_key) } else { request.header("origin", APP) };
                let answer = send(request).await;
                let start = String::from_utf8_lossy(body.get(..20.min(body.len())).unwrap()).into_owned();
                assert!(
                    answer.status.is_client_error() || (path.ends_with("sign_ups") && answer.status == 200),
                    "{path} {kind} {start:?}: {} {}",
                    answer.status,
                    answer.text
                );
            }
        }
    }
    let huge = "x".repeat(10 << 20);
    for (path, kind) in
        [("/v1/client/sign_ups", "application/json"), ("/oauth/token", "application/x-www-form-urlencoded")]
    {
        let request = browser.raw(Method::POST, &app.url(path)).header("origin", APP).header("content-type", kind);
        // The server may hang up while it is still being sent to.
        if let Ok(answer) = request.body(huge.clone()).send().await {
            assert_eq!(answer.status(), 413, "{path}");
        }
    }
}

#[tokio::test]
async fn a_member_that_is_named_twice_is_refused() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let backend = |body: &str| {
        let request = browser.raw(Method::POST, &app.url("/v1/oauth_applications")).bearer_auth(&app.secret_key);
        request.header("content-type", "application/json").body(body.to_owned())
    };
    for body in [
        r#"{"name":"one","name":"two","callback_url":"https://a.example/cb"}"#,
        r#"{"name":"one","\u006eame":"two","callback_url":"https://a.example/cb"}"#,
        r#"{"name":"one","callback_url":"https://a.example/cb","x":[{"a":1,"b":{"c":1,"c":1}}]}"#,
    ] {
        let refused = send(backend(body)).await.expect(400);
        assert_eq!(refused.error_code(), "request_body_invalid", "{body}");
    }
    let frontend = browser.raw(Method::POST, &app.url("/v1/client/sign_ups")).header("origin", APP);
    let frontend = frontend.header("content-type", "application/json");
    let doubled = r#"{"unsafe_metadata":{"role":"a","role":"b"}}"#;
    assert_eq!(send(frontend.body(doubled)).await.expect(400).error_code(), "request_body_invalid");
    let in_a_form = browser.raw(Method::POST, &app.url("/v1/client/sign_ups")).header("origin", APP);
    let in_a_form = in_a_form.form(&[("unsafe_metadata", r#"{"role":"a","role":"b"}"#)]);
    assert_eq!(send(in_a_form).await.expect(422).error_code(), "form_param_format_invalid");
    let once = send(backend(r#"{"name":"one","callback_url":"https://a.example/cb"}"#)).await;
    assert!(once.status.is_success(), "{}", once.text);
}
