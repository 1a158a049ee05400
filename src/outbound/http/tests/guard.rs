//! What never gets a connection.

use super::*;

/// Spellings of this machine, of private networks and of cloud metadata services.
const HOSTS: [&str; 62] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.127.127.127",
    "0x7f.1",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.0x1",
    "127。0。0。1",
    "127.0.0.1",
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "127.0.0.%31",
    "0",
    "0.0.0.0",
    "0x0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "loc%61lhost",
    "ⓛocalhost",
    "a.localhost",
    "localhost.localdomain.internal",
    "printer.local",
    "db.internal",
    "metadata.google.internal",
    "nas.home.arpa",
    "intranet",
    "intranet.",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[fec0::1]",
];

/// Whole URLs; `PORT` is the listener's.
const URLS: [&str; 24] = [
    "http://public.example:PORT/",
    "https://public.example:PORT/",
    "https://user@127.0.0.1:PORT/",
    "https://public.example@127.0.0.1:PORT/",
    "https://public.example:443@127.0.0.1:PORT/",
    "https://127.0.0.1:PORT#@public.example/",
    "https://127.0.0.1:PORT?@public.example/",
    "https://127.0.0.1:PORT\\@public.example/",
    "https:\\\\127.0.0.1:PORT\\",
    "https:127.0.0.1:PORT",
    "https:/127.0.0.1:PORT",
    "https:///127.0.0.1:PORT",
    "\thttps://127.0.0.1:PORT",
    "ht\ntps://127.0.0.1:PORT",
    "https://127.0.0.1:0PORT/",
    "https://127.0.0.1:PORT%2f/",
    "ftp://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_GET",
    "file://127.0.0.1/etc/passwd",
    "dict://127.0.0.1:PORT/",
    "javascript:fetch('//127.0.0.1:PORT')",
    "https://[fe80::1%25lo]:PORT/",
    "http://[::1]:PORT/",
];

#[tokio::test]
async fn hostile_urls_get_no_connection() {
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = peer.address.port();
    // Every name leads to this machine: the guard must not depend on the name service's honesty.
    let outbound = Outbound::with_resolver(&config(&[]), Names::new(&[&["127.0.0.1"]])).unwrap();
    let with_port = HOSTS.iter().map(|host| (format!("http://{host}:{port}/"), true));
    let with_https = HOSTS.iter().map(|host| (format!("https://{host}/"), false));
    let whole = URLS.iter().map(|url| (url.replace("PORT", &port.to_string()), true));
    for (url, may_be_port) in with_port.chain(with_https).chain(whole) {
        // Not a URL at all: nothing to send.
        let Ok(parsed) = url.parse::<Url>() else { continue };
        let Failure::Blocked { rule } = failure(outbound.send(Request::get(parsed)).await) else {
            panic!("{url} was not blocked");
        };
        // On https and 443 it is the host or address itself that is refused, not scheme or port.
        assert!(may_be_port || rule == "host" || rule == "address", "{url}: {rule}");
    }
    assert!(HOSTS.len() + URLS.len() >= 80);
    assert_eq!(peer.count(), 0);
}

/// The client without the rules about URLs, so that the resolver alone stands between a name and the listener.
async fn resolved(filter: Filter, allow: &[&str], answers: &[&[&str]]) -> (usize, Vec<Option<Failure>>) {
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let allow = AllowList(allow.iter().map(|entry| entry.parse().unwrap()).collect());
    let allow = Arc::new(ArcSwap::from_pointee(allow));
    let client = client(&[], GuardedResolver { names: Names::new(answers), allow, filter }, None).unwrap();
    let mut outcomes = Vec::new();
    for _ in answers {
        let url: Url = format!("http://idp.example:{}/", peer.address.port()).parse().unwrap();
        let outcome = exchange(&client, Request::get(url), Instant::now()).await;
        outcomes.push(outcome.err());
    }
    (peer.count(), outcomes)
}

