//! From a provider's answers to a [`Profile`], by the paths of its descriptor. Calls are made only where a path needs
//! them.

use super::Upstream;
use super::answer::Judge;
use super::descriptor::{self, EmailLevel, Encoding, Method};
use super::error::{Call, UpstreamError};
use super::oidc::{self, NonceCheck};
use super::path::{Expression, Sources, is_true, scalar_text};
use super::provider::Provider;
use super::token::TokenAnswer;
use super::transport::{self, ProviderRequest};
use crate::crypto::ExposeSecret;
use crate::model::profile::{EmailTrust, Profile};
use crate::model::reason::Reason;
use crate::model::text::{add_metadata, person_name, storable};
use crate::model::time::Timestamp;
use crate::model::url_rules::is_web;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// Longest id, in bytes (OpenID Connect Core section 2 gives `sub` as many characters).
const ID_LENGTH: usize = 255;
/// Longest name, username, telephone number or language, in characters; the rest is cut.
const TEXT_LENGTH: usize = 255;
/// Longest address (RFC 5321 section 4.5.3.1: 64 + 1 + 255).
const EMAIL_LENGTH: usize = 320;
/// Longest address of a picture.
const URL_LENGTH: usize = 2048;

/// What a provider has said of somebody when its token endpoint has answered.
pub struct Answers<'a> {
    /// The parameters of the callback.
    pub callback: &'a BTreeMap<String, String>,
    /// The tokens.
    pub tokens: &'a TokenAnswer,
}

/// Who signed in, from everything the provider gave: checks the id_token where there is one, makes the calls that the
/// paths need, and reads the profile. `now` judges the id_token.
pub async fn fetch(
    upstream: &Upstream,
    provider: &Provider,
    answers: &Answers<'_>,
    nonce: NonceCheck<'_>,
    now: Timestamp,
) -> Result<Profile, UpstreamError> {
    let tokens = answers.tokens;
    let parameters = answers.callback.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let mut sources = Sources::new();
    sources.insert("callback".to_owned(), Value::Object(parameters.collect()));
    sources.insert("token".to_owned(), tokens.raw.clone());
    if let Some(claims) = oidc::verify(upstream, provider, tokens, nonce, now).await? {
        sources.insert("id_token".to_owned(), claims);
    }
    let calls = provider.descriptor.calls.iter().zip(&provider.endpoints.calls);
    for (call, url) in calls {
        if !is_needed(provider, call, &sources) {
            continue;
        }
        let asked = match build(provider, tokens, &sources, call, url) {
            Ok(request) => ask(upstream, provider, call, request, now).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(answer) => {
                check_same_subject(provider, &sources, &answer)?;
                sources.insert(call.id.clone(), answer);
            }
            Err(error) if call.optional => tracing::debug!(%error, call = call.id, "an optional call failed"),
            Err(error) => return Err(error),
        }
    }
    read(provider, &sources)
}

/// True if some path gets no value without this call's answer.
fn is_needed(provider: &Provider, call: &descriptor::Call, sources: &Sources) -> bool {
    let is_known = call.unless.as_ref().is_some_and(|path| path.value(sources).is_some());
    let mut paths = provider.descriptor.profile.expressions();
    !is_known && paths.any(|path| path.roots_needed(sources).contains(&call.id.as_str()))
}

async fn ask(
    upstream: &Upstream,
    provider: &Provider,
    call: &descriptor::Call,
    request: ProviderRequest,
    now: Timestamp,
) -> Result<Value, UpstreamError> {
    let answer = transport::send(&upstream.outbound, Call::Profile, request).await?;
    if let Some(signed) = answer.as_answer().signed()
        && let Some(claims) = oidc::signed_answer(upstream, provider, &signed, now).await?
    {
        return Ok(claims);
    }
    let words = &provider.descriptor.errors;
    Judge { call: Call::Profile, success: call.success.as_ref(), words }.read(&answer.as_answer())
}

