//! The rows of oauth-provider section 2 that say what an application may be.

use super::*;
use crate::model::oauth::fixtures;

fn new(uri: &str) -> NewApplication {
    NewApplication {
        name: Some(" Grafana ".to_owned()),
        callback_url: Some(uri.to_owned()),
        ..NewApplication::default()
    }
}

fn codes(application: NewApplication) -> Vec<(&'static str, String)> {
    let problem = application.check(&fixtures::production()).unwrap_err();
    let item = |item: &crate::model::problem::ErrorItem| {
        (item.code.name, item.meta["param_name"].as_str().unwrap().to_owned())
    };
    problem.errors.iter().map(item).collect()
}

#[test]
fn defaults_are_those_of_the_seed() {
    let checked = new("https://oauth-client.com/oauth2/callback").check(&fixtures::production()).unwrap();
    assert_eq!(checked.name, "Grafana");
    assert_eq!(checked.scopes.to_string(), "profile email");
    assert_eq!(checked.redirect_uris, ["https://oauth-client.com/oauth2/callback"]);
    assert!(checked.consent_screen_enabled && !checked.is_public && !checked.pkce_required);
}

#[test]
fn public_means_pkce() {
    let application = NewApplication { public: Some(true), pkce_required: Some(false), ..new("myapp://cb") };
    let checked = application.check(&fixtures::production()).unwrap();
    assert!(checked.is_public && checked.pkce_required);
}

#[test]
fn both_forms_of_the_redirect_uri_count_once() {
    let application = NewApplication { redirect_uris: vec!["https://a.example".into(); 2], ..new("https://a.example") };
    assert_eq!(application.check(&fixtures::production()).unwrap().redirect_uris, ["https://a.example"]);
}

#[test]
fn every_fault_is_reported_at_once() {
    let application = NewApplication {
        name: Some("x".repeat(257)),
        scopes: Some("profile nonsense".to_owned()),
        ..new("http://app.example/cb")
    };
    let expected = [
        ("form_param_exceeds_allowed_size", "name"),
        ("form_param_format_invalid", "callback_url"),
        ("form_param_value_invalid", "scopes"),
    ];
    assert_eq!(codes(application), expected.map(|(code, param)| (code, param.to_owned())));
    let nothing = [("form_param_missing", "name"), ("form_param_missing", "redirect_uris")];
    assert_eq!(codes(NewApplication::default()), nothing.map(|(code, param)| (code, param.to_owned())));
}

#[test]
fn names_hold_nothing_that_is_not_seen() {
    let blank = ["\u{200b}", "\u{2060}", "\u{feff}", "\u{ad}", "\u{3164}", "\u{2800}", "\u{61c}", "\u{fe0f}"];
    let inside = blank.map(|blank| format!("Goo{blank}{blank}gle"));
    let all = blank.into_iter().chain(inside.iter().map(String::as_str)).chain(["a\u{202e}b", "a\nb", "\u{2066}x"]);
    for name in all {
        let application = NewApplication { name: Some(name.to_owned()), ..new("https://a.example") };
        assert_eq!(codes(application)[0].0, "form_param_format_invalid", "{name:?}");
    }
}

#[test]
fn plain_http_is_for_development() {
    assert!(new("http://app.example/cb").check(&fixtures::development()).is_ok());
    assert!(new("http://localhost:3000/oauth_callback").check(&fixtures::production()).is_ok());
}
