//! One test per row of the validation table, and the order of the rows.

use super::*;
use crate::model::oauth::fixtures;
use proptest::prelude::*;

const URI: &str = "https%3A%2F%2Fclient.example%2Fcb";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn user() -> UserId {
    UserId::parse(&format!("user_{}", "0".repeat(27))).unwrap()
}

fn verify_hint(text: &str) -> Option<IdTokenHint> {
    let audience = text.strip_prefix("signed for ")?;
    Some(IdTokenHint { user_id: user(), audience: vec![audience.to_owned()] })
}

fn check_for(application: &Application, text: &str) -> Result<AuthorizationRequest, Refusal> {
    let parameters = Parameters::parse(text.as_bytes()).unwrap();
    check(&parameters, application, &fixtures::production(), verify_hint)
}

/// Checks a good request with `change` appended.
fn with(change: &str) -> Result<AuthorizationRequest, Refusal> {
    check_for(
        &fixtures::application(),
        &format!("client_id=x&response_type=code&redirect_uri={URI}&state=12345678{change}"),
    )
}

fn reported_client(result: Result<AuthorizationRequest, Refusal>) -> ErrorCode {
    match result {
        Err(Refusal::Redirect(target, error)) => {
            assert_eq!(target.redirect_uri, "https://client.example/cb");
            error.code
        }
        other => panic!("{other:?}"),
    }
}

