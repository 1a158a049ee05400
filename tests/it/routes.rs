//! The route table, walked: every route keeps what it declares.

use http::Method;
use serde_json::{Value, json};
use vestibule::http::route::{Cache, Caller, Cors, Limit, Route};
use vestibule::http::router;
use vestibule::store::directory;

use crate::support::TestApp;
use crate::support::browser::{Answer, send};
use crate::support::person::{APP, begin, client, sign_up};

/// A path with its parameters filled in.
pub fn filled(path: &str, value: &str) -> String {
    path.split('/')
        .map(|part| match part {
            "{provider}" => "google",
            "{key}" => "google",
            part if part.starts_with('{') => value,
            part => part,
        })
        .collect::<Vec<_>>()
        .join("/")
}

async fn call(app: &TestApp, route: &Route, path: &str) -> Answer {
    let request = app.browser().raw(route.method.clone(), &app.url(path));
    let request = match route.rules.caller {
        Caller::SecretKey => request.bearer_auth(&app.secret_key),
        Caller::Browser => request.header("origin", APP),
        _ => request,
    };
    send(request).await
}

#[tokio::test]
async fn no_two_routes_share_method_and_path_and_rules_of_one_path_agree_on_cors() {
    let routes = router::routes();
    for (index, route) in routes.iter().enumerate() {
        for other in &routes[index + 1..] {
            if route.path == other.path {
                assert_ne!(route.method, other.method, "{}", route.path);
                assert_eq!(route.rules.cors, other.rules.cors, "{}", route.path);
            }
        }
    }
}

#[tokio::test]
async fn a_backend_route_wants_the_secret_key_and_answers_no_page_of_another_origin() {
    let app = TestApp::start().await;
    for route in router::routes().iter().filter(|route| route.rules.caller == Caller::SecretKey) {
        assert_eq!((route.rules.cors, route.rules.cache), (Cors::Closed, Cache::NoStore), "{}", route.path);
        let path = filled(route.path, "user_2O4BCh3zUONvWlZHtBXv6s6tm7u");
        let bare = send(app.browser().raw(route.method.clone(), &app.url(&path)).header("origin", APP)).await;
        assert_eq!(bare.status, 401, "{} {}", route.method, route.path);
        assert!(bare.header("access-control-allow-origin").is_none(), "{}", route.path);
        let wrong = app.browser().raw(route.method.clone(), &app.url(&path)).bearer_auth("sk_live_wrong");
        assert_eq!(send(wrong).await.expect(401).error_code(), "clerk_key_invalid");
    }
}

#[tokio::test]
async fn a_frontend_route_refuses_foreign_origins_and_secret_keys() {
    let app = TestApp::start().await;
    for route in router::routes().iter().filter(|route| route.rules.caller == Caller::Browser) {
        let url = app.url(&filled(route.path, "x"));
        let foreign = app.browser().raw(route.method.clone(), &url).header("origin", "https://evil.example");
        let refused = send(foreign).await.expect(400);
        assert_eq!(refused.error_code(), "origin_invalid", "{} {}", route.method, route.path);
        assert!(refused.header("access-control-allow-origin").is_none());
        let backend = app.browser().raw(route.method.clone(), &url).bearer_auth(&app.secret_key);
        assert_eq!(send(backend).await.expect(404).error_code(), "resource_not_found", "{}", route.path);
        if route.method != Method::GET {
            let silent = send(app.browser().raw(route.method.clone(), &url)).await.expect(400);
            assert_eq!(silent.error_code(), "origin_missing", "{} {}", route.method, route.path);
        }
        let own = call(&app, route, &filled(route.path, "x")).await;
        assert_eq!(own.header("access-control-allow-origin"), Some(APP), "{} {}", route.method, route.path);
        assert_eq!(own.header("access-control-allow-credentials"), Some("true"));
    }
}

