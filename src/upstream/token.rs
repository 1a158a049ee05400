//! The token endpoint: code for tokens, refresh token for tokens, each in exactly the provider's form.

use super::answer::{Answer, Judge};
use super::descriptor::{ClientAuth, Encoding, Exchange, Token};
use super::error::{Call, UpstreamError};
use super::provider::Provider;
use super::request::Verifier;
use super::transport::{self, ProviderRequest};
use crate::crypto::{ExposeSecret, Secret};
use crate::model::reason::Reason;
use crate::outbound::Outbound;
use base64::Engine;
use serde_json::Value;
use url::Url;

/// A code that came back, to be traded once.
#[derive(Debug)]
pub struct CodeExchange<'a> {
    /// The authorization code.
    pub code: &'a Secret,
    /// The flow's verifier, exactly where the request carried its challenge.
    pub verifier: Option<&'a Verifier>,
    /// The text of the callback address that the request carried.
    pub redirect_uri: &'a str,
}

/// What a token endpoint gave.
#[derive(Clone)]
pub struct TokenAnswer {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token; `None` keeps a stored one (RFC 6749 section 6).
    pub refresh_token: Option<Secret>,
    /// The id_token, not yet checked.
    pub id_token: Option<Secret>,
    /// `bearer`, however spelled, where the provider says it.
    pub token_type: Option<String>,
    /// Life of the access token in seconds; `None` = the provider does not say, and nobody guesses.
    pub expires_in: Option<i64>,
    /// Granted scopes in the provider's spelling, each once; `None` = the requested ones.
    pub scopes: Option<Vec<String>>,
    /// The whole answer without the three tokens: root `token` of profile paths.
    pub raw: Value,
}

impl std::fmt::Debug for TokenAnswer {
    /// Shows no token, and nothing of `raw`, which may hold personal details.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("refresh_token", &self.refresh_token.is_some())
            .field("id_token", &self.id_token.is_some())
            .field("expires_in", &self.expires_in)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Trades a code for tokens (RFC 6749 section 4.1.3). Sent once: a repeated code looks like theft to a provider.
pub async fn exchange(
    outbound: &Outbound,
    provider: &Provider,
    exchange: &CodeExchange<'_>,
) -> Result<TokenAnswer, UpstreamError> {
    let mut members = vec![
        ("grant_type", "authorization_code"),
        ("code", exchange.code.expose_secret()),
        ("redirect_uri", exchange.redirect_uri),
    ];
    members.extend(exchange.verifier.map(|verifier| ("code_verifier", verifier.expose())));
    ask(outbound, provider, Call::Token, members).await
}

/// Trades a refresh token for tokens (RFC 6749 section 6). Sent once: a repeated single-use token looks like theft.
pub async fn refresh(
    outbound: &Outbound,
    provider: &Provider,
    refresh_token: &Secret,
) -> Result<TokenAnswer, UpstreamError> {
    let members = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    ask(outbound, provider, Call::Refresh, members).await
}

/// Trades an access token that still lives for one that lives longer. The old one is not used up by it.
pub async fn exchange_long_lived(
    outbound: &Outbound,
    provider: &Provider,
    exchange: &Exchange,
    access_token: &Secret,
) -> Result<TokenAnswer, UpstreamError> {
    let token = (exchange.token_param.as_str(), access_token.expose_secret());
    ask(outbound, provider, Call::Refresh, vec![("grant_type", exchange.grant_type.as_str()), token]).await
}

async fn ask<'a>(
    outbound: &Outbound,
    provider: &'a Provider,
    call: Call,
    members: Vec<(&'a str, &'a str)>,
) -> Result<TokenAnswer, UpstreamError> {
    let endpoint = match call {
        Call::Refresh => &provider.endpoints.refresh,
        _ => &provider.endpoints.token,
    };
    let ask = build(provider, endpoint, members);
    let answer = transport::send(outbound, call, ask).await?;
    let token = &provider.descriptor.token;
    let judge = Judge { call, success: token.success.as_ref(), words: &provider.descriptor.errors };
    read(token, &judge, &answer.as_answer())
}

