//! The authorization page: its contract, its choices, and the requests it does not accept.

use super::world::{STATE, World};
use url::Url;
use vestibule::model::profile::EmailTrust;

async fn html(world: &World, slug: &str, hint: Option<&str>) -> (reqwest::header::HeaderMap, String) {
    let mut page = world.page_url(world.start_url(slug, None)).await;
    if let Some(hint) = hint {
        page.query_pairs_mut().append_pair("login_hint", hint);
    }
    let answer = world.browser.get(page).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    (answer.headers().clone(), answer.text().await.unwrap())
}

/// Where a piece of the contract stands in the page.
fn place(html: &str, piece: &str) -> usize {
    html.find(piece).unwrap_or_else(|| panic!("{piece} is not in\n{html}"))
}

#[tokio::test]
async fn the_page_keeps_its_contract() {
    let world = World::start().await;
    let (headers, google) = html(&world, "google", None).await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("form-action") && !policy.contains("unsafe"));
    assert_eq!(google.matches("<form method=\"post\">").count(), 1);
    assert!(!google.contains("<script") && !google.contains("style="));
    let form = place(&google, "<form");
    let email = place(&google, "<input type=\"email\" id=\"email\" name=\"email\" value=\"\"");
    let submit = place(&google, "<button type=\"submit\">");
    assert!(form < email && email < submit);
    assert!(!google[email..submit].contains("required"));
    assert!(google[..submit].matches("<button").count() == 0, "Enter presses the first button");
    place(&google, "<input type=\"checkbox\" name=\"verified\" value=\"1\" checked>");
    for scope in ["openid", "email", "profile"] {
        place(&google, &format!("<input type=\"checkbox\" name=\"scope\" value=\"{scope}\" checked>"));
    }
    for person in ["ada", "bob", "cyd", "eve"] {
        place(&google, &format!("<button name=\"person\" value=\"{person}@example.com\""));
    }
    place(&google, "<button id=\"noemail\" name=\"noemail\"");
    place(&google, "<button id=\"denied\" name=\"deny\"");
    place(&google, "<select id=\"fail\" name=\"fail\"><option value=\"\">");

    let (_, notion) = html(&world, "notion", Some("\"><script>alert(1)</script>@x")).await;
    assert!(!notion.contains("name=\"verified\"") && !notion.contains("name=\"scope\"") && !notion.contains("<script"));
    let style = world.browser.get(world.url("notion", "page.css")).send().await.unwrap();
    assert!(style.headers()["content-type"].to_str().unwrap().starts_with("text/css"));
}

#[tokio::test]
async fn boxes_can_be_unchecked() {
    let world = World::start().await;
    let form = [("shown", "1"), ("email", "zoe@example.org"), ("scope", "openid"), ("scope", "email")];
    let callback = world.press(world.start_url("google", None), &form).await;
    let tokens = world.exchange("google", &callback).await.unwrap();
    assert_eq!(tokens.scopes.as_deref().map(<[String]>::len), Some(2));
    let zoe = world.profile("google", &tokens).await.unwrap();
    assert_eq!((zoe.email.as_deref(), zoe.email_trust), (Some("zoe@example.org"), EmailTrust::Unverified));
    assert_eq!(zoe.first_name, None, "profile was not granted");

    let callback = world.press(world.start_url("google", None), &[("email", "zoe@example.org")]).await;
    let tokens = world.exchange("google", &callback).await.unwrap();
    assert_eq!(world.profile("google", &tokens).await.unwrap().email_trust, EmailTrust::Verified);
}