fn build(
    provider: &Provider,
    tokens: &TokenAnswer,
    sources: &Sources,
    call: &descriptor::Call,
    url: &str,
) -> Result<ProviderRequest, UpstreamError> {
    let url = fill_from_answers(url, sources).and_then(|url| Url::parse(&url).ok());
    let url = url.ok_or(UpstreamError::new(Call::Profile, Reason::ProviderWrongType, "url"))?;
    let access_token = tokens.access_token.expose_secret();
    let secret = provider.client_secret.as_ref().map_or("", ExposeSecret::expose_secret);
    let fill = |template: &str| {
        let filled = template.replace("{client_id}", &provider.client_id).replace("{access_token}", access_token);
        filled.replace("{client_secret}", secret)
    };
    let mut ask = match call.method {
        Method::Get => ProviderRequest::get(url),
        Method::Post => ProviderRequest::post(url),
        Method::Delete => ProviderRequest::delete(url),
    };
    ask.sensitive_header("authorization", &format!("Bearer {access_token}"));
    for (name, value) in &call.headers {
        let value = value.replace("{product}", "Vestibule").replace("{version}", env!("CARGO_PKG_VERSION"));
        ask.header(name, &value.replace("{client_id}", &provider.client_id));
    }
    let members: Vec<(&str, String)> = call.body.iter().map(|(name, value)| (name.as_str(), fill(value))).collect();
    let members: Vec<(&str, &str)> = members.iter().map(|(name, value)| (*name, value.as_str())).collect();
    match call.encoding {
        Some(Encoding::Form) => ask.form(&members),
        Some(Encoding::Json) => ask.json(&members),
        None => {}
    }
    Ok(ask)
}

/// Fills `{root.path}` with values of earlier answers, percent-encoded so that a value stays one segment.
/// `None` if a value is missing.
fn fill_from_answers(template: &str, sources: &Sources) -> Option<String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (path, after) = after.split_once('}')?;
        let value = Expression::parse(path).ok()?.text(sources)?;
        url.push_str(before);
        url.extend(
            url::form_urlencoded::byte_serialize(value.as_bytes()).map(|part| if part == "+" { "%20" } else { part }),
        );
        rest = after;
    }
    url.push_str(rest);
    Some(url)
}

/// The `sub` of an answer must be the id_token's (OpenID Connect Core section 5.3.2): else the access token is
/// somebody else's.
fn check_same_subject(provider: &Provider, sources: &Sources, answer: &Value) -> Result<(), UpstreamError> {
    let compares = provider.descriptor.oidc.as_ref().is_some_and(|oidc| oidc.compares_sub);
    let claimed = sources.get("id_token").and_then(|claims| claims.get("sub"));
    match (claimed, answer.get("sub")) {
        (Some(claimed), Some(answered)) if compares && claimed != answered => {
            Err(UpstreamError::new(Call::Profile, Reason::IdentityUnusable, "differs"))
        }
        _ => Ok(()),
    }
}

/// Reads the profile out of what is known.
fn read(provider: &Provider, sources: &Sources) -> Result<Profile, UpstreamError> {
    let paths = &provider.descriptor.profile;
    let text = |target: &str, path: &Option<Expression>| {
        let found = path.as_ref().and_then(|path| path.text(sources));
        found.or_else(|| paths.defaults.get(target).cloned()).and_then(|text| clean(&text, TEXT_LENGTH))
    };
    let whole_name = text("name", &paths.name);
    let (mut first_name, mut last_name) = (text("first_name", &paths.first_name), text("last_name", &paths.last_name));
    if first_name.is_none() && last_name.is_none() {
        (first_name, last_name) = whole_name.as_deref().map_or((None, None), split_name);
    }
    let (email, email_trust) = email(provider, sources);
    let avatar_url = paths.avatar_url.as_ref().and_then(|path| path.text(sources));
    let avatar_url = avatar_url.or_else(|| paths.defaults.get("avatar_url").cloned()).filter(|url| is_web_address(url));
    Ok(Profile {
        provider_user_id: id(paths.provider_user_id.as_ref(), sources)?,
        email,
        email_trust,
        first_name,
        last_name,
        username: text("username", &paths.username),
        avatar_url,
        phone: text("phone", &paths.phone),
        locale: text("locale", &paths.locale),
        public_metadata: public_metadata(provider, sources),
    })
}