#[tokio::test]
async fn every_answer_carries_the_safety_headers_and_its_cache_rule() {
    let app = TestApp::start().await;
    for route in &router::routes() {
        let answer = call(&app, route, &filled(route.path, "x")).await;
        let name = format!("{} {} -> {}", route.method, route.path, answer.status);
        assert!(answer.status.as_u16() < 500, "{name}: {}", answer.text);
        if route.rules.caller == Caller::Operator {
            continue;
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert!(answer.header("content-security-policy").is_some(), "{name}");
        assert!(answer.header("referrer-policy").is_some(), "{name}");
        assert!(answer.header("server").is_none() && answer.header("x-powered-by").is_none(), "{name}");
        let cache = answer.header("cache-control").unwrap_or_else(|| panic!("{name}: no cache rule"));
        match route.rules.cache {
            Cache::Public(seconds) if answer.status.is_success() => {
                assert_eq!(cache, format!("public, max-age={seconds}"), "{name}");
            }
            Cache::Immutable if answer.status.is_success() => assert!(cache.contains("immutable"), "{name}"),
            _ => assert_eq!(cache, "no-store", "{name}"),
        }
    }
}

#[tokio::test]
async fn methods_that_a_path_does_not_answer_are_refused_with_the_ones_it_does() {
    let app = TestApp::start().await;
    let routes = router::routes();
    for route in &routes {
        let path = filled(route.path, "x");
        let is_known = |method: &Method| routes.iter().any(|other| other.path == route.path && other.method == *method);
        let Some(unknown) = [Method::DELETE, Method::PUT, Method::PATCH].into_iter().find(|method| !is_known(method))
        else {
            continue;
        };
        let refused = send(app.browser().raw(unknown, &app.url(&path))).await;
        assert_eq!(refused.status, 405, "{}", route.path);
        assert!(refused.header("allow").unwrap().contains(route.method.as_str()), "{}", route.path);
    }
}

/// The ids of what an instance holds.
#[derive(Clone)]
struct Things {
    user: String,
    account: String,
    session: String,
    sign_in: String,
    sign_up: String,
    application: String,
    client_id: String,
    redirect_url: String,
    provider: String,
    flow: String,
}

impl Things {
    /// The path with the ids that its parameters stand for. A new kind of thing has to be made and named here.
    fn in_path(&self, path: &str) -> String {
        let mut filled: Vec<&str> = Vec::new();
        for part in path.split('/') {
            let parent = filled.last().copied().unwrap_or_default();
            filled.push(if part.starts_with('{') { self.of(parent) } else { part });
        }
        filled.join("/")
    }

    fn of(&self, parent: &str) -> &str {
        match parent {
            "users" => &self.user,
            "external_accounts" => &self.account,
            "sessions" => &self.session,
            "sign_ins" => &self.sign_in,
            "sign_ups" => &self.sign_up,
            "oauth_applications" => &self.application,
            "consent" => &self.client_id,
            "redirect_urls" => &self.redirect_url,
            "providers" => &self.provider,
            "flows" => &self.flow,
            // A provider that every instance knows: a name and no id.
            "oauth_access_tokens" => "google",
            other => panic!("{other}: whose ids are these?"),
        }
    }

    /// Ids of the same form that nobody has.
    fn made_up(&self) -> Self {
        let other = |id: &String| {
            let (start, last) = id.split_at(id.len() - 1);
            format!("{start}{}", if last == "a" { "b" } else { "a" })
        };
        Self {
            user: other(&self.user),
            account: other(&self.account),
            session: other(&self.session),
            sign_in: other(&self.sign_in),
            sign_up: other(&self.sign_up),
            application: other(&self.application),
            client_id: other(&self.client_id),
            redirect_url: other(&self.redirect_url),
            provider: other(&self.provider),
            flow: other(&self.flow),
        }
    }
}

/// Who asks at an instance: a backend with its key, and a browser with its client's token and a session.
struct TokenOwner<'a> {
    app: &'a TestApp,
    origin: String,
    key: String,
    token: String,
    session: String,
}

impl TokenOwner<'_> {
    async fn ask(&self, route: &Route, path: &str) -> Answer {
        let host = self.origin.strip_prefix("http://").unwrap();
        let request = self.app.browser().raw(route.method.clone(), &self.app.url(path)).header("host", host);
        let is_read = route.method == Method::GET;
        send(match route.rules.caller {
            Caller::SecretKey if is_read => request.bearer_auth(&self.key),
            Caller::SecretKey => request.bearer_auth(&self.key).json(&json!({})),
            _ => {
                let cookie = format!("__client={}", self.token);
                let request = request.header("origin", &self.origin).header("cookie", cookie);
                let request = request.query(&[("_clerk_session_id", &self.session)]);
                // Whatever any of these routes must be given before it looks for the id.
                let secret = if route.path.ends_with("/reset_password") { "password" } else { "code" };
                let form = [
                    (secret, "blauwale fliegen nie"),
                    ("strategy", "email_code"),
                    ("level", "first_factor"),
                    ("redirect_url", "/sso-callback"),
                    ("response_type", "code"),
                ];
                if is_read { request } else { request.form(&form) }
            }
        })
        .await
    }

    /// Status and error, which is all that a stranger may learn.
    async fn reported(&self, route: &Route, path: &str) -> (u16, Value) {
        let answer = self.ask(route, path).await;
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        (answer.status.as_u16(), body["errors"].clone())
    }
}

