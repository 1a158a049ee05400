//! Revoking a token at the provider (RFC 7009), in exactly the provider's form.

use super::answer::Judge;
use super::descriptor::{ClientAuth, Encoding, Method};
use super::error::{Call, UpstreamError};
use super::provider::Provider;
use super::token::basic;
use super::transport::{self, ProviderRequest};
use crate::crypto::{ExposeSecret, Secret};
use crate::model::reason::Reason;
use crate::outbound::Outbound;
use url::Url;

/// Revokes `token`. Does nothing at a provider that has no such call.
///
/// # Errors
/// The provider's refusal, or why it could not be asked. What a success says is not looked at: many say nothing.
pub async fn revoke(outbound: &Outbound, provider: &Provider, token: &Secret) -> Result<(), UpstreamError> {
    let Some(ask) = build(provider, token)? else { return Ok(()) };
    let received = transport::send(outbound, Call::Revoke, ask).await?;
    let answer = received.as_answer();
    if (200..=299).contains(&answer.status) {
        return Ok(());
    }
    let judge = Judge { call: Call::Revoke, success: None, words: &provider.descriptor.errors };
    judge.read(&answer).map(drop)
}

fn build(provider: &Provider, token: &Secret) -> Result<Option<ProviderRequest>, UpstreamError> {
    let Some((revoke, url)) = provider.descriptor.revoke.as_ref().zip(provider.endpoints.revoke.as_ref()) else {
        return Ok(None);
    };
    let url = Url::parse(&url.replace("{client_id}", &provider.client_id));
    let url = url.map_err(|_| UpstreamError::new(Call::Revoke, Reason::EndpointRefused, "blocked"))?;
    let mut ask = match revoke.method {
        Method::Get => ProviderRequest::get(url),
        Method::Post => ProviderRequest::post(url),
        Method::Delete => ProviderRequest::delete(url),
    };
    let filled: Vec<(&str, String)> = revoke
        .params
        .iter()
        .map(|(name, value)| (name.as_str(), value.replace("{token}", token.expose_secret())))
        .collect();
    let mut members: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let id = (provider.descriptor.authorize.client_id_param.as_str(), provider.client_id.as_str());
    let secret = provider.client_secret.as_ref().map(ExposeSecret::expose_secret);
    match (revoke.client_auth, secret) {
        (ClientAuth::ClientSecretBasic, Some(secret)) => ask.sensitive_header("authorization", &basic(id.1, secret)),
        (ClientAuth::ClientSecretPost, Some(secret)) => members.extend([id, ("client_secret", secret)]),
        (ClientAuth::None, _) => {}
        (_, None) => members.push(id),
    }
    for (name, value) in &provider.descriptor.token.headers {
        ask.header(name, value);
    }
    match revoke.encoding {
        Encoding::Form => ask.form(&members),
        Encoding::Json => ask.json(&members),
    }
    Ok(Some(ask))
}
