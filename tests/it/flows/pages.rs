//! The page of a failed flow: its sentence for everybody, and the cause for developers only.

use http::Method;
use vestibule::actions::instance::{self, NewInstance};
use vestibule::store::audit::Actor;

use super::{as_page, reference};
use crate::support::TestApp;
use crate::support::browser::{Answer, Browser, send};
use crate::support::person::{APP, approve, approve_failing, provider_url};

/// Fails at the provider with `fault` and comes back to the portal's callback page.
async fn failed(app: &TestApp, browser: &Browser, person: &str, fault: Option<&str>) -> Answer {
    let back = app.url("/sign-in/sso-callback");
    let form = [("strategy", "oauth_google"), ("redirect_url", back.as_str())];
    let begun = browser.post_form(app.url("/v1/client/sign_ups"), APP, &form).await.expect(200);
    let url = provider_url(&begun);
    let callback = match fault {
        Some(fault) => approve_failing(browser, url, person, fault).await,
        None => approve(browser, url, person).await,
    };
    let arrived = browser.get(callback).await.expect(303);
    let page = as_page(browser, arrived.location().as_str()).await.expect(200);
    assert!(page.text.contains("data-page=\"provider.error\""), "{}", page.text);
    assert!(page.text.contains(&format!("<code id=\"reference\">{}</code>", reference(&begun))), "{}", page.text);
    page
}

/// What stands behind `details`; empty without.
fn details(page: &Answer) -> &str {
    let behind = page.text.split_once("<details>").and_then(|(_, rest)| rest.split_once("</details>"));
    behind.map_or("", |(behind, _)| behind)
}

#[tokio::test]
async fn on_development_instances_the_cause_and_the_fix_stand_behind_details() {
    let app = TestApp::start().await;
    let page = failed(&app, &app.browser(), "ada@example.com", Some("error:redirect_uri_mismatch@token")).await;
    let reported = details(&page);
    let address = app.url("/v1/oauth_callback");
    for words in ["callback_unregistered", "redirect_uri_mismatch", &format!("Register exactly {address}")] {
        assert!(reported.contains(words), "{words}: {}", page.text);
    }
    let page = failed(&app, &app.browser(), "ada@example.com", Some("truncated_body")).await;
    assert!(details(&page).contains("provider_unreadable (json)"), "{}", page.text);

    let strange = as_page(&app.browser(), &app.url("/v1/oauth_callback?code=x&state=c4n4ry")).await.expect(400);
    assert!(details(&strange).contains("state_missing"), "{}", strange.text);
    assert!(details(&strange).contains("opened directly or from a bookmark"), "{}", strange.text);
    assert!(!strange.text.contains("c4n4ry"));
}

/// A page that could help guessing says nothing but its sentence, on any instance.
#[tokio::test]
async fn a_refused_page_shows_no_cause() {
    let app = TestApp::start().await;
    app.execute(
        "update instances set settings = settings || $2::jsonb where id = $1",
        r#"{"sign_up": {"mode": "restricted"}}"#,
    )
    .await;
    app.app().forget_directory();
    let page = failed(&app, &app.browser(), "ada@example.com", None).await;
    assert!(page.text.contains("data-state=\"closed\""), "{}", page.text);
    assert_eq!(details(&page), "");
    assert!(!page.text.contains("signup_closed") && !page.text.contains("restricted"), "{}", page.text);
}

#[tokio::test]
async fn on_production_instances_nothing_but_the_sentence_is_reported() {
    let app = TestApp::start().await;
    let new = NewInstance::production("shop", "https://clerk.shop.example").unwrap();
    instance::create(app.app(), &new, Actor::System).await.unwrap();
    for query in ["?code=x&state=c4n4ry", "?error=access_denied&error_description=c4n4ry", ""] {
        let request = app.browser().raw(Method::GET, &app.url(&format!("/v1/oauth_callback{query}")));
        let page = send(request.header("host", "clerk.shop.example").header("accept", "text/html")).await.expect(400);
        assert!(page.text.contains("data-state=\"start_again\""), "{}", page.text);
        assert!(page.text.contains("<code id=\"reference\">flw_"), "{}", page.text);
        for word in ["<details", "state_missing", "oauth_callback_invalid", "bookmark", "c4n4ry"] {
            assert!(!page.text.contains(word), "{word}: {}", page.text);
        }
    }
}
