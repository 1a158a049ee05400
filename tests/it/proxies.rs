//! Who asks, when a reverse proxy stands between: limits and records go by the client's address, never by what a
//! stranger writes into a header.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use vestibule::config::limits::Rate;

use crate::support::TestApp;
use crate::support::browser::{Browser, Ports};
use crate::support::person::{APP, client};

/// The listed proxy of these tests, and a peer that is not listed.
const PROXY: &str = "127.0.0.2";
const STRANGER: &str = "127.0.0.3";

const HOUR: Duration = Duration::from_secs(3_600);

/// A server behind [`PROXY`] and the network 10.0.0.0/8, where an address may begin two sign-ins and fail three
/// verifications.
async fn start() -> TestApp {
    let app = TestApp::with(2, |config| {
        config.server.proxies.trusted = [PROXY, "10.0.0.0/8"].map(|entry| entry.parse().unwrap()).into();
        config.limits.relaxed = false;
        config.limits.rates = config.limits.rates.times(1_000);
        config.limits.rates.failed_proofs = Rate { count: 3, window: HOUR };
        config.limits.rates.authorize = Rate { count: 2, window: HOUR };
    })
    .await;
    let change = r#"{"enumeration_protection": "strict", "attributes": {"password": {"enabled": true}}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    app
}

/// A browser whose connections come from `peer`.
fn peer(app: &TestApp, peer: &str) -> Browser {
    Browser::from(Ports::new(app.ports()), peer.parse::<IpAddr>().unwrap())
}

/// Tries a wrong password through `peer`, whose header says `chain`; returns the code of the answer.
async fn guess(app: &TestApp, from: &str, chain: &[&str]) -> String {
    let browser = peer(app, from);
    let form = [("strategy", "password"), ("identifier", "ada@example.com"), ("password", "wrong guess")];
    let mut request = browser.request(Method::POST, &app.url("/v1/client/sign_ins")).header("origin", APP).form(&form);
    for line in chain {
        request = request.header("x-forwarded-for", *line);
    }
    browser.send(request).await.error_code()
}

const WRONG: &str = "form_password_incorrect";
const REFUSED: &str = "too_many_requests";

#[tokio::test]
async fn clients_behind_a_listed_proxy_have_limits_of_their_own() {
    let app = start().await;
    for _ in 0..3 {
        assert_eq!(guess(&app, PROXY, &["198.51.100.7"]).await, WRONG);
    }
    assert_eq!(guess(&app, PROXY, &["198.51.100.7"]).await, REFUSED);
    // What it writes itself on the left does not make it somebody else, and its claim about another is ignored.
    assert_eq!(guess(&app, PROXY, &["198.51.100.8, 198.51.100.7"]).await, REFUSED);
    assert_eq!(guess(&app, PROXY, &["198.51.100.8", "198.51.100.7, 10.1.2.3"]).await, REFUSED, "a chain of proxies");
    assert_eq!(guess(&app, PROXY, &["198.51.100.8"]).await, WRONG, "another client is not shut out");
    assert_eq!(guess(&app, PROXY, &[]).await, WRONG, "nor is the proxy itself");
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_client_behind_a_proxy() {
    let app = start().await;
    for chain in ["2001:db8:1:2::1", "[2001:db8:1:2::2]:4711", "2001:db8:1:2:ffff::3, 10.1.2.3"] {
        assert_eq!(guess(&app, PROXY, &[chain]).await, WRONG);
    }
    assert_eq!(guess(&app, PROXY, &["2001:db8:1:2::4"]).await, REFUSED);
    assert_eq!(guess(&app, PROXY, &["2001:db8:1:3::4"]).await, WRONG);
}

#[tokio::test]
async fn the_header_of_a_peer_that_is_not_listed_is_ignored() {
    let app = start().await;
    for client in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        assert_eq!(guess(&app, STRANGER, &[client]).await, WRONG);
    }
    assert_eq!(guess(&app, STRANGER, &["198.51.100.4"]).await, REFUSED);
    // Nobody it named has lost anything.
    assert_eq!(guess(&app, PROXY, &["198.51.100.1"]).await, WRONG);
    // Where an entry is no address, the last good one is the client: the proxy that wrote it.
    for _ in 0..3 {
        assert_eq!(guess(&app, PROXY, &["198.51.100.1, unknown, 10.1.2.3"]).await, WRONG);
    }
    assert_eq!(guess(&app, PROXY, &["10.1.2.3"]).await, REFUSED);
}

/// Limits in memory go by the same address; the addresses that are handed out are made of no header.
#[tokio::test]
async fn limits_in_memory_know_the_client_and_no_address_is_made_of_a_header() {
    let app = start().await;
    let through = async |client: &str| {
        let browser = peer(&app, PROXY);
        let request = browser.request(Method::GET, &app.url("/oauth/authorize?client_id=nobody"));
        browser.send(request.header("x-forwarded-for", client)).await.status.as_u16()
    };
    // Two replicas with a memory each.
    for _ in 0..4 {
        through("198.51.100.7").await;
    }
    assert_eq!(through("198.51.100.7").await, 429);
    assert_ne!(through("198.51.100.8").await, 429);

    let browser = peer(&app, PROXY);
    let poisoned = [
        ("x-forwarded-for", "198.51.100.77"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=6.6.6.6;host=evil.example"),
    ];
    let form = [("strategy", "oauth_google"), ("redirect_url", "/sso-callback")];
    let mut request = browser.request(Method::POST, &app.url("/v1/client/sign_ins")).header("origin", APP).form(&form);
    for (name, value) in poisoned {
        request = request.header(name, value);
    }
    let begun = browser.send(request).await.expect(200);
    assert!(!begun.text.contains("evil.example"), "{}", begun.text);
    assert!(client(&app, &browser).await["sign_in"].is_object());
}
