//! Authorizations of OAuth clients: from the request to the code, and why there is none.

use http::Method;
use serde_json::json;

use super::{Replayed, as_page, reasons, reference, replayed, steps};
use crate::support::TestApp;
use crate::support::oauth::{member, parameters};

#[tokio::test]
async fn an_authorization_is_logged_from_the_request_to_the_tokens() {
    let app = TestApp::start().await;
    let program = app.program();
    let client = app.application(json!({})).await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let url = app.authorize_url(&client, &[("login_hint", "ada@example.com"), ("nonce", "n0nce-of-the-client")]);
    let asked = browser.get(&url).await.expect(302);
    let flow = reference(&asked);
    let back = parameters(&asked.location())["redirect_url"].clone();
    app.sign_in(&browser, &ada).await;
    let again = browser.get(&back).await.expect(302);
    assert_eq!(reference(&again), flow, "the way back leads into the same flow");
    let page = browser.get(again.location()).await.expect(200);
    assert_eq!(reference(&page), flow);
    let answer = app.press(&browser, &page, "true").await.expect(302);
    assert_eq!(reference(&answer), flow);
    assert!(!answer.location().as_str().contains(&flow), "the client sees nothing of it: {}", answer.location());
    assert_eq!(app.flow(&flow).await["status"], "open", "the code waits");
    let code = parameters(&answer.location())["code"].clone();
    let redeemed = app.redeem(&client, &code, &[]).await.expect(200);
    assert_eq!(reference(&redeemed), flow);
    let tokens = redeemed.json();
    assert_eq!(reference(&app.refresh(&client, member(&tokens, "refresh_token")).await.expect(200)), flow);

    let shown = app.flow(&flow).await;
    let expected = [
        "started",
        "sign_in_needed",
        "validated",
        "consent_shown",
        "consented",
        "code_issued",
        "code_redeemed",
        "tokens_issued",
        "refreshed",
    ];
    let mut names = steps(&shown);
    // Both passes through the endpoint validate the request.
    names.remove(names.iter().position(|name| *name == "validated").unwrap());
    assert_eq!(names, expected, "{shown:#}");
    assert_eq!((&shown["kind"], &shown["status"]), (&json!("authorize"), &json!("succeeded")));
    assert_eq!((&shown["user_id"], &shown["application_id"]), (&json!(ada.user_id), &json!(client.application)));
    let began = &shown["steps"][0]["detail"];
    assert_eq!((&began["client_id"], &began["redirect_uri"]), (&json!(client.id), &json!("https://client.example")));
    assert_eq!(began["parameters"]["state"], "19 characters");
    assert_eq!(began["parameters"]["login_hint"], "a****@example.com");
    replayed(&program, &flow, Replayed::Unknown);

    let secrets = [
        "state-of-the-client",
        "n0nce-of-the-client",
        "ada@example.com",
        code.as_str(),
        member(&tokens, "access_token"),
        member(&tokens, "refresh_token"),
        client.secret.as_deref().unwrap(),
    ];
    let rows: Vec<String> =
        sqlx::query_scalar("select f::text from flows f union all select s::text from flow_steps s")
            .fetch_all(&app.app().db)
            .await
            .unwrap();
    let page = app.flow_page(&flow).await;
    for secret in secrets {
        assert!(!rows.iter().any(|row| row.contains(secret)) && !page.contains(secret), "{secret}");
    }
    let list = program.run(&["flow", "list", "--app", &client.application, "--json"]).expect(0).json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (1, &json!(flow)));
}