/// The claims that the operator maps into the account's metadata. They are shown with every answer about the user, so
/// all together have the size that metadata has elsewhere: what does not fit is left out, and the log says so.
fn public_metadata(provider: &Provider, sources: &Sources) -> Map<String, Value> {
    let paths = &provider.descriptor.profile;
    let mut metadata = Map::new();
    for (name, path) in &paths.public_metadata {
        let default = || paths.defaults.get(&format!("public_metadata.{name}")).map(|text| text.as_str().into());
        let Some(value) = path.value(sources).or_else(default) else { continue };
        if !add_metadata(&mut metadata, name, storable(value)) {
            tracing::warn!(
                provider = provider.descriptor.slug,
                claim = name,
                "a claim is too large for metadata and was left out"
            );
        }
    }
    metadata
}

/// The stable id, byte for byte: two ids that differ in a blank are two people. So nothing is trimmed or cut here.
fn id(path: Option<&Expression>, sources: &Sources) -> Result<String, UpstreamError> {
    let found = path.and_then(|path| path.value(sources)).and_then(|value| scalar_text(&value));
    let usable = found.filter(|id| id.len() <= ID_LENGTH && !id.contains(char::is_control));
    usable.ok_or(UpstreamError::new(Call::Profile, Reason::IdentityUnusable, "absent"))
}

/// The address and what the provider's claim about it is worth.
fn email(provider: &Provider, sources: &Sources) -> (Option<String>, EmailTrust) {
    let paths = &provider.descriptor.profile;
    if provider.email_level == EmailLevel::None {
        return (None, EmailTrust::Unverified);
    }
    let found = paths.email.as_ref().and_then(|path| path.text(sources));
    let found = found.or_else(|| paths.defaults.get("email").cloned());
    let Some(email) = found.map(|text| text.trim().to_owned()).filter(|text| looks_like_address(text)) else {
        return (None, EmailTrust::Unverified);
    };
    // The operator's default speaks for a claim that is absent. One that is there with nothing in it says no.
    let absent = paths.defaults.get("email_verified").is_some_and(|text| is_true(&Value::from(text.as_str())));
    let holds = |path: &Expression| match path.value(sources) {
        Some(value) => is_true(&value),
        None => absent && !path.is_given(sources),
    };
    let trust = match provider.email_level {
        EmailLevel::ProviderPolicy => EmailTrust::ProviderPolicy,
        // `all` of nothing is true: without a path only the operator's default can say yes.
        EmailLevel::Claim if paths.email_verified.is_empty() && !absent => EmailTrust::Unverified,
        EmailLevel::Claim if paths.email_verified.iter().all(holds) => EmailTrust::Verified,
        EmailLevel::Claim | EmailLevel::Never | EmailLevel::None => EmailTrust::Unverified,
    };
    (Some(email), trust)
}

/// Something that could be an address at all; the rules of addresses are the model's.
fn looks_like_address(text: &str) -> bool {
    let parts = text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    parts && text.len() <= EMAIL_LENGTH && !text.contains(|letter: char| letter.is_control() || letter.is_whitespace())
}

fn is_web_address(text: &str) -> bool {
    let web = |url: Url| is_web(&url) && url.host().is_some();
    text.len() <= URL_LENGTH && !text.contains(char::is_control) && Url::parse(text).is_ok_and(web)
}

/// The text without what nobody sees (a NUL does not fit a database's text) and surrounding blanks, cut to `length`
/// characters; `None` if nothing is left.
fn clean(text: &str, length: usize) -> Option<String> {
    let clean: String = person_name(text).trim().chars().take(length).collect();
    (!clean.is_empty()).then(|| clean.trim_end().to_owned())
}

/// The first word and the rest. A guess: nothing but a suggestion for a new user's names may come of it.
fn split_name(name: &str) -> (Option<String>, Option<String>) {
    match name.split_once(char::is_whitespace) {
        Some((first, rest)) => (Some(first.to_owned()), clean(rest, TEXT_LENGTH)),
        None => (Some(name.to_owned()), None),
    }
}
