//! The authorization request, checked in the order that keeps it safe: first everything that decides whether the
//! browser may be sent back at all (errors are a page), then the rest (errors go to the client).
//!
//! Steps are numbered as in the validation table of the provider's specification: 1 is [`Parameters::parse`], 2 is
//! [`client_id`], 3 is the caller's lookup, [`check`] does 4 to 19, and 20 is [`super::interaction`].

use super::application::Application;
use super::error::{ErrorCode, OAuthError, invalid_request};
use super::parameters::Parameters;
use super::pkce::{ChallengeMethod, CodeChallenge};
use super::redirect_uri;
use super::resource::{self, Loopback};
use super::scope::{OPENID, Scopes};
use crate::model::id::UserId;
use crate::model::instance::Instance;
use crate::model::reason::Reason;
use crate::model::text_enum::text_enum;

/// Every parameter that may occur once; `resource` may repeat, all others are ignored.
const RECOGNISED: [&str; 21] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "response_mode",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "ui_locales",
    "claims_locales",
    "acr_values",
    "display",
    "claims",
    "request",
    "request_uri",
    "dpop_jkt",
];
const MAX_STATE: usize = 4096;
const MAX_NONCE: usize = 1024;
const MAX_OTHER: usize = 2048;

/// True for the name of a parameter that means something to the endpoint.
pub fn is_recognised(name: &str) -> bool {
    name == "resource" || RECOGNISED.contains(&name)
}

/// A request that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Where the answer goes.
    pub target: ResponseTarget,
    /// The registered URI that allowed `target.redirect_uri`.
    pub registered_redirect_uri: String,
    /// What is asked for, never empty.
    pub scopes: Scopes,
    /// The challenge the code will be bound to.
    pub challenge: Option<CodeChallenge>,
    /// Goes into the id_token unchanged.
    pub nonce: Option<String>,
    /// What the client wants people to be asked.
    pub prompt: Prompt,
    /// The oldest sign-in the client accepts, in seconds.
    pub max_age: Option<i64>,
    /// Prefills the identifier.
    pub login_hint: Option<String>,
    /// The user the client expects.
    pub expected_user: Option<UserId>,
    /// The APIs the tokens are meant for.
    pub resources: Vec<String>,
}

/// Where an authorization response goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseTarget {
    /// The redirect URI as presented.
    pub redirect_uri: String,
    /// Query or form.
    pub mode: ResponseMode,
    /// Echoed as sent.
    pub state: Option<String>,
}

/// How the response travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the redirect's query.
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// The `prompt` parameter (OpenID Connect Core section 3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Nothing may be shown.
    pub none: bool,
    /// Sign in again.
    pub login: bool,
    /// Ask for consent again.
    pub consent: bool,
    /// Choose an account.
    pub select_account: bool,
}

/// Why a request was refused, and who receives the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The person sees a page: nobody knows yet whether the redirect URI can be trusted.
    Page(OAuthError),
    /// The client receives an error.
    Redirect(ResponseTarget, OAuthError),
}

/// Who an `id_token_hint` names, once its signature has been verified (expired is fine).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTokenHint {
    /// `sub`
    pub user_id: UserId,
    /// `aud`
    pub audience: Vec<String>,
}

/// Step 2: the client id, once and not empty.
///
/// # Errors
/// A page with `invalid_request`.
pub fn client_id(parameters: &Parameters) -> Result<&str, Refusal> {
    let client_id = parameters.one("client_id").map_err(|repeated| Refusal::Page(repeated.into()))?;
    client_id.ok_or(Refusal::Page(invalid_request("client_id is missing")))
}

/// Step 3, failed: no such client, or one that is blocked.
pub const UNKNOWN_CLIENT: Refusal = Refusal::Page(
    OAuthError::new(ErrorCode::InvalidClient, "this client is not known here").because(Reason::ClientUnknown, ""),
);

