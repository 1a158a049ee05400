//! The page that ends a sign-in in a popup: what it tells the window that opened it, and to whom.

use url::Url;
use url::form_urlencoded::byte_serialize;

use super::redirects::HOSTILE;
use super::visitor::{between, open, state};
use crate::support::person::{APP, approve, provider_url};
use crate::support::{Answer, Browser, TestApp};

const RETURN: &str = "http://localhost:3000/sso-callback?sign_in_force_redirect_url=http%3A%2F%2Flocalhost%3A3000%2Fa";

/// Begins on a page of the app as the browser SDK does for a popup, and approves; where the popup ends.
async fn end_of(app: &TestApp, browser: &Browser, kind: &str, person: &str) -> Url {
    let page = app.url("/popup-callback");
    let incomplete = format!("{page}?return_url={}", byte_serialize(RETURN.as_bytes()).collect::<String>());
    let form = [
        ("strategy", "oauth_google"),
        ("redirect_url", incomplete.as_str()),
        ("action_complete_redirect_url", page.as_str()),
    ];
    let begun = browser.post_form(app.url(&format!("/v1/client/{kind}")), APP, &form).await.expect(200);
    let callback = approve(browser, provider_url(&begun), person).await;
    let back = browser.get(callback).await.expect(303);
    assert_eq!(back.header("cross-origin-opener-policy"), None, "a redirect may cut the opener, too");
    back.location()
}

/// What the page tells: member, value, and the origin that may read it.
fn reported(page: &Answer) -> (&str, &str, &str) {
    assert_eq!(state(page), ("popup.callback".to_owned(), "no-opener".to_owned()));
    assert_eq!(page.header("cross-origin-opener-policy"), None);
    assert!(page.text.contains("<script type=\"module\" src=\"/assets/popup."));
    let of = |name: &str| between(&page.text, &format!("data-{name}=\""), "\"");
    (of("key"), of("value"), of("origin"))
}

#[tokio::test]
async fn the_page_that_began_is_reported_the_session_and_no_other() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let back = end_of(&app, &browser, "sign_ups", "ada@example.com").await;
    let client = crate::support::person::client(&app, &browser).await;
    let session = client["sessions"][0]["id"].as_str().unwrap();
    assert_eq!(back.as_str(), app.url(&format!("/popup-callback?__clerk_created_session={session}")));
    // The page sees no cookie on the other host: without one it says the same.
    for visitor in [&browser, &app.browser()] {
        let page = open(visitor, &back).await.expect(200);
        assert_eq!(reported(&page), ("session", session, APP));
    }
    // Ten minutes later the address is worth nothing.
    app.advance(std::time::Duration::from_secs(601)).await;
    let late = open(&browser, &back).await.expect(400);
    assert_eq!(state(&late), ("popup.callback".to_owned(), "refused".to_owned()));
    assert!(!late.text.contains("data-origin") && !late.text.contains("/assets/popup."), "there is nothing to tell");
}

#[tokio::test]
async fn what_is_not_finished_goes_on_in_the_app() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let back = end_of(&app, &browser, "sign_ins", "ada@example.com").await;
    let page = open(&browser, &back).await.expect(200);
    let escaped = RETURN.replace('&', "&#38;");
    assert_eq!(reported(&page), ("return_url", escaped.as_str(), APP));
    let client = crate::support::person::client(&app, &browser).await;
    assert_eq!(client["sign_in"]["first_factor_verification"]["status"], "transferable");
}

#[tokio::test]
async fn nothing_is_reported_to_a_place_that_is_not_the_instances_own() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let mut queries = vec![String::new(), "__clerk_created_session=sess_made-up".to_owned()];
    queries.push(format!("__clerk_created_session=sess_{}", "0".repeat(27)));
    for target in HOSTILE.iter().filter(|target| target.contains("evil.example")).chain(&["/relative", "my-app://cb"]) {
        queries.push(format!("return_url={}", byte_serialize(target.as_bytes()).collect::<String>()));
    }
    queries.push(format!("return_url=http://localhost:3000/{}", "a".repeat(8_200)));
    for query in queries {
        let page = open(&browser, app.url(&format!("/popup-callback?{query}"))).await.expect(400);
        assert_eq!(state(&page).1, "refused", "{query}");
        assert!(!page.text.contains("evil") && !page.text.contains("data-origin"), "{query}");
    }
    // An app's addresses, encoded three times, are longer than a plain target may be.
    let long = format!("http://localhost:3000/{}", "a".repeat(4_000));
    let page = open(&browser, app.url(&format!("/popup-callback?return_url={long}"))).await.expect(200);
    assert_eq!(reported(&page), ("return_url", long.as_str(), APP));
}

/// Under the `accounts.` sibling there is this page; every other one is at home under the configured name.
#[tokio::test]
async fn the_sibling_answers_here_and_sends_everybody_else_home() {
    use vestibule::actions::instance::{self, NewInstance};
    use vestibule::store::audit::Actor;
    let app = TestApp::start().await;
    let new = NewInstance::production("shop", "https://clerk.shop.example").unwrap();
    instance::create(app.app(), &new, Actor::System).await.unwrap();
    let get = async |host: &str, path: &str| {
        let request = app.browser().raw(http::Method::GET, &app.url(path));
        crate::support::browser::send(request.header("host", host).header("accept", "text/html")).await
    };
    for path in ["/sign-in?redirect_url=%2Fuser", "/user"] {
        let sent = get("accounts.shop.example", path).await.expect(302);
        assert_eq!(sent.location().as_str(), format!("https://clerk.shop.example{path}"));
    }
    for host in ["accounts.shop.example", "clerk.shop.example"] {
        let own = "https%3A%2F%2Fclerk.shop.example%2Fuser";
        let page = get(host, &format!("/popup-callback?return_url={own}")).await.expect(200);
        assert_eq!(reported(&page), ("return_url", "https://clerk.shop.example/user", "https://clerk.shop.example"));
    }
    assert_eq!(state(&get("accounts.other.example", "/popup-callback").await.expect(404)).0, "error");
}
