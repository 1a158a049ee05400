//! Whole answers, to be read line by line when they change. Ids, times, tokens and ports are masked.

use serde_json::Value;

use crate::support::TestApp;
use crate::support::person::{begin, client, go, sign_up};

/// `value` with everything masked that differs from run to run.
fn masked(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, masked(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(masked).collect()),
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 1_000_000_000_000) => "[ms]".into(),
        Value::String(text) => masked_text(&text).into(),
        other => other,
    }
}

fn masked_text(text: &str) -> String {
    let is_id = |rest: &str| rest.len() == 27 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match text.split_once('_') {
        Some((prefix, rest)) if is_id(rest) => return format!("[{prefix}]"),
        _ => {}
    }
    if text.matches('.').count() == 2 && text.starts_with("ey") {
        return "[jwt]".to_owned();
    }
    if text.contains("state=") {
        return "[authorization URL]".to_owned();
    }
    match text.strip_prefix("http://localhost:") {
        Some(rest) => format!("http://localhost:[port]{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => text.to_owned(),
    }
}

#[tokio::test]
async fn what_the_sdk_and_backends_see() {
    let app = TestApp::start().await;
    let stranger = app.browser();
    let begun = begin(&app, &stranger, "sign_ins", "oauth_google").await.expect(200).json();
    insta::assert_json_snapshot!("sign_in_begun", masked(begun["response"].clone()));
    go(&app, &stranger, "sign_ins", "oauth_google", "grace@example.com").await;
    let waiting = client(&app, &stranger).await;
    insta::assert_json_snapshot!("sign_in_transferable", masked(waiting["sign_in"].clone()));
    let nameless = app.browser();
    go(&app, &nameless, "sign_ups", "oauth_notion", "cyd").await;
    insta::assert_json_snapshot!("sign_up_missing", masked(client(&app, &nameless).await["sign_up"].clone()));

    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    insta::assert_json_snapshot!("client_signed_in", masked(client(&app, &browser).await));
    let shown = app.backend_get(&format!("/v1/users/{user}")).await.json();
    insta::assert_json_snapshot!("backend_user", masked(shown));
    let refused = app.backend_get("/v1/users?limit=0&order_by=name").await.json();
    insta::assert_json_snapshot!("refusal", masked(refused));
    let notion = sign_up(&app, &app.browser(), "oauth_notion", "mary@example.com").await;
    let mut tokens = app.backend_get(&format!("/v1/users/{notion}/oauth_access_tokens/notion")).await.json();
    tokens[0]["token"] = "[token]".into();
    insta::assert_json_snapshot!("provider_tokens", masked(tokens));
}
