//! Where simulated providers are reachable, and whose codes and tokens they know.

use super::world::World;
use crate::support::TestApp;
use http::Method;
use secrecy::ExposeSecret;
use vestibule::actions::instance::{self, NewInstance};
use vestibule::store::audit::Actor;

const PATHS: [&str; 3] =
    ["/_dev/providers/google/authorize", "/_dev/providers/google/oauth2/v3/certs", "/_dev/providers/notion/page.css"];

#[tokio::test]
async fn a_production_instance_has_none() {
    let app = TestApp::start().await;
    let new = NewInstance::production("shop", "https://clerk.shop.example").unwrap();
    instance::create(app.app(), &new, Actor::System).await.unwrap();
    let browser = app.browser();
    for path in PATHS {
        browser.send(browser.raw(Method::GET, &app.url(path)).header("host", "clerk.shop.example")).await.expect(404);
        for forged in ["x-forwarded-host", "forwarded", "x-original-host"] {
            let request = browser.raw(Method::GET, &app.url(path)).header("host", "clerk.shop.example");
            browser.send(request.header(forged, app.origin().replace("http://", ""))).await.expect(404);
        }
    }
}

#[tokio::test]
async fn a_server_without_development_pages_has_none() {
    let app = TestApp::with(1, |config| config.dev.pages = false).await;
    for path in PATHS {
        let answer = app.browser().get(app.url(path)).await.expect(404);
        assert_eq!(answer.error_code(), "resource_not_found");
    }
}

#[tokio::test]
async fn tokens_are_their_instance_s() {
    let world = World::start().await;
    let port = world.app.ports()[0];
    let new = NewInstance::on_own_loopback_name("other", port).unwrap();
    instance::create(world.app.app(), &new, Actor::System).await.unwrap();
    let tokens = world.sign_in("notion", "ada").await.0;
    let ask = async |host: String| {
        let get = world.browser.get(world.url("notion", "v1/users/me")).header("host", host);
        let get = get.bearer_auth(tokens.access_token.expose_secret()).header("Notion-Version", "2022-06-28");
        get.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(format!("localhost:{port}")).await, 200);
    assert_eq!(ask(format!("other.localhost:{port}")).await, 401);
}

#[tokio::test]
async fn answers_have_the_security_headers_and_no_cors() {
    let world = World::start().await;
    let get = world.browser.get(world.url("google", "oauth2/v3/certs")).header("origin", "https://evil.example");
    let answer = get.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}
