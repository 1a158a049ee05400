//! The route table, walked: every route keeps what it declares.

use http::Method;
use vestibule::http::route::{Cache, Caller, Cors, Limit, Route};
use vestibule::http::router;

use crate::support::TestApp;
use crate::support::browser::{Answer, send};
use crate::support::person::{APP, sign_up};

/// A path with its parameters filled in.
fn filled(path: &str, value: &str) -> String {
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

/// Every backend route, called with the id of a user of another instance, answers as for an id that nobody has.
#[tokio::test]
async fn ids_of_another_instance_are_unknown() {
    let app = TestApp::start().await;
    let user = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let other = app.second_instance().await;
    for route in &router::routes() {
        // A provider's key is a name, not an id: every instance may have a google.
        if route.rules.caller != Caller::SecretKey || !route.path.contains("{id}") {
            continue;
        }
        let ask = async |value: &str| {
            let url = app.url(&filled(route.path, value));
            let request = app.browser().raw(route.method.clone(), &url).bearer_auth(&other);
            let request = if route.method == Method::GET { request } else { request.json(&serde_json::json!({})) };
            let answer = send(request).await;
            let body = answer.json();
            (answer.status, body["errors"].clone())
        };
        let foreign = ask(&user).await;
        assert_eq!(foreign, ask("user_2O4BCh3zUONvWlZHtBXv6s6tm7u").await, "{} {}", route.method, route.path);
        assert_eq!(foreign.0, 404, "{} {}", route.method, route.path);
    }
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
    ("/v1/client", "makes or forgets one's own client, which proves nothing"),
    ("/v1/client/sign_ins/{id}/prepare_first_factor", "exact limits count what is sent, per recipient and address"),
    ("/v1/client/sign_ups/{id}/prepare_verification", "exact limits count what is sent, per recipient and address"),
    ("/v1/client/sessions", "one's own sessions: who calls has signed in"),
    ("/v1/me", "one's own account: who calls has signed in"),
];

/// Everything of the frontend API that changes or proves something has a budget, or a reason to have none.
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
        let proves = ["attempt_first_factor", "attempt_verification", "reset_password"];
        if proves.iter().any(|name| route.path.ends_with(name)) {
            assert_eq!(route.rules.limit, Limit::AttemptProof, "{}", route.path);
        }
    }
    assert!(limited >= 6, "{limited}");
}

#[tokio::test]
async fn the_sixth_start_and_the_fourth_proof_within_ten_seconds_are_too_many() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let post = async |path: &str, fields: &[(&str, &str)]| app.browser().post_form(app.url(path), APP, fields).await;
    let mut starts = Vec::new();
    let mut proofs = Vec::new();
    for _ in 0..12 {
        starts.push(post("/v1/client/sign_ups", &[]).await);
        proofs.push(post("/v1/client/sign_ins/sia_x/attempt_first_factor", &[("strategy", "email_code")]).await);
    }
    // On a machine so slow that ten seconds pass meanwhile, a second budget begins.
    let refused = |answers: &[Answer]| answers.iter().filter(|answer| answer.status == 429).count();
    assert!((2..=7).contains(&refused(&starts)) && (3..=9).contains(&refused(&proofs)));
    assert!(
        starts[..5].iter().all(|answer| answer.status == 200) && proofs[..3].iter().all(|answer| answer.status == 404)
    );
    let last = starts.iter().chain(&proofs).find(|answer| answer.status == 429).unwrap();
    assert_eq!(last.error_code(), "too_many_requests");
    assert!((1..=10).contains(&last.header("retry-after").unwrap().parse::<u32>().unwrap()));
}