#[tokio::test]
async fn nobody_writes_into_another_s_authorization() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let asked = app.browser().get(app.authorize_url(&client, &[])).await.expect(302);
    let back = url::Url::parse(&parameters(&asked.location())["redirect_url"]).unwrap();
    let carried = parameters(&back)["__vst_flow"].clone();
    let (flow, mac) = carried.split_once('.').unwrap();
    assert_eq!(flow, reference(&asked));
    let invented = format!("flw_2O4BCh3zUONvWlZHtBXv6s6tm7u.{mac}");
    for forged in [flow, invented.as_str(), &format!("{flow}."), &format!("{flow}.{}", "A".repeat(43)), "."] {
        let other = app.browser().get(app.authorize_url(&client, &[("__vst_flow", forged)])).await.expect(302);
        assert!(reference(&other) != flow && !forged.starts_with(&reference(&other)), "{forged}");
    }
    assert_eq!(steps(&app.flow(flow).await), ["started", "validated", "sign_in_needed"]);
}

/// Whoever asks for the page of an unknown client as often as allowed fills no table, and no row is as long as they
/// like.
#[tokio::test]
async fn strangers_write_no_flow_steps() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let odd: Vec<(String, String)> =
        (0..40).map(|number| (format!("{number}{}", "x".repeat(200)), "1".into())).collect();
    let odd: Vec<(&str, &str)> = odd.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let begun = browser.get(app.authorize_url(&client, &odd)).await.expect(302);
    let began = app.flow(&reference(&begun)).await["steps"][0]["detail"].clone();
    assert_eq!(began["other_parameters"], 40);
    assert!(began.to_string().len() < 1000, "{began}");
    for _ in 0..20 {
        browser.get(app.authorize_url(&client, &[("client_id", "unknown")])).await.expect(401);
    }
    app.flow(&reference(&begun)).await;
    assert_eq!(app.count("select count(*) from flows where instance_id = $1 and $2 = ''", "").await, 10);
}

/// A request that is as long as one may be comes back from signing in as it went.
#[tokio::test]
async fn the_longest_request_survives_the_sign_in() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let plain = app.authorize_url(&client, &[]);
    let more: Vec<String> = (plain.query_pairs().count()..100).map(|number| format!("n{number}")).collect();
    let more: Vec<(&str, &str)> = more.iter().map(|name| (name.as_str(), "1")).collect();
    let asked = browser.get(app.authorize_url(&client, &more)).await.expect(302);
    let back = parameters(&asked.location())["redirect_url"].clone();
    app.sign_in(&browser, &ada).await;
    browser.get(browser.get(&back).await.expect(302).location()).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_sent_back_is_reported_on_a_page_with_its_reference() {
    let app = TestApp::start().await;
    let program = app.program();
    let client = app.application(json!({})).await;
    let (unknown, mismatch) = (reasons::CLIENT_UNKNOWN, reasons::CLIENT_REDIRECT_MISMATCH);
    let invalid = reasons::CLIENT_REQUEST_INVALID_INVALID_REQUEST;
    let malformed = format!("{}&x=%zz", app.authorize_url(&client, &[]));
    let rows = [
        (app.authorize_url(&client, &[("client_id", "unknown")]).to_string(), 401, unknown, Replayed::Stands),
        (
            app.authorize_url(&client, &[("redirect_uri", "https://evil.test/cb")]).to_string(),
            400,
            mismatch,
            Replayed::Stands,
        ),
        (app.authorize_url(&client, &[("client_id", "")]).to_string(), 400, invalid, Replayed::Stands),
        (malformed, 400, invalid, Replayed::Stands),
    ];
    for (url, status, reported, replay) in rows {
        let page = as_page(&app.browser(), &url).await.expect(status);
        let flow = reference(&page);
        assert!(page.text.contains(&format!("<code id=\"reference\">{flow}</code>")), "{}", page.text);
        assert!(page.text.contains("data-page=\"error\" data-state=\"client_request\""), "{}", page.text);
        assert!(page.text.contains(reported.reason), "a developer sees the reason: {}", page.text);
        let shown = app.reported(&program, &flow, &reported).await;
        assert_eq!((&shown["kind"], steps(&shown)), (&json!("authorize"), vec!["started", "refused"]));
        replayed(&program, &flow, replay);
    }
    // Registered meanwhile, and the cause is gone or only a new attempt can tell.
    let url = app.authorize_url(&client, &[("redirect_uri", "https://late.example/cb")]);
    let refused = app.browser().get(url).await.expect(400);
    app.reported(&program, &reference(&refused), &reasons::CLIENT_REDIRECT_MISMATCH).await;
    replayed(&program, &reference(&refused), Replayed::Stands);
    let list = "update oauth_applications set redirect_uris = redirect_uris || $2::text where instance_id = $1";
    app.execute(list, "https://late.example/cb").await;
    replayed(&program, &reference(&refused), Replayed::Unknown);
}