fn page(result: Result<AuthorizationRequest, Refusal>) -> ErrorCode {
    match result {
        Err(Refusal::Page(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_request_passes() {
    let request =
        with("&scope=openid+email+profile&nonce=n&prompt=login+consent&max_age=60&login_hint=a%40b&unknown=x").unwrap();
    assert_eq!(request.scopes.to_string(), "openid email profile");
    assert_eq!(request.target.state.as_deref(), Some("12345678"));
    assert_eq!((request.nonce.as_deref(), request.max_age), (Some("n"), Some(60)));
    assert!(request.prompt.login && request.prompt.consent && !request.prompt.none);
    for ignored in ["ui_locales=de", "display=popup", "acr_values=x", "claims_locales=de", "claims=%7B%7D"] {
        assert!(with(&format!("&{ignored}")).is_ok(), "{ignored}");
    }
}

#[test]
fn step_2_client_id() {
    for text in ["", "client_id=", "client_id=a&client_id=a"] {
        let parameters = Parameters::parse(text.as_bytes()).unwrap();
        assert!(matches!(client_id(&parameters), Err(Refusal::Page(_))), "{text}");
    }
}

#[test]
fn step_4_redirect_uri_is_there() {
    let one = fixtures::application();
    let two =
        Application { redirect_uris: vec!["https://a.example".into(), "https://b.example".into()], ..one.clone() };
    assert!(check_for(&one, "response_type=code&state=12345678").is_ok());
    assert_eq!(page(check_for(&one, "response_type=code&state=12345678&scope=openid")), ErrorCode::InvalidRequest);
    assert_eq!(page(check_for(&two, "response_type=code&state=12345678")), ErrorCode::InvalidRequest);
    assert_eq!(page(with(&format!("&redirect_uri={URI}"))), ErrorCode::InvalidRequest);
}

#[test]
fn step_5_redirect_uri_matches_before_anything_else_is_looked_at() {
    let application = fixtures::application();
    for uri in ["https://client.example/cb2", "https://client.example/cb/", "https://evil.test/cb", "javascript:x"] {
        let text = format!("redirect_uri={uri}&response_type=token&request=x");
        assert_eq!(page(check_for(&application, &text)), ErrorCode::InvalidRequest, "{uri}");
    }
}

#[test]
fn step_6_repetitions() {
    for name in RECOGNISED.iter().filter(|name| !["client_id", "redirect_uri"].contains(name)) {
        assert_eq!(reported_client(with(&format!("&{name}=a&{name}=a"))), ErrorCode::InvalidRequest, "{name}");
    }
    assert!(with("&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example").is_ok());
    assert!(with("&other=a&other=b").is_ok());
    let Err(Refusal::Redirect(target, _)) = with("&state=other") else { panic!() };
    assert_eq!(target.state, None, "of two states none is echoed");
}

#[test]
fn step_7_response_mode() {
    for mode in ["fragment", "web_message", "query.jwt"] {
        assert_eq!(reported_client(with(&format!("&response_mode={mode}"))), ErrorCode::InvalidRequest, "{mode}");
    }
    assert_eq!(with("&response_mode=form_post").unwrap().target.mode, ResponseMode::FormPost);
    let Err(Refusal::Redirect(target, _)) = with("&response_mode=form_post&max_age=x") else { panic!() };
    assert_eq!(target.mode, ResponseMode::FormPost, "errors travel the same way");
}

#[test]
fn steps_8_and_9_request_objects() {
    assert_eq!(reported_client(with("&request=ey")), ErrorCode::RequestNotSupported);
    assert_eq!(reported_client(with("&request_uri=https%3A%2F%2Fa.example")), ErrorCode::RequestUriNotSupported);
}

#[test]
fn step_10_response_type() {
    let application = fixtures::application();
    assert_eq!(reported_client(check_for(&application, &format!("redirect_uri={URI}"))), ErrorCode::InvalidRequest);
    for response_type in ["token", "id_token", "code+id_token", "none", "CODE"] {
        let text = format!("redirect_uri={URI}&response_type={response_type}");
        assert_eq!(
            reported_client(check_for(&application, &text)),
            ErrorCode::UnsupportedResponseType,
            "{response_type}"
        );
    }
}

#[test]
fn step_12_pkce() {
    let public = Application { is_public: true, ..fixtures::application() };
    let demanding = Application { pkce_required: true, ..fixtures::application() };
    let base = format!("response_type=code&redirect_uri={URI}&state=12345678");
    for application in [&public, &demanding] {
        assert_eq!(reported_client(check_for(application, &base)), ErrorCode::InvalidRequest);
        let good = format!("{base}&code_challenge={CHALLENGE}&code_challenge_method=S256");
        assert!(check_for(application, &good).unwrap().challenge.is_some());
    }
    for change in [
        format!("&code_challenge={CHALLENGE}"),
        format!("&code_challenge={CHALLENGE}&code_challenge_method=plain"),
        format!("&code_challenge={CHALLENGE}&code_challenge_method=s256"),
        format!("&code_challenge={CHALLENGE}a&code_challenge_method=S256"),
        "&code_challenge_method=S256".to_owned(),
        "&code_challenge=&code_challenge_method=S256".to_owned(),
    ] {
        assert_eq!(reported_client(with(&change)), ErrorCode::InvalidRequest, "{change}");
    }
}

#[test]
fn step_13_lengths() {
    let application = fixtures::application();
    let request = |name: &str, length: usize| {
        let base =
            format!("response_type=code&redirect_uri={URI}&code_challenge={CHALLENGE}&code_challenge_method=S256");
        check_for(&application, &format!("{base}&{name}={}", "a".repeat(length)))
    };
    for (name, limit) in
        [("state", MAX_STATE), ("nonce", MAX_NONCE), ("login_hint", MAX_OTHER), ("ui_locales", MAX_OTHER)]
    {
        assert!(request(name, limit).is_ok(), "{name}");
        assert_eq!(reported_client(request(name, limit + 1)), ErrorCode::InvalidRequest, "{name}");
    }
}

#[test]
fn step_14_forgery_protection() {
    let application = fixtures::application();
    let base = format!("response_type=code&redirect_uri={URI}");
    for (more, passes) in [
        ("", false),
        ("&state=1234567", false),
        ("&state=12345678", true),
        ("&nonce=n", false),
        ("&nonce=n&scope=openid", true),
        ("&scope=openid", false),
        (&format!("&code_challenge={CHALLENGE}&code_challenge_method=S256"), true),
    ] {
        assert_eq!(check_for(&application, &format!("{base}{more}")).is_ok(), passes, "{more}");
    }
}

#[test]
fn step_15_scopes() {
    for scope in ["private_metadata", "openid+nonsense", "%C3%A9", "user:org:read"] {
        assert_eq!(reported_client(with(&format!("&scope={scope}"))), ErrorCode::InvalidScope, "{scope}");
    }
    for left_out in ["", "&scope=", "&scope=+"] {
        assert_eq!(with(left_out).unwrap().scopes.to_string(), "profile email");
    }
    let text = format!("response_type=code&redirect_uri={URI}&state=12345678");
    let metadata = Application { scopes: Scopes::parse("public_metadata").unwrap(), ..fixtures::application() };
    assert_eq!(reported_client(check_for(&metadata, &text)), ErrorCode::InvalidScope);
    let mut instance = fixtures::production();
    instance.settings.oauth.default_scopes = vec!["openid".into(), "public_metadata".into(), "email".into()];
    let request = check(&Parameters::parse(text.as_bytes()).unwrap(), &metadata, &instance, verify_hint).unwrap();
    assert_eq!(request.scopes.to_string(), "openid public_metadata");
}

#[test]
fn step_16_prompt() {
    for prompt in ["none+login", "consent+none", "create", "LOGIN"] {
        assert_eq!(reported_client(with(&format!("&prompt={prompt}"))), ErrorCode::InvalidRequest, "{prompt}");
    }
    assert!(with("&prompt=none").unwrap().prompt.none);
}

#[test]
fn step_17_max_age_and_claims() {
    for change in ["max_age=-1", "max_age=1.5", "max_age=12345678901", "max_age=x", "claims=x", "claims=%5B%5D"] {
        assert_eq!(reported_client(with(&format!("&{change}"))), ErrorCode::InvalidRequest, "{change}");
    }
    assert_eq!(with("&max_age=0").unwrap().max_age, Some(0));
}

#[test]
fn step_18_id_token_hint() {
    assert_eq!(with("&id_token_hint=signed+for+d9g4CT4WYiCBm7EU").unwrap().expected_user, Some(user()));
    for hint in ["forged", "signed+for+another"] {
        assert_eq!(reported_client(with(&format!("&id_token_hint={hint}"))), ErrorCode::InvalidRequest, "{hint}");
    }
}

#[test]
fn step_19_resource() {
    assert_eq!(with("&resource=https%3A%2F%2Fapi.example%2F").unwrap().resources, ["https://api.example/"]);
    assert_eq!(reported_client(with("&resource=api")), ErrorCode::InvalidTarget);
}

#[test]
fn the_first_failing_row_is_reported() {
    let rows = [
        ("&display=a&display=b", ErrorCode::InvalidRequest),
        ("&request=x", ErrorCode::RequestNotSupported),
        ("&request_uri=x", ErrorCode::RequestUriNotSupported),
        ("&code_challenge_method=S256", ErrorCode::InvalidRequest),
        ("&scope=nonsense", ErrorCode::InvalidScope),
        ("&max_age=x", ErrorCode::InvalidRequest),
        ("&resource=x", ErrorCode::InvalidTarget),
    ];
    for (at, (_, code)) in rows.iter().enumerate() {
        let all: String = rows[at..].iter().map(|(change, _)| *change).collect();
        assert_eq!(reported_client(with(&all)), *code, "{all}");
    }
}

proptest! {
    #[test]
    fn never_panics_and_never_sends_a_browser_elsewhere(text in "[a-z_=&%0-9:/.+#]{0,120}") {
        if let Ok(parameters) = Parameters::parse(text.as_bytes())
            && let Ok(AuthorizationRequest { target, .. }) | Err(Refusal::Redirect(target, _)) =
                check(&parameters, &fixtures::application(), &fixtures::production(), verify_hint)
        {
            prop_assert_eq!(target.redirect_uri, "https://client.example/cb");
        }
    }
}