/// The request, with the client's authentication where the provider wants it: in another place it is `invalid_client`.
fn build<'a>(provider: &'a Provider, endpoint: &Url, mut members: Vec<(&'a str, &'a str)>) -> ProviderRequest {
    let token = &provider.descriptor.token;
    let mut ask = ProviderRequest::post(endpoint.clone());
    let id = (provider.descriptor.authorize.client_id_param.as_str(), provider.client_id.as_str());
    let secret = provider.client_secret.as_ref().map(ExposeSecret::expose_secret);
    match (token.client_auth, secret) {
        (ClientAuth::ClientSecretBasic, Some(secret)) => ask.sensitive_header("authorization", &basic(id.1, secret)),
        (ClientAuth::ClientSecretPost, Some(secret)) => members.extend([id, ("client_secret", secret)]),
        (ClientAuth::None, _) | (_, None) => members.push(id),
    }
    for (name, value) in &token.headers {
        ask.header(name, value);
    }
    match token.encoding {
        Encoding::Form => ask.form(&members),
        Encoding::Json => ask.json(&members),
    }
    ask
}

/// HTTP Basic with both parts form-encoded first (RFC 6749 section 2.3.1): a colon in an id would move the border.
pub(super) fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// Reads a token answer. Only what the rest of this crate relies on is typed; the rest stays in `raw`.
fn read(token: &Token, judge: &Judge<'_>, answer: &Answer<'_>) -> Result<TokenAnswer, UpstreamError> {
    let mut raw = judge.read(answer)?;
    let wrong = |member| UpstreamError::new(judge.call, Reason::ProviderWrongType, member).with_status(answer.status);
    // An error behind status 200 where the file knows no success test: the error is worth more than "no access_token".
    if raw.get("access_token").is_none() && raw.get("error").is_some_and(|error| !error.is_null()) {
        return Err(judge.refused(answer, raw));
    }
    let access_token = take_secret(&mut raw, "access_token").map_err(wrong)?.ok_or_else(|| wrong("access_token"))?;
    Ok(TokenAnswer {
        access_token,
        refresh_token: take_secret(&mut raw, "refresh_token").map_err(wrong)?,
        id_token: take_secret(&mut raw, "id_token").map_err(wrong)?,
        token_type: raw.get("token_type").and_then(Value::as_str).filter(|text| is_storable(text)).map(str::to_owned),
        expires_in: expires_in(raw.get("expires_in")).map_err(wrong)?,
        scopes: scopes(token, &raw).map_err(wrong)?,
        raw,
    })
}

/// Removes a token from the answer. Absent, null and empty are none; anything that is not visible ASCII (RFC 6749
/// appendix A) could not be sent in a header later.
fn take_secret(raw: &mut Value, member: &'static str) -> Result<Option<Secret>, &'static str> {
    match raw.as_object_mut().and_then(|members| members.remove(member)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) => Ok(Some(text.into())),
        Some(_) => Err(member),
    }
}

/// Seconds as a whole number, or as digits in a string (some providers). More than ten years is no promise but a
/// number gone wrong; it would overflow times.
fn expires_in(value: Option<&Value>) -> Result<Option<i64>, &'static str> {
    const TEN_YEARS: i64 = 315_576_000;
    let seconds = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    seconds.filter(|seconds| *seconds >= 0).map(|seconds| Some(seconds.min(TEN_YEARS))).ok_or("expires_in")
}

/// True for a word that is one: no control character, which means nothing here, and no NUL, which Postgres refuses.
fn is_storable(word: &str) -> bool {
    !word.contains(char::is_control)
}

/// Granted scopes from text or a list; each once, in the provider's order.
fn scopes(token: &Token, raw: &Value) -> Result<Option<Vec<String>>, &'static str> {
    let names: Vec<&str> = match raw.get(&token.scope_member) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => {
            text.split(|letter: char| letter.is_whitespace() || token.scope_separator.contains(letter)).collect()
        }
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or("scope")?,
        Some(_) => return Err("scope"),
    };
    let mut scopes: Vec<String> = Vec::new();
    for name in names {
        if !name.is_empty() && is_storable(name) && !scopes.iter().any(|known| known == name) {
            scopes.push(name.to_owned());
        }
    }
    Ok(Some(scopes))
}