/// Steps 4 to 19. `verify_hint` verifies an id_token's signature and issuer.
///
/// # Errors
/// The first check that fails, as a page (4, 5) or for the client (6 to 19).
pub fn check(
    parameters: &Parameters,
    application: &Application,
    instance: &Instance,
    verify_hint: impl Fn(&str) -> Option<IdTokenHint>,
) -> Result<AuthorizationRequest, Refusal> {
    let redirect_uri = sent_redirect_uri(parameters, application).map_err(Refusal::Page)?; // 4
    let registered = registered_redirect_uri(redirect_uri, application).map_err(Refusal::Page)?; // 5
    let target = ResponseTarget {
        redirect_uri: redirect_uri.to_owned(),
        mode: requested_mode(parameters).unwrap_or(ResponseMode::Query),
        state: parameters.single("state").map(str::to_owned),
    };
    let rest = || -> Result<AuthorizationRequest, OAuthError> {
        no_repetitions(parameters)?; // 6
        requested_mode(parameters).ok_or(invalid_request("response_mode must be query or form_post"))?; // 7
        no_request_object(parameters)?; // 8, 9
        response_type(parameters)?; // 10, 11: every client may use the one grant there is
        let challenge = challenge(parameters, application)?; // 12
        lengths(parameters)?; // 13
        forgery_protection(parameters, challenge.as_ref())?; // 14
        let scopes = scopes(parameters, application, instance)?; // 15
        let prompt = prompt(parameters)?; // 16
        let max_age = max_age(parameters)?; // 17
        claims(parameters)?;
        let expected_user = expected_user(parameters, application, verify_hint)?; // 18
        let loopback = if instance.allows_plain_http_clients() { Loopback::Allowed } else { Loopback::Refused };
        let resources = resource::read(parameters.all("resource"), loopback)?; // 19
        Ok(AuthorizationRequest {
            target: target.clone(),
            registered_redirect_uri: registered.to_owned(),
            scopes,
            challenge,
            nonce: parameters.single("nonce").map(str::to_owned),
            prompt,
            max_age,
            login_hint: parameters.single("login_hint").map(str::to_owned),
            expected_user,
            resources,
        })
    };
    rest().map_err(|error| Refusal::Redirect(target.clone(), error))
}

/// 4: sent once, or left out by a client with one registered URI that does not do OpenID Connect.
fn sent_redirect_uri<'a>(parameters: &'a Parameters, application: &'a Application) -> Result<&'a str, OAuthError> {
    if let Some(sent) = parameters.one("redirect_uri")? {
        return Ok(sent);
    }
    match application.redirect_uris.as_slice() {
        [only] if !asks_openid(parameters) => Ok(only),
        _ => Err(invalid_request("redirect_uri is missing")),
    }
}

/// 5: matches a registered one.
fn registered_redirect_uri<'a>(sent: &str, application: &'a Application) -> Result<&'a str, OAuthError> {
    let registered = application.redirect_uris.iter().find(|registered| redirect_uri::matches(registered, sent));
    let unregistered = invalid_request("redirect_uri does not match a registered one");
    registered.map(String::as_str).ok_or(unregistered.because(Reason::ClientRedirectMismatch, ""))
}

/// 6: two readers must not read two different values (RFC 6749 section 3.1).
fn no_repetitions(parameters: &Parameters) -> Result<(), OAuthError> {
    for name in RECOGNISED {
        parameters.one(name)?;
    }
    Ok(())
}

/// 7: `fragment` is refused too: it would put the code where scripts of the client's page and its links can see it.
fn requested_mode(parameters: &Parameters) -> Option<ResponseMode> {
    match parameters.single("response_mode") {
        None | Some("query") => Some(ResponseMode::Query),
        Some("form_post") => Some(ResponseMode::FormPost),
        Some(_) => None,
    }
}

/// 8, 9: neither is read, and a `request_uri` is never fetched.
fn no_request_object(parameters: &Parameters) -> Result<(), OAuthError> {
    if parameters.single("request").is_some() {
        return Err(OAuthError::new(ErrorCode::RequestNotSupported, "request objects are not supported"));
    }
    if parameters.single("request_uri").is_some() {
        return Err(OAuthError::new(ErrorCode::RequestUriNotSupported, "request_uri is not supported"));
    }
    Ok(())
}

text_enum! {
    /// What the authorization endpoint answers with (RFC 6749 section 3.1.1).
    pub enum ResponseType {
        /// An authorization code.
        Code = "code",
    }
}

/// 10
fn response_type(parameters: &Parameters) -> Result<(), OAuthError> {
    match parameters.single("response_type").map(ResponseType::parse) {
        Some(Some(ResponseType::Code)) => Ok(()),
        None => Err(invalid_request("response_type is missing")),
        Some(None) => Err(OAuthError::new(ErrorCode::UnsupportedResponseType, "response_type must be code")),
    }
}

