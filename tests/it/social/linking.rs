//! The decision table of social sign-in and sign-up, through the public API: who ends where, row by row.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::person::{client, go, sign_up, transfer};

/// The provider's proof in the client's present attempt.
fn proof(client: &Value) -> (String, String) {
    let proof = match &client["sign_in"] {
        Value::Null => &client["sign_up"]["verifications"]["external_account"],
        sign_in => &sign_in["first_factor_verification"],
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&proof["status"]), text(&proof["error"]["code"]))
}

#[tokio::test]
async fn row_8_a_claim_waits_for_the_proof_of_the_address() {
    let app = TestApp::start().await;
    let user = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let browser = app.browser();
    go(&app, &browser, "sign_ins", "oauth_notion", "ada@example.com").await.expect(303);
    let found = client(&app, &browser).await;
    assert_eq!(found["sign_in"]["status"], "needs_first_factor");
    assert_eq!(found["sign_in"]["identifier"], "ada@example.com");
    let waiting = ("unverified".to_owned(), "external_account_email_address_verification_required".to_owned());
    assert_eq!(proof(&found), waiting);
    assert_eq!(found["sessions"], json!([]), "an address alone signs nobody in");

    let other = app.browser();
    go(&app, &other, "sign_ups", "oauth_notion", "ada@example.com").await.expect(303);
    let exists = ("transferable".to_owned(), "external_account_exists".to_owned());
    assert_eq!(proof(&client(&app, &other).await), exists);
    let moved = transfer(&app, &other, "sign_ins").await.expect(200).json();
    assert_eq!(moved["response"]["status"], "needs_first_factor");
    assert_eq!(moved["client"]["sessions"], json!([]));
    assert_eq!(transfer(&app, &other, "sign_ins").await.expect(400).error_code(), "account_transfer_invalid");
    let shown = app.backend_get(&format!("/v1/users/{user}")).await.expect(200).json();
    assert_eq!(
        shown["external_accounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|account| { account["verification"]["status"] == "verified" })
            .count(),
        1
    );
    assert_eq!(app.backend_get("/v1/users/count").await.json()["total_count"], 1);
}

#[tokio::test]
async fn row_10_a_claimed_address_is_hostile_until_proven() {
    let app = TestApp::start().await;
    let claimant = app.browser();
    sign_up(&app, &claimant, "oauth_notion", "ada@example.com").await;
    let owner = app.browser();
    go(&app, &owner, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    let found = client(&app, &owner).await;
    assert_eq!(found["sign_in"]["status"], "needs_first_factor");
    assert_eq!(found["sessions"], json!([]));
    let up = app.browser();
    go(&app, &up, "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    assert_eq!(proof(&client(&app, &up).await).0, "transferable");
    assert_eq!(app.backend_get("/v1/users/count").await.json()["total_count"], 1);
}
