//! Headers, error pages, hosts: what holds for every page.

use super::portal::signed_in;
use super::visitor::{between, open, state};
use crate::support::Answer;
use crate::support::TestApp;
use http::Method;
use vestibule::actions::instance::{self, NewInstance};
use vestibule::store::audit::Actor;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; form-action 'self'TARGETS; frame-ancestors 'none'; base-uri 'none'; \
     require-trusted-types-for 'script'";

/// The headers that every page has, and those that no page has.
#[track_caller]
fn check(page: &Answer, targets: &str) {
    let expected = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", &POLICY.replace("TARGETS", targets)),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        (
            "permissions-policy",
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), publickey-credentials-get=(self), \
             publickey-credentials-create=(self)",
        ),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("vary", "Cookie, Accept-Language"),
    ];
    for (name, value) in expected {
        assert_eq!(page.header(name), Some(value), "{name} of {}", page.url);
    }
    for name in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert_eq!(page.header(name), None, "{name} of {}", page.url);
    }
}

#[tokio::test]
async fn every_page_has_its_headers() {
    let app = TestApp::start().await;
    let (browser, own) = (app.browser(), format!(" {}", app.origin()));
    for (path, status, targets) in [
        ("/sign-in", 200, own.as_str()),
        ("/sign-up", 200, &own),
        ("/_dev", 200, &own),
        ("/no/such/page", 404, ""),
        ("/user/sign-out", 405, ""),
        ("/v1/oauth_callback", 400, ""),
    ] {
        let page = open(&browser, app.url(path)).await.expect(status);
        check(&page, targets);
        assert_eq!(page.header("x-robots-tag"), Some("noindex, nofollow"), "{path}");
        assert_eq!(page.header("cross-origin-opener-policy"), None, "{path} may lie inside a popup");
    }
    let profile = open(&signed_in(&app).await, app.url("/user")).await.expect(200);
    check(&profile, "");
    assert_eq!(profile.header("cross-origin-opener-policy"), Some("same-origin"));
}

#[tokio::test]
async fn a_production_instance_has_no_development_pages() {
    let app = TestApp::start().await;
    let new = NewInstance::production("live", "https://id.example.com").unwrap();
    instance::create(app.app(), &new, Actor::System).await.unwrap();
    let browser = app.browser();
    let at = |host: &str, path: &str| {
        let request = browser.raw(Method::GET, &app.url(path)).header("accept", "text/html");
        browser.send(request.header("host", host))
    };
    let page = at("id.example.com", "/sign-in").await.expect(200);
    check(&page, " https://id.example.com");
    assert_eq!(page.header("x-robots-tag"), None, "the start page may be found");
    assert_eq!(page.header("strict-transport-security"), Some("max-age=63072000; includeSubDomains"));
    assert_eq!(state(&page).1, "no-methods");
    assert!(!page.text.contains("Development"));
    for path in ["/_dev", "/_dev/providers/google/authorize"] {
        let missing = at("id.example.com", path).await;
        assert_eq!(missing.status, 404, "{path}");
        let details = missing.text.contains("<details");
        assert!(!details, "details are for developers");
    }
    let unknown = at("elsewhere.example.com", "/sign-in").await.expect(404);
    check(&unknown, "");
    assert_eq!(state(&unknown), ("error".to_owned(), "not-found".to_owned()));
    let forged = browser.raw(Method::GET, &app.url("/_dev")).header("accept", "text/html");
    let forged = forged.header("host", "id.example.com").header("x-forwarded-host", "localhost");
    browser.send(forged.header("forwarded", "host=localhost")).await.expect(404);
}

#[tokio::test]
async fn another_loopback_name_leads_to_the_configured_one() {
    let app = TestApp::start().await;
    let port = app.ports()[0];
    let moved = open(&app.browser(), format!("http://127.0.0.1:{port}/sign-in?redirect_url=/user%3Fa")).await;
    assert!(moved.status.is_redirection());
    assert_eq!(moved.location().as_str(), app.url("/sign-in?redirect_url=/user%3Fa"));
}

#[tokio::test]
async fn programs_get_json_and_people_get_pages() {
    let app = TestApp::start().await;
    let browser = app.browser();
    for (method, path, status, code, shown) in [
        (Method::GET, "/no/such/page", 404, "resource_not_found", "not-found"),
        (Method::DELETE, "/sign-in", 405, "vestibule_method_not_allowed", "method"),
        (Method::POST, "/user/sign-out", 403, "vestibule_form_invalid", "form-invalid"),
    ] {
        let reported = browser.send(browser.request(method.clone(), &app.url(path))).await.expect(status);
        assert_eq!(reported.error_code(), code);
        assert!(reported.json()["clerk_trace_id"].as_str().unwrap().starts_with("req_"));
        let request = browser.request(method, &app.url(path)).header("accept", "text/html,*/*;q=0.8");
        let page = browser.send(request).await.expect(status);
        assert_eq!(state(&page), ("error".to_owned(), shown.to_owned()));
        assert!(between(&page.text, "id=\"reference\">", "<").starts_with("req_"));
        let allowed = (status == 405).then_some("GET, POST, HEAD");
        assert_eq!(page.header("allow").map(sorted), allowed.map(sorted));
    }
}

fn sorted(list: &str) -> Vec<&str> {
    let mut names: Vec<&str> = list.split(", ").collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn assets_are_cached_for_ever_and_old_ones_are_not_there() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-in")).await.expect(200);
    let style = between(&page.text, "rel=\"stylesheet\" href=\"", "\"");
    let script = between(&page.text, "type=\"module\" src=\"", "\"");
    for (path, kind) in [(style, "text/css; charset=utf-8"), (script, "text/javascript; charset=utf-8")] {
        // Also under a host that belongs to nobody: error pages there look like the others.
        let request = browser.raw(Method::GET, &app.url(path)).header("host", "elsewhere.example.com");
        let asset = browser.send(request).await.expect(200);
        assert_eq!(asset.header("content-type"), Some(kind));
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
    }
    for path in ["/assets/style.0000000000000000.css", "/assets/style.css", "/assets/..%2fstyle.css"] {
        let missing = browser.get(app.url(path)).await.expect(404);
        assert_eq!(missing.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[tokio::test]
async fn the_start_page_stays_within_its_budget() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-in")).await.expect(200);
    let names = [("rel=\"stylesheet\" href=\"", "\""), ("type=\"module\" src=\"", "\"")];
    let mut bytes = page.text.len();
    assert!(bytes <= 8 * 1024, "{bytes}");
    for (before, after) in names {
        bytes += browser.get(app.url(between(&page.text, before, after))).await.expect(200).text.len();
    }
    assert!(bytes <= 40 * 1024, "{bytes}");
    assert!(!page.text.contains("//"), "nothing is asked of anybody else: {}", page.text);
}
