//! Open redirects: spellings that some parser somewhere takes for another place than ours does.

use super::portal::signed_in;
use super::visitor::{open, state};
use crate::support::TestApp;
use url::form_urlencoded::byte_serialize;

/// Targets that must never be followed. `OWN` stands for the instance's host and port.
pub(super) const HOSTILE: &[&str] = &[
    "https://evil.example",
    "https://evil.example/",
    "HTTPS://EVIL.EXAMPLE/",
    "//evil.example",
    "//evil.example/%2f..",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "http:\\\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:///evil.example",
    "http://OWN@evil.example/",
    "http://OWN:80@evil.example/",
    "http://localhost@evil.example/",
    "http://user:pass@localhost/",
    "http://OWN%40evil.example/",
    "http://OWN.evil.example/",
    "http://localhost.evil.example/",
    "http://evil.example#OWN",
    "http://evil.example?OWN",
    "http://evil.example/OWN",
    "http://evil.example\\@OWN/",
    "http://evil.example%5c@OWN/",
    "http://evil.example\t@OWN/",
    "http://evil.example%00.localhost/x",
    "http://evil.example\u{3002}localhost.evil.example/",
    "http://evil\u{3002}example/",
    "http://\u{ff45}vil.example/",
    "http://evil.example:80/",
    "http://notlocalhost/",
    "http://localhost.com/",
    "http://xlocalhost/",
    "http://127.0.0.1.evil.example/",
    "http://128.0.0.1/",
    "http://0x80000001/",
    "http://2147483649/",
    "http://[::2]/",
    "http://[::ffff:8.8.8.8]/",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\nscript:alert(1)",
    "java\tscript:alert(1)",
    "\u{1}javascript:alert(1)",
    " javascript:alert(1)",
    "javascript://OWN/%0aalert(1)",
    "javascript:/*--></title></style></textarea></script><svg/onload=alert(1)>",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:http://OWN/x",
    "filesystem:http://OWN/x",
    "view-source:http://OWN/",
    "about:blank",
    "ftp://OWN/",
    "ws://OWN/",
    "wss://OWN/",
    "intent://OWN/#Intent;scheme=http;package=x;end",
    "myapp://callback",
    "mailto:eve@evil.example",
    " https://evil.example",
    "https://evil.example ",
    "\thttps://evil.example",
    "https://evil.example\r\nSet-Cookie: a=b",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "//evil.example\\@OWN",
    "//OWN@evil.example",
    "//OWN\\.evil.example",
    "https://",
    "http://",
    "http://OWN:99999/",
];

/// Targets that stay with us, however odd they look.
const OWN: &[&str] = &[
    "/",
    "/user?x=1#y",
    "user",
    "?x=1",
    "#evil.example",
    ".evil.example",
    "/%2f/evil.example",
    "/%5cevil.example",
    "/.//evil.example",
    "/user/..//evil.example",
    "https%3a%2f%2fevil.example",
    "evil.example",
    "\u{feff}//evil.example",
];

#[tokio::test]
async fn nobody_is_ever_sent_elsewhere() {
    let app = TestApp::start().await;
    let own = app.origin();
    let host = own.strip_prefix("http://").unwrap().to_owned();
    let guest = app.browser();
    let user = signed_in(&app).await;
    assert!(HOSTILE.len() >= 60);
    for target in HOSTILE.iter().chain(OWN) {
        let target = target.replace("OWN", &host);
        let encoded: String = byte_serialize(target.as_bytes()).collect();
        for name in ["redirect_url", "sign_in_force_redirect_url", "sign_in_fallback_redirect_url", "after_sign_in_url"]
        {
            let url = app.url(&format!("/sign-in?{name}={encoded}"));
            let sent = open(&user, &url).await.expect(303).location();
            assert_eq!(sent.origin().ascii_serialization(), own, "{name}={target:?} leads to {sent}");
        }
        let page = open(&guest, app.url(&format!("/sign-in?redirect_url={encoded}"))).await.expect(200);
        assert_eq!(state(&page).0, "sign-in.start");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("form-action 'self' {own}; ")), "{target:?}: {policy}");
        assert!(!page.text.contains("javascript:") && !page.text.contains("<svg"), "{target:?} is shown");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_not_even_shown() {
    let app = TestApp::start().await;
    for target in HOSTILE.iter().filter(|target| target.contains("evil.example")) {
        let encoded: String = byte_serialize(target.replace("OWN", "localhost").as_bytes()).collect();
        let page = open(&app.browser(), app.url(&format!("/sign-in?redirect_url={encoded}"))).await;
        assert!(!page.text.contains("evil"), "{target:?} is shown");
    }
}

#[tokio::test]
async fn an_app_of_the_instance_is_returned_to() {
    let app = TestApp::start().await;
    let user = signed_in(&app).await;
    let target = "http://localhost:3000/dashboard?tab=1#top";
    let encoded: String = byte_serialize(target.as_bytes()).collect();
    let sent = open(&user, app.url(&format!("/sign-in?redirect_url={encoded}"))).await.expect(303);
    assert_eq!(sent.location().as_str(), target);
}