#[tokio::test]
async fn one_forbidden_answer_fails_the_whole_lookup() {
    const BLOCKED: Option<Failure> = Some(Failure::Blocked { rule: "address" });
    for answer in [&["127.0.0.1"][..], &["8.8.8.8", "127.0.0.1"], &["127.0.0.1", "8.8.8.8"], &["8.8.8.8", "::1"]] {
        assert_eq!(resolved(Filter::PublicOrListed, &[], &[answer]).await, (0, vec![BLOCKED]), "{answer:?}");
    }
    // The control: the same listener is reached where the filter is off or the network is listed.
    assert_eq!(resolved(Filter::Nothing, &[], &[&["127.0.0.1"]]).await, (1, vec![None]));
    assert_eq!(resolved(Filter::PublicOrListed, &["loopback"], &[&["127.0.0.1"]]).await, (1, vec![None]));
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_caught_at_the_connection() {
    // Good when first asked (as a check beforehand would), this machine when connected to.
    let answers: &[&[&str]] = &[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.1"]];
    let (connections, outcomes) = resolved(Filter::PublicOrListed, &["127.0.0.2"], answers).await;
    let blocked = Some(Failure::Blocked { rule: "address" });
    assert_eq!(outcomes, [Some(Failure::Refused), blocked, blocked]);
    assert_eq!(connections, 0);
}

#[tokio::test]
async fn a_name_without_answer_is_a_dns_failure() {
    for answers in [&[][..], &[&[][..]]] {
        let outbound = Outbound::with_resolver(&config(&[]), Names::new(answers)).unwrap();
        assert_eq!(failure(get(&outbound, "https://idp.example/").await), Failure::Dns);
    }
}

#[tokio::test]
async fn the_list_opens_what_it_names_and_can_be_replaced() {
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    let port = peer.address.port();
    let names = Names::new(&[&["127.0.0.1"]]);
    let listed = format!("idp.corp:{port}");
    let outbound = Outbound::with_resolver(&config(&[&listed]), names).unwrap();
    let url = format!("http://idp.corp:{port}/");
    assert_eq!(get(&outbound, &url).await.unwrap().body, "ok");
    assert_eq!(failure(get(&outbound, peer.url().as_str()).await), Failure::Blocked { rule: "address" });
    outbound.set_allow(vec!["loopback".parse().unwrap()]);
    assert_eq!(failure(get(&outbound, &url).await), Failure::Blocked { rule: "scheme" });
    assert_eq!(get(&outbound, peer.url().as_str()).await.unwrap().body, "ok");
    assert_eq!(get(&outbound, &format!("http://accounts.localhost:{port}/")).await.unwrap().body, "ok");
    assert_eq!(peer.count(), 3);
}

#[tokio::test]
async fn offline_asks_nobody_but_the_listed() {
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let names = Names::new(&[&["127.0.0.1"]]);
    let outbound = Outbound::with_resolver(&OutboundConfig { offline: true, ..config(&["loopback"]) }, names.clone());
    let outbound = outbound.unwrap();
    assert_eq!(failure(get(&outbound, "https://idp.example/").await), Failure::Offline);
    assert_eq!(names.asked.load(Ordering::SeqCst), 0, "not even the name service");
    assert!(get(&outbound, peer.url().as_str()).await.is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let inner = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Not Modified"] {
        let answer = format!("HTTP/1.1 {status}\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", inner.url());
        let outer = Peer::saying(answer).await;
        let outbound = outbound(&[&outer.address.to_string()]);
        assert_eq!(failure(get(&outbound, outer.url().as_str()).await), Failure::Redirected, "{status}");
        let discovery = Request::get(outer.url()).redirects(Redirects::OnceToSameOrigin);
        assert_eq!(failure(outbound.send(discovery).await), Failure::Redirected, "{status}");
        assert_eq!(outer.count(), 2);
    }
    assert_eq!(inner.count(), 0);
}

#[tokio::test]
async fn discovery_follows_one_redirect_within_its_origin() {
    let server = wiremock::MockServer::start().await;
    let redirect = |from: &str, to: &str| {
        wiremock::Mock::given(wiremock::matchers::path(from))
            .respond_with(wiremock::ResponseTemplate::new(302).insert_header("location", to))
    };
    redirect("/a", "/b").mount(&server).await;
    redirect("/twice", "/a").mount(&server).await;
    wiremock::Mock::given(wiremock::matchers::path("/b"))
        .respond_with(wiremock::ResponseTemplate::new(200).set_body_string("found"))
        .mount(&server)
        .await;
    let outbound = outbound(&["loopback"]);
    let ask = |path: &str, redirects| {
        outbound.send(Request::get(format!("{}{path}", server.uri()).parse().unwrap()).redirects(redirects))
    };
    assert_eq!(ask("/a", Redirects::OnceToSameOrigin).await.unwrap().body, "found");
    assert_eq!(failure(ask("/a", Redirects::Never).await), Failure::Redirected);
    assert_eq!(failure(ask("/twice", Redirects::OnceToSameOrigin).await), Failure::Redirected);
    let url: Url = format!("{}/a", server.uri()).parse().unwrap();
    let post = Request::post_form(url, [("a", "b")]).redirects(Redirects::OnceToSameOrigin);
    assert_eq!(failure(outbound.send(post).await), Failure::Redirected);
}

/// Environment variables belong to the process, so this test runs itself once more in one of its own.
#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    const TARGET: &str = "VESTIBULE_TEST_TARGET";
    if let Ok(target) = std::env::var(TARGET) {
        let outbound = outbound(&["loopback"]);
        assert_eq!(get(&outbound, &target).await.unwrap().body, "target");
        // The control: a client without our settings asks the proxy.
        #[expect(clippy::disallowed_methods, reason = "the unguarded client, for comparison")]
        let answer = reqwest::get(&target).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "proxy!");
        return;
    }
    let target = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ntarget").await;
    let proxy = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nproxy!").await;
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again.args(["outbound::http::tests::guard::proxies_of_the_environment_are_ignored", "--exact"]);
    again.env(TARGET, target.url().as_str()).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(name, proxy.url().as_str());
    }
    let output = again.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!((target.count(), proxy.count()), (1, 1));
}

#[tokio::test]
async fn an_egress_proxy_gets_everything_but_this_machine() {
    let proxy = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nproxy").await;
    let here = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nhere").await;
    let config = OutboundConfig { proxy: Some(proxy.url()), ..config(&["loopback", "idp.corp"]) };
    let outbound = Outbound::with_resolver(&config, Names::new(&[])).unwrap();
    assert_eq!(get(&outbound, "http://idp.corp/").await.unwrap().body, "proxy");
    assert_eq!(get(&outbound, here.url().as_str()).await.unwrap().body, "here");
    // The rules about URLs hold with a proxy, too.
    assert_eq!(failure(get(&outbound, "https://10.0.0.1/").await), Failure::Blocked { rule: "address" });
    assert_eq!((proxy.count(), here.count()), (1, 1));
}