#[tokio::test]
async fn what_the_client_is_reported_stands_in_the_flow_as_well() {
    let app = TestApp::start().await;
    let program = app.program();
    let client = app.application(json!({})).await;
    let public = app.application(json!({ "public": true })).await;
    let rows = [
        (&public, ("prompt", ""), "invalid_request", reasons::CLIENT_REQUEST_INVALID_INVALID_REQUEST),
        (
            &client,
            ("response_type", "token"),
            "unsupported_response_type",
            reasons::CLIENT_REQUEST_INVALID_UNSUPPORTED_RESPONSE_TYPE,
        ),
        (&client, ("request", "ey"), "request_not_supported", reasons::CLIENT_REQUEST_INVALID_REQUEST_NOT_SUPPORTED),
        (
            &client,
            ("request_uri", "https://a.example"),
            "request_uri_not_supported",
            reasons::CLIENT_REQUEST_INVALID_REQUEST_URI_NOT_SUPPORTED,
        ),
        (&client, ("scope", "openid private_metadata"), "invalid_scope", reasons::CLIENT_REQUEST_INVALID_INVALID_SCOPE),
        (&client, ("resource", "api"), "invalid_target", reasons::CLIENT_REQUEST_INVALID_INVALID_TARGET),
        (&client, ("prompt", "none"), "login_required", reasons::INTERACTION_NEEDED),
    ];
    for (client, change, error, reported) in rows {
        let answer = app.browser().get(app.authorize_url(client, &[change])).await.expect(302);
        assert_eq!(parameters(&answer.location())["error"], error);
        let flow = app.reported(&program, &reference(&answer), &reported).await;
        let last = flow["steps"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["detail"]["error"], error, "{last}");
        assert!(last["detail"]["error_description"].as_str().unwrap().len() > 10, "{last}");
        let replay = match reported.reason {
            "interaction_needed" => Replayed::Gone,
            _ if error == "invalid_scope" => Replayed::Unknown,
            _ => Replayed::Stands,
        };
        replayed(&program, &reference(&answer), replay);
    }
}

#[tokio::test]
async fn the_person_says_no() {
    let app = TestApp::start().await;
    let program = app.program();
    let client = app.application(json!({})).await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    app.sign_in(&browser, &ada).await;
    let asked = browser.get(app.authorize_url(&client, &[])).await.expect(302);
    let page = browser.get(asked.location()).await.expect(200);
    let denied = app.press(&browser, &page, "false").await.expect(302);
    assert_eq!(parameters(&denied.location())["error"], "access_denied");
    assert_eq!(reference(&denied), reference(&asked));
    let flow = app.reported(&program, &reference(&denied), &reasons::CONSENT_DENIED).await;
    assert_eq!(steps(&flow), ["started", "validated", "consent_shown", "denied"]);
    replayed(&program, &reference(&denied), Replayed::Gone);
}

/// A form that comes from nowhere is no answer, and no flow.
#[tokio::test]
async fn a_forged_answer_begins_no_flow() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let request = browser.raw(Method::POST, &app.url("/oauth-consent")).header("origin", "https://evil.example");
    let refused = browser.send(request.form(&[("consented", "true")])).await.expect(403);
    assert!(refused.header("x-vestibule-flow").is_none(), "{refused:?}");
    let list = browser.get(app.url("/_dev/flows.json")).await.expect(200).json();
    assert_eq!(list["flows"], json!([]), "{list}");
}
