//! Faults of providers, by the simulated ones' switches: reason, condition, code, text key and label of each, and that
//! a replay knows that only a new attempt can tell.

use serde_json::json;

use super::{Replayed, Reported, reasons, reference, replayed};
use crate::support::TestApp;
use crate::support::person::{approve_failing, begin, client, provider_url};

/// Provoked by, what must be shown, the app's code.
type Row = (&'static str, Reported, &'static str);

const EXCHANGE: &str = "oauth_token_exchange_error";
const USER: &str = "oauth_fetch_user_error";
const SET_UP: &str = "misconfigured_oauth_provider";

async fn provoke(rows: &[Row], expected: Replayed) {
    // Connections that fail several times in a row are not tried any more, so each few have a server of their own.
    for rows in rows.chunks(4) {
        let app = TestApp::start().await;
        let program = app.program();
        for (fault, reported, code) in rows.iter().copied() {
            let browser = app.browser();
            let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
            let callback = approve_failing(&browser, provider_url(&begun), "ada@example.com", fault).await;
            browser.get(callback).await.expect(303);
            let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
            assert_eq!(
                (&verification["status"], &verification["error"]["code"]),
                (&json!("failed"), &json!(code)),
                "{fault}"
            );
            assert_eq!(verification["error"]["meta"]["reason"], reported.reason, "{fault}");
            let flow = app.reported(&program, &reference(&begun), &reported).await;
            assert_eq!(flow["provider"], "google");
            replayed(&program, &reference(&begun), expected);
        }
    }
}

#[tokio::test]
async fn the_provider_is_down() {
    let rows = [
        ("error:server_error", reasons::PROVIDER_5XX, EXCHANGE),
        ("http_500", reasons::PROVIDER_5XX, EXCHANGE),
        ("rate_limited", reasons::PROVIDER_RATE_LIMITED, EXCHANGE),
        ("cut", reasons::PROVIDER_UNREACHABLE_CUT, EXCHANGE),
        ("slow:60000", reasons::PROVIDER_TIMEOUT, EXCHANGE),
    ];
    provoke(&rows, Replayed::Unknown).await;
}

#[tokio::test]
async fn the_provider_does_not_know_us() {
    let rows = [
        ("error:invalid_scope", reasons::SCOPE_REFUSED, SET_UP),
        ("error:invalid_client@token", reasons::TOKEN_INVALID_CLIENT, SET_UP),
        ("error:redirect_uri_mismatch@token", reasons::CALLBACK_UNREGISTERED, "redirect_uri_mismatch"),
        ("error:invalid_request@token", reasons::PROVIDER_REFUSED, EXCHANGE),
        ("redirect@token", reasons::ENDPOINT_REFUSED_REDIRECTED, EXCHANGE),
    ];
    provoke(&rows, Replayed::Unknown).await;
}

#[tokio::test]
async fn the_answer_is_of_no_use() {
    let rows = [
        ("not_json", reasons::PROVIDER_UNREADABLE_HTML, EXCHANGE),
        ("truncated_body", reasons::PROVIDER_UNREADABLE_JSON, EXCHANGE),
        ("no_content_type", reasons::PROVIDER_UNREADABLE_TYPE, EXCHANGE),
        ("huge", reasons::PROVIDER_UNREADABLE_SIZE, EXCHANGE),
        ("gzip_bomb", reasons::PROVIDER_UNREADABLE_SIZE, EXCHANGE),
        ("wrong_types", reasons::PROVIDER_WRONG_TYPE_ACCESS_TOKEN, EXCHANGE),
        ("no_id", reasons::IDENTITY_UNUSABLE_ABSENT, USER),
        ("bad_signature", reasons::IDTOKEN_REFUSED_SIGNATURE, USER),
        ("wrong_nonce", reasons::IDTOKEN_REFUSED_NONCE, USER),
        ("wrong_audience", reasons::IDTOKEN_REFUSED_AUDIENCE, USER),
        ("issuer_mismatch", reasons::ISSUER_MISMATCH_TOKEN, USER),
        ("clock:300", reasons::CLOCK_SKEW, USER),
    ];
    provoke(&rows, Replayed::Unknown).await;
}

#[tokio::test]
async fn a_new_attempt_may_work_as_things_are() {
    let rows = [
        ("deny", reasons::PROVIDER_DENIED, "oauth_access_denied"),
        ("error:invalid_grant@token", reasons::TOKEN_INVALID_GRANT, EXCHANGE),
    ];
    provoke(&rows, Replayed::Gone).await;
}
