//! Faults of providers, by the simulated ones' switches: reason, condition, code, text key and label of each, and that
//! a replay knows that only a new attempt can tell.

use serde_json::json;

use super::{Replayed, Told, reference, replayed};
use crate::support::TestApp;
use crate::support::person::{approve_failing, begin, client, provider_url};

/// Provoked by, reason, condition, the app's code, text key, label.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const EXCHANGE: &str = "oauth_token_exchange_error";
const USER: &str = "oauth_fetch_user_error";
const SET_UP: &str = "misconfigured_oauth_provider";

async fn provoke(rows: &[Row], expected: Replayed) {
    // Connections that fail several times in a row are not tried any more, so each few have a server of their own.
    for rows in rows.chunks(4) {
        let app = TestApp::start().await;
        let program = app.program();
        for (fault, reason, detail, code, text_key, label) in rows.iter().copied() {
            let browser = app.browser();
            let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
            let callback = approve_failing(&browser, provider_url(&begun), "ada@example.com", fault).await;
            browser.get(callback).await.expect(303);
            let proof = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
            assert_eq!((&proof["status"], &proof["error"]["code"]), (&json!("failed"), &json!(code)), "{fault}");
            assert_eq!(proof["error"]["meta"]["reason"], reason, "{fault}");
            let told = Told { reason, detail, text_key, label, status: "failed" };
            let flow = app.told(&program, &reference(&begun), &told).await;
            assert_eq!(flow["provider"], "google");
            replayed(&program, &reference(&begun), expected);
        }
    }
}

#[tokio::test]
async fn the_provider_is_down() {
    let rows = [
        ("error:server_error", "provider_5xx", "", EXCHANGE, "not_answering", "provider_down"),
        ("http_500", "provider_5xx", "", EXCHANGE, "not_answering", "provider_down"),
        ("rate_limited", "provider_rate_limited", "", EXCHANGE, "not_answering", "provider_down"),
        ("cut", "provider_unreachable", "cut", EXCHANGE, "not_answering", "provider_down"),
        ("slow:60000", "provider_timeout", "", EXCHANGE, "not_answering", "provider_down"),
    ];
    provoke(&rows, Replayed::Unknown).await;
}

#[tokio::test]
async fn the_provider_does_not_know_us() {
    let rows = [
        ("error:invalid_scope", "scope_refused", "", SET_UP, "not_set_up", "provider_config"),
        ("error:invalid_client@token", "token_invalid_client", "", SET_UP, "not_set_up", "provider_config"),
        (
            "error:redirect_uri_mismatch@token",
            "callback_unregistered",
            "",
            "redirect_uri_mismatch",
            "not_set_up",
            "provider_config",
        ),
        ("error:invalid_request@token", "provider_refused", "", EXCHANGE, "not_set_up", "provider_config"),
        ("redirect@token", "endpoint_refused", "redirected", EXCHANGE, "not_set_up", "provider_config"),
    ];
    provoke(&rows, Replayed::Unknown).await;
}

#[tokio::test]
async fn the_answer_is_of_no_use() {
    let rows = [
        ("not_json", "provider_unreadable", "html", EXCHANGE, "bad_answer", "provider_answer"),
        ("truncated_body", "provider_unreadable", "json", EXCHANGE, "bad_answer", "provider_answer"),
        ("no_content_type", "provider_unreadable", "type", EXCHANGE, "bad_answer", "provider_answer"),
        ("huge", "provider_unreadable", "size", EXCHANGE, "bad_answer", "provider_answer"),
        ("gzip_bomb", "provider_unreadable", "size", EXCHANGE, "bad_answer", "provider_answer"),
        ("wrong_types", "provider_wrong_type", "access_token", EXCHANGE, "bad_answer", "provider_answer"),
        ("no_id", "identity_unusable", "absent", USER, "bad_answer", "provider_answer"),
        ("bad_signature", "idtoken_refused", "signature", USER, "bad_answer", "provider_answer"),
        ("wrong_nonce", "idtoken_refused", "nonce", USER, "bad_answer", "provider_answer"),
        ("wrong_audience", "idtoken_refused", "audience", USER, "bad_answer", "provider_answer"),
        ("issuer_mismatch", "issuer_mismatch", "token", USER, "bad_answer", "provider_answer"),
        ("clock:300", "clock_skew", "", USER, "bad_answer", "provider_answer"),
    ];
    provoke(&rows, Replayed::Unknown).await;
}

#[tokio::test]
async fn a_new_attempt_may_work_as_things_are() {
    let rows = [
        ("deny", "provider_denied", "", "oauth_access_denied", "cancelled", "cancelled"),
        ("error:invalid_grant@token", "token_invalid_grant", "", EXCHANGE, "start_again", "provider_answer"),
    ];
    provoke(&rows, Replayed::Gone).await;
}