/// One of everything in the instance `dev`, and whose it is: somebody signed in, signing in, and signing up.
async fn one_of_everything(app: &TestApp) -> (Things, [TokenOwner<'_>; 3]) {
    let browsers = [app.browser(), app.browser(), app.browser()];
    let [ada, signing_in, signing_up] = &browsers;
    let user = sign_up(app, ada, "oauth_google", "ada@example.com").await;
    let session = client(app, ada).await["sessions"][0].clone();
    let sign_in = begin(app, signing_in, "sign_ins", "oauth_google").await.expect(200);
    let sign_up = begin(app, signing_up, "sign_ups", "oauth_google").await.expect(200);
    let application = app.application(json!({})).await;
    let listed = app.backend(Method::POST, "/v1/redirect_urls", &json!({ "url": "my-app://callback" })).await;
    let custom = json!({
        "key": "custom_acme", "client_id": "ours", "client_secret": "theirs",
        "custom": {
            "name": "Acme", "authorization_url": "https://id.acme.example/authorize",
            "token_url": "https://id.acme.example/token", "userinfo_url": "https://id.acme.example/me",
        },
    });
    app.backend(Method::POST, "/v1/vestibule/providers", &custom).await.expect(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let things = Things {
        user,
        account: text(&session["user"]["external_accounts"][0]["id"]),
        session: text(&session["id"]),
        sign_in: text(&sign_in.json()["response"]["id"]),
        sign_up: text(&sign_up.json()["response"]["id"]),
        application: application.application,
        client_id: application.id,
        redirect_url: text(&listed.expect(200).json()["id"]),
        provider: "custom_acme".to_owned(),
        flow: sign_up.header("x-vestibule-flow").unwrap().to_owned(),
    };
    let owners = browsers.map(|browser| TokenOwner {
        app,
        origin: app.origin(),
        key: app.secret_key.clone(),
        token: browser.cookie("localhost", "__client").unwrap(),
        session: things.session.clone(),
    });
    (things, owners)
}

/// The kinds of things that a path names.
fn kinds(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.clone().zip(parts.skip(1)).filter(|(_, part)| part.starts_with('{')).map(|(kind, _)| kind)
}

/// What the owners read at every route that only reads: everything is there, and no path names a kind of thing that is
/// not read.
async fn read_by_owners(things: &Things, owners: &[TokenOwner<'_>; 3], routes: &[Route]) -> Vec<Value> {
    let reads = || routes.iter().filter(|route| route.method == Method::GET || route.path.ends_with("/touch"));
    for kind in routes.iter().flat_map(|route| kinds(route.path)) {
        assert!(reads().any(|route| kinds(route.path).any(|read| read == kind)), "no route reads {kind}");
    }
    let mut read = Vec::new();
    for route in reads() {
        let place = ["/sessions/", "/sign_ins/", "/sign_ups/"].iter().position(|kind| route.path.contains(kind));
        let answer = owners[place.unwrap_or(0)].ask(route, &things.in_path(route.path)).await.expect(200);
        // A client changes by being looked at.
        if route.rules.caller == Caller::SecretKey {
            read.push(answer.json());
        }
    }
    read
}

/// Every id in a path belongs to one instance. At another one, to its backend, to somebody who is signed in there and
/// to the owner's own browser, it is an id that nobody has; and nothing that was tried there has changed anything here.
#[tokio::test]
async fn ids_of_another_instance_are_unknown() {
    let app = TestApp::start().await;
    let (things, owners) = one_of_everything(&app).await;
    let key = app.second_instance().await;
    let other = directory::by_name(&app.app().db, "other").await.unwrap().unwrap();
    let eve = app.person_of(&other.id, "eve").await;
    let (session, token) = app.session_of(&other.id, &eve).await;
    let just_now = "update sessions set first_factor_verified_at = now() where id = $1";
    sqlx::query(just_now).bind(&session).execute(&app.app().db).await.unwrap();
    let stranger = TokenOwner { app: &app, origin: other.origin.clone(), key, token, session };
    let [moved, nobody] = [owners[0].token.clone(), "x".repeat(owners[0].token.len())].map(|token| TokenOwner {
        app: &app,
        origin: other.origin.clone(),
        key: stranger.key.clone(),
        token,
        session: things.session.clone(),
    });
    let mut routes = router::routes();
    // The operator's documents and the simulated providers hold nothing of an instance.
    routes.retain(|route| route.path.contains('{') && route.rules.caller != Caller::Operator);
    routes.retain(|route| !route.path.starts_with("/_dev/providers/"));
    assert!(routes.len() > 30, "{}", routes.len());
    let before = read_by_owners(&things, &owners, &routes).await;
    let unknown = things.made_up();
    // A stranger's own user, and somebody else's account.
    let mixed = Things { user: eve.user_id.clone(), ..things.clone() };
    let mut wrong = Vec::new();
    for route in &routes {
        let (path, is_backend) = (things.in_path(route.path), route.rules.caller == Caller::SecretKey);
        // An answer about a client that is not known is refused as OAuth has it: `invalid_client`.
        let refusal = if route.rules.caller == Caller::Anyone { 401 } else { 404 };
        let nothing = stranger.reported(route, &unknown.in_path(route.path)).await;
        let mut reported = vec![stranger.reported(route, &path).await];
        if kinds(route.path).any(|kind| kind == "external_accounts") {
            reported.push(stranger.reported(route, &mixed.in_path(route.path)).await);
        }
        let unsigned = nobody.reported(route, &path).await;
        let is_known = moved.reported(route, &path).await != unsigned || ![401, refusal].contains(&unsigned.0);
        if nothing.0 != refusal || reported.iter().any(|reported| *reported != nothing) || (is_known && !is_backend) {
            wrong.push(format!("{} {}: {nothing:?}, {reported:?}, {unsigned:?}", route.method, route.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(read_by_owners(&things, &owners, &routes).await, before);
}

#[tokio::test]
async fn a_published_path_that_is_not_offered_says_so_also_to_pages() {
    let app = TestApp::start().await;
    for path in ["/v1/organizations", "/v1/me/totp", "/v1/jwt_templates"] {
        let refused = send(app.browser().raw(Method::GET, &app.url(path)).header("origin", APP)).await.expect(403);
        assert_eq!(refused.error_code(), "feature_not_enabled", "{path}");
        assert_eq!(refused.header("access-control-allow-origin"), Some(APP), "{path}");
    }
    let refused = send(app.browser().raw(Method::GET, &app.url("/v1/nonsense")).header("origin", APP)).await;
    assert_eq!(refused.expect(404).error_code(), "resource_not_found");
    let foreign = app.browser().raw(Method::GET, &app.url("/v1/nonsense")).header("origin", "https://evil.example");
    assert!(send(foreign).await.header("access-control-allow-origin").is_none());
}

/// What the frontend API lets everybody do as often as they like, and why nobody gains by it.
const UNLIMITED: &[(&str, &str)] = &[
    ("/v1/environment", "changes nothing: the SDK asks for it by PATCH"),
    ("/v1/client", "makes or forgets one's own client, which authenticates nobody"),
    ("/v1/client/sign_ins/{id}/prepare_first_factor", "exact limits count what is sent, per recipient and address"),
    ("/v1/client/sign_ups/{id}/prepare_verification", "exact limits count what is sent, per recipient and address"),
    ("/v1/client/sessions", "one's own sessions: who calls has signed in"),
    ("/v1/me", "one's own account: who calls has signed in"),
];

/// Everything of the frontend API that changes or verifies something has a budget, or a reason to have none.
#[tokio::test]
async fn who_tries_things_out_has_a_budget() {
    let is_exempt = |path: &str| {
        let is = |(known, _): &(&str, &str)| path == *known || path.starts_with(&format!("{known}/"));
        let is_attempt = path.starts_with("/v1/client/sign_");
        UNLIMITED.iter().any(|exempt| if is_attempt { path == exempt.0 } else { is(exempt) })
    };
    let mut limited = 0;
    for route in router::routes() {
        if route.rules.caller != Caller::Browser || route.method == Method::GET {
            continue;
        }
        let has_budget = route.rules.limit != Limit::Unlimited;
        limited += usize::from(has_budget);
        assert!(has_budget || is_exempt(route.path), "{} {} has no budget", route.method, route.path);
        let checks = ["attempt_first_factor", "attempt_verification", "reset_password"];
        if checks.iter().any(|name| route.path.ends_with(name)) {
            assert_eq!(route.rules.limit, Limit::AttemptProof, "{}", route.path);
        }
    }
    assert!(limited >= 6, "{limited}");
}

#[tokio::test]
async fn sixth_start_and_fourth_verification_within_ten_seconds_are_refused() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let post = async |path: &str, fields: &[(&str, &str)]| app.browser().post_form(app.url(path), APP, fields).await;
    let mut starts = Vec::new();
    let mut verifications = Vec::new();
    for _ in 0..12 {
        starts.push(post("/v1/client/sign_ups", &[]).await);
        verifications.push(post("/v1/client/sign_ins/sia_x/attempt_first_factor", &[("strategy", "email_code")]).await);
    }
    // On a machine so slow that ten seconds pass meanwhile, a second budget begins.
    let refused = |answers: &[Answer]| answers.iter().filter(|answer| answer.status == 429).count();
    assert!((2..=7).contains(&refused(&starts)) && (3..=9).contains(&refused(&verifications)));
    assert!(
        starts[..5].iter().all(|answer| answer.status == 200)
            && verifications[..3].iter().all(|answer| answer.status == 404)
    );
    let last = starts.iter().chain(&verifications).find(|answer| answer.status == 429).unwrap();
    assert_eq!(last.error_code(), "too_many_requests");
    assert!((1..=10).contains(&last.header("retry-after").unwrap().parse::<u32>().unwrap()));
}