/// 12: S256 or nothing. An absent method means `plain` (RFC 7636 section 4.3), which is refused as well.
fn challenge(parameters: &Parameters, application: &Application) -> Result<Option<CodeChallenge>, OAuthError> {
    let method = parameters.single("code_challenge_method");
    let Some(challenge) = parameters.single("code_challenge") else {
        return match method {
            Some(_) => Err(invalid_request("code_challenge_method was sent without code_challenge")),
            None if application.needs_pkce() => Err(invalid_request("this client must send a code_challenge")),
            None => Ok(None),
        };
    };
    if method.and_then(ChallengeMethod::parse) != Some(ChallengeMethod::S256) {
        return Err(invalid_request("code_challenge_method must be S256"));
    }
    let challenge = CodeChallenge::parse(challenge);
    challenge.map(Some).ok_or(invalid_request("code_challenge must have 43 base64url characters"))
}

/// 13
fn lengths(parameters: &Parameters) -> Result<(), OAuthError> {
    let limit = |name: &str| match name {
        "state" => MAX_STATE,
        "nonce" => MAX_NONCE,
        _ => MAX_OTHER,
    };
    let too_long = |name: &&str| parameters.single(name).is_some_and(|value| value.len() > limit(name));
    match RECOGNISED.iter().any(too_long) {
        true => Err(invalid_request("a parameter is too long")),
        false => Ok(()),
    }
}

/// 14: without any of the three, anybody could push their own code into somebody's browser (RFC 9700 section 4.7).
fn forgery_protection(parameters: &Parameters, challenge: Option<&CodeChallenge>) -> Result<(), OAuthError> {
    let has_state = parameters.single("state").is_some_and(|state| state.chars().count() >= 8);
    let has_nonce = asks_openid(parameters) && parameters.single("nonce").is_some();
    if has_state || challenge.is_some() || has_nonce {
        return Ok(());
    }
    Err(invalid_request("send a state of at least 8 characters, a code_challenge, or openid with a nonce"))
}

/// 15: well formed, known and allowed; left out, the instance's default cut to what the client may have.
fn scopes(parameters: &Parameters, application: &Application, instance: &Instance) -> Result<Scopes, OAuthError> {
    let refused = |description| OAuthError::new(ErrorCode::InvalidScope, description);
    let requested = parameters.single("scope").map(Scopes::parse).transpose()?.filter(|scopes| !scopes.is_empty());
    if let Some(requested) = requested {
        if !requested.iter().all(|scope| application.scopes.allow(scope)) {
            return Err(refused("a scope is unknown or not allowed for this client"));
        }
        return Ok(requested);
    }
    let default = match instance.settings.oauth.default_scopes.as_slice() {
        [] => Scopes::of_new_application(),
        configured => Scopes::stored(configured.to_vec()),
    };
    let cut = default.cut_to(&application.scopes);
    if cut.is_empty() {
        Err(refused("the request names no scope and there is no default for this client"))
    } else {
        Ok(cut)
    }
}

/// 16
fn prompt(parameters: &Parameters) -> Result<Prompt, OAuthError> {
    let mut prompt = Prompt::default();
    for value in parameters.single("prompt").unwrap_or_default().split(' ').filter(|value| !value.is_empty()) {
        match value {
            "none" => prompt.none = true,
            "login" => prompt.login = true,
            "consent" => prompt.consent = true,
            "select_account" => prompt.select_account = true,
            _ => return Err(invalid_request("prompt has an unknown value")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent || prompt.select_account) {
        return Err(invalid_request("prompt none must stand alone"));
    }
    Ok(prompt)
}

/// 17
fn max_age(parameters: &Parameters) -> Result<Option<i64>, OAuthError> {
    let Some(text) = parameters.single("max_age") else { return Ok(None) };
    let well_formed = text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = well_formed.then(|| text.parse().ok()).flatten();
    seconds.map(Some).ok_or(invalid_request("max_age must be a number of seconds"))
}

/// 17: well formed or an error, otherwise ignored (`claims_parameter_supported` is false).
fn claims(parameters: &Parameters) -> Result<(), OAuthError> {
    let Some(text) = parameters.single("claims") else { return Ok(()) };
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid_request("claims must be a JSON object")),
    }
}

/// 18: ours, and made for this client.
fn expected_user(
    parameters: &Parameters,
    application: &Application,
    verify_hint: impl Fn(&str) -> Option<IdTokenHint>,
) -> Result<Option<UserId>, OAuthError> {
    let Some(text) = parameters.single("id_token_hint") else { return Ok(None) };
    let hint = verify_hint(text).filter(|hint| hint.audience.contains(&application.client_id));
    hint.map(|hint| Some(hint.user_id)).ok_or(invalid_request("id_token_hint is not an id_token of this client"))
}

/// True if the request does OpenID Connect, read before the scope has been checked.
fn asks_openid(parameters: &Parameters) -> bool {
    parameters.all("scope").any(|scopes| scopes.split(' ').any(|scope| scope == OPENID))
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
mod tests;
