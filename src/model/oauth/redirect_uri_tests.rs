//! Rows of oauth-provider 4.1 to 4.3, the hostile lists, and the matcher against a reference of ten lines.

use super::*;
use proptest::prelude::*;

fn production(uri: &str) -> Result<Destination, Unregistrable> {
    check_registrable(uri, PlainHttp::LoopbackOnly)
}

#[test]
fn registers_what_clients_use() {
    for (uri, destination) in [
        ("https://app.example/cb", Destination::Web),
        ("https://app.example", Destination::Web),
        ("https://app.example:8443/cb?tenant=a%20b&x=", Destination::Web),
        ("HTTPS://xn--bcher-kva.example/", Destination::Web),
        ("https://[2001:db8::1]:444/cb", Destination::Web),
        ("http://127.0.0.1/cb", Destination::Loopback),
        ("http://127.8.9.1:3000/cb", Destination::Loopback),
        ("http://[::1]:3000", Destination::Loopback),
        ("http://localhost:3000/oauth_callback", Destination::Loopback),
        ("com.example.app:/cb", Destination::PrivateUse),
        ("myapp://cb", Destination::PrivateUse),
        ("cursor://anysphere.cursor-retrieval/oauth", Destination::PrivateUse),
    ] {
        assert_eq!(production(uri), Ok(destination), "{uri}");
    }
}

#[test]
fn refuses_the_rest() {
    let long = format!("https://app.example/{}", "a".repeat(MAX_LENGTH));
    for (uri, why) in [
        ("", Unregistrable::Length),
        (long.as_str(), Unregistrable::Length),
        ("https://app.example/cb#x", Unregistrable::Fragment),
        ("https://app.example/cb#", Unregistrable::Fragment),
        ("https://app.example/c b", Unregistrable::Characters),
        ("https://app.example/\u{0}", Unregistrable::Characters),
        ("https://app.example\\@evil.test", Unregistrable::Characters),
        ("https://*.app.example/cb", Unregistrable::Characters),
        ("https://bücher.example/", Unregistrable::Characters),
        ("https://app.example/\"><script>", Unregistrable::Characters),
        ("/cb", Unregistrable::NotAbsolute),
        ("//app.example/cb", Unregistrable::NotAbsolute),
        ("app.example/cb", Unregistrable::NotAbsolute),
        ("myapp:", Unregistrable::NotAbsolute),
        ("1app:/cb", Unregistrable::NotAbsolute),
        ("https:app.example/cb", Unregistrable::Authority),
        ("https:/app.example/cb", Unregistrable::Authority),
        ("https:///cb", Unregistrable::Authority),
        ("https://user@app.example/cb", Unregistrable::Authority),
        ("https://user:pw@app.example/cb", Unregistrable::Authority),
        ("https://app.example:99999/cb", Unregistrable::Authority),
        ("https://app.example:80a/cb", Unregistrable::Authority),
        ("https://app.example:+80/cb", Unregistrable::Authority),
        ("https://exa%6dple.com/cb", Unregistrable::Authority),
        ("https://[::1]evil.test/", Unregistrable::Authority),
        ("https://[v1.x]/", Unregistrable::Authority),
        ("http://app.example/cb", Unregistrable::Insecure),
        ("http://127.1/cb", Unregistrable::Insecure),
        ("http://0x7f.0.0.1/cb", Unregistrable::Insecure),
        ("http://127.0.0.1.evil.test/cb", Unregistrable::Insecure),
        ("http://localhost.evil.test/cb", Unregistrable::Insecure),
    ] {
        assert_eq!(production(uri), Err(why), "{uri}");
    }
    assert_eq!(check_registrable("http://app.example/cb", PlainHttp::Anywhere), Ok(Destination::Web));
}

#[test]
fn refuses_schemes_that_run_or_read() {
    for scheme in FORBIDDEN_SCHEMES {
        for uri in [format!("{scheme}:x"), format!("{}://app.example/", scheme.to_uppercase())] {
            assert_eq!(check_registrable(&uri, PlainHttp::Anywhere), Err(Unregistrable::Scheme), "{uri}");
        }
    }
}

#[test]
fn matches_byte_for_byte() {
    let registered = "https://app.example/cb?a=b";
    assert!(matches(registered, registered));
    for presented in [
        "https://app.example/cb",
        "https://app.example/cb?a=b&c=d",
        "https://app.example/cb/?a=b",
        "https://app.example/x/../cb?a=b",
        "https://app.example/c%62?a=b",
        "https://APP.example/cb?a=b",
        "https://app.example:443/cb?a=b",
        "https://app.example/cb?a=b#",
        "https://app.example@evil.test/cb?a=b",
        "https://app.example.evil.test/cb?a=b",
        "http://app.example/cb?a=b",
        " https://app.example/cb?a=b",
        "",
    ] {
        assert!(!matches(registered, presented), "{presented}");
    }
}