#[tokio::test]
async fn every_new_person_without_an_address_is_another() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let callback = world.press(world.start_url("google", None), &[("email", ""), ("noemail", "1")]).await;
        let tokens = world.exchange("google", &callback).await.unwrap();
        let somebody = world.profile("google", &tokens).await.unwrap();
        assert_eq!(somebody.email, None);
        ids.push(somebody.provider_user_id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn cancel_is_access_denied() {
    let world = World::start().await;
    for form in [[("deny", "1"), ("email", "ada@example.com")], [("fail", "deny"), ("person", "ada@example.com")]] {
        let callback = world.press(world.start_url("notion", None), &form).await;
        assert_eq!(callback.status, 303);
        assert_eq!(
            (callback.parameters["error"].as_str(), callback.parameters["state"].as_str()),
            ("access_denied", STATE)
        );
        assert!(!callback.parameters.contains_key("code"));
    }
    let mut denied = world.start_url("notion", None);
    denied.query_pairs_mut().append_pair("fail", "deny");
    assert_eq!(world.auto(denied, "ada").await.parameters["error"], "access_denied");
}

#[tokio::test]
async fn a_form_that_names_nobody_is_shown_again() {
    let world = World::start().await;
    let page = world.page_url(world.start_url("google", None)).await;
    for form in [[("email", "")], [("email", "no address")], [("person", "zoe")]] {
        let answer = world.browser.post(page.clone()).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 422);
        assert!(answer.text().await.unwrap().contains("role=\"alert\""));
    }
}

fn changed(url: &Url, name: &str, value: Option<&str>) -> Url {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, value);
    }
    url
}

#[tokio::test]
async fn a_stranger_is_not_sent_anywhere() {
    let world = World::start().await;
    let good = world.start_url("google", None);
    let mut twice = good.clone();
    twice.query_pairs_mut().append_pair("redirect_uri", "https://evil.example/");
    let slash = format!("{}/", world.callback_url());
    for bad in [
        changed(&good, "client_id", None),
        changed(&good, "client_id", Some("sim_notion")),
        changed(&good, "redirect_uri", None),
        changed(&good, "redirect_uri", Some("https://evil.example/")),
        changed(&good, "redirect_uri", Some(&slash)),
        twice,
    ] {
        let auto = changed(&changed(&bad, "auto", Some("1")), "login_hint", Some("ada"));
        let answer = world.browser.get(auto).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{bad}");
        assert!(!answer.headers().contains_key("location"));
    }
}

#[tokio::test]
async fn other_faults_of_a_request_are_reported_at_the_callback() {
    let world = World::start().await;
    let (google, notion) = (world.start_url("google", None), world.start_url("notion", None));
    for (bad, error) in [
        (changed(&google, "response_type", Some("token")), "unsupported_response_type"),
        (changed(&google, "access_type", None), "invalid_request"),
        (changed(&google, "access_type", Some("online")), "invalid_request"),
        (changed(&google, "code_challenge_method", Some("plain")), "invalid_request"),
        (changed(&google, "code_challenge", Some("short")), "invalid_request"),
        (changed(&google, "scope", None), "invalid_scope"),
        (changed(&google, "scope", Some("openid  email")), "invalid_scope"),
        (changed(&notion, "owner", None), "invalid_request"),
        (changed(&notion, "scope", Some("read")), "invalid_scope"),
    ] {
        let callback = world.auto(bad, "ada").await;
        assert_eq!((callback.parameters["error"].as_str(), callback.parameters["state"].as_str()), (error, STATE));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::start().await;
    for (slug, path) in [("nope", "authorize"), ("GOOGLE", "authorize"), ("custom_acme", "authorize")] {
        assert_eq!(world.browser.get(world.url(slug, path)).send().await.unwrap().status(), 404, "{slug}");
    }
    let answer = world.browser.get(world.url("google", "no/such/path")).send().await.unwrap();
    assert_eq!(answer.status(), 401, "an API tells strangers nothing");
    for (body, status) in [("{\"x\":1}", 400), ("no json", 400)] {
        let post = world.browser.post(world.url("google", "state")).header("content-type", "application/json");
        assert_eq!(post.body(body).send().await.unwrap().status(), status);
    }
    let post = world.browser.post(world.url("google", "state")).header("content-type", "text/plain");
    assert_eq!(post.body("{}").send().await.unwrap().status(), 415);
}