#[test]
fn a_loopback_port_is_free() {
    for (registered, presented) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
        ("http://127.0.0.1:3000/cb", "http://127.0.0.1/cb"),
        ("http://[::1]:3000/cb", "http://[::1]:4000/cb"),
        ("http://localhost/cb?x", "http://localhost:1/cb?x"),
        ("http://localhost:3000", "http://localhost:3001"),
        ("http://localhost?x", "http://localhost:3001?x"),
    ] {
        assert!(matches(registered, presented), "{registered} {presented}");
    }
    for (registered, presented) in [
        ("http://127.0.0.1/cb", "http://localhost:51004/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.test/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.test/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:+1/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb/"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/CB"),
        ("http://127.0.0.1", "http://127.0.0.1:51004/"),
        ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb"),
        ("http://127.0.0.2/cb", "http://127.0.0.2:51004/cb"),
        ("https://localhost/cb", "https://localhost:51004/cb"),
        ("http://LOCALHOST/cb", "http://LOCALHOST:51004/cb"),
        ("https://app.example/cb", "https://app.example:444/cb"),
    ] {
        assert!(!matches(registered, presented), "{registered} {presented}");
    }
}

#[test]
fn appends_the_response_and_touches_nothing() {
    let fields = [("code", "a b&c"), ("iss", "https://id.example")];
    let encoded = "code=a+b%26c&iss=https%3A%2F%2Fid.example";
    for (uri, expected) in [
        ("https://a.example/cb", format!("https://a.example/cb?{encoded}")),
        ("https://a.example/cb?", format!("https://a.example/cb?{encoded}")),
        ("https://a.example/cb?x=%7e&", format!("https://a.example/cb?x=%7e&{encoded}")),
        ("https://a.example/../cb?x=%7e", format!("https://a.example/../cb?x=%7e&{encoded}")),
        ("com.example.app:/cb", format!("com.example.app:/cb?{encoded}")),
    ] {
        assert_eq!(with_response(uri, &fields), expected);
    }
}

#[test]
fn names_the_destination_for_policies_and_people() {
    for (uri, policy, domain) in [
        ("https://app.example.co.uk:8443/cb?x", "https://app.example.co.uk:8443", Some("example.co.uk")),
        ("http://localhost:3000/cb", "http://localhost:3000", None),
        ("http://127.0.0.1/cb", "http://127.0.0.1", None),
        ("https://192.0.2.7/cb", "https://192.0.2.7", None),
        ("https://[2001:db8::1]/cb", "https://[2001:db8::1]", None),
        ("com.example.app:/cb", "com.example.app:", None),
    ] {
        assert_eq!(policy_source(uri).as_deref(), Some(policy), "{uri}");
        assert_eq!(registrable_domain(uri).as_deref(), domain, "{uri}");
    }
}

/// The rule of 4.2, said again without any of the code above: equal, or equal once a port was put in or taken out.
fn reference(registered: &str, presented: &str) -> bool {
    let ports = || presented.split(':').chain(registered.split(':')).map(|p| p.split(['/', '?']).next().unwrap());
    let ports: Vec<_> = ports().filter(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok()).collect();
    let forms = |uri: &str| -> Vec<String> {
        let hosts = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
        let Some(host) = hosts.iter().find(|host| uri.starts_with(**host)) else { return vec![] };
        let with_ports = ports.iter().map(|port| format!("{host}:{port}"));
        let heads = with_ports.chain([(*host).to_owned()]);
        let tails =
            heads.filter_map(|head| uri.strip_prefix(&head)).filter(|t| t.is_empty() || t.starts_with(['/', '?']));
        tails.map(|tail| format!("{host}{tail}")).collect()
    };
    registered == presented || forms(registered).iter().any(|form| forms(presented).contains(form))
}

/// URIs built from pieces that make loopback and its imitations likely.
fn uris() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec!["http://", "https://", "http:", "HTTP://", "com.app:/", ""]);
    let host = prop::sample::select(vec![
        "127.0.0.1",
        "localhost",
        "[::1]",
        "127.0.0.2",
        "localhost.evil.test",
        "app.example",
        "u@localhost",
        "",
    ]);
    let port =
        prop::sample::select(vec!["", ":", ":1", ":80", ":65535", ":65536", ":080", ":x", ":+1", ":80@evil.test"]);
    let path =
        prop::sample::select(vec!["", "/", "/cb", "/cb?x=1", "?x", "/cb:81/", "//cb", "/..", "#", "@evil.test/"]);
    (scheme, host, port, path).prop_map(|(scheme, host, port, path)| format!("{scheme}{host}{port}{path}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_matcher_agrees_with_the_reference(registered in uris(), presented in uris()) {
        prop_assert_eq!(matches(&registered, &presented), reference(&registered, &presented));
    }

    #[test]
    fn only_the_port_of_a_loopback_uri_may_change(presented in "\\PC{0,40}") {
        let registered = "http://localhost:3000/cb";
        let same_but_port = presented.strip_prefix("http://localhost")
            .and_then(|rest| rest.strip_suffix("/cb"))
            .is_some_and(|port| port.is_empty() || (port.starts_with(':') && port[1..].parse::<u16>().is_ok() && !port.contains('+')));
        prop_assert_eq!(matches(registered, &presented), same_but_port);
    }

    #[test]
    fn nothing_registrable_leaves_its_authority(uri in "\\PC{0,60}") {
        if let Ok(Destination::Web | Destination::Loopback) = check_registrable(&uri, PlainHttp::Anywhere) {
            let browser = url::Url::parse(&uri).expect("a browser reads it");
            prop_assert!(browser.username().is_empty() && browser.host().is_some());
        }
    }
}
