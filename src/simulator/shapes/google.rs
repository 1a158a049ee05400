//! Google's answers (developers.google.com/identity/openid-connect/openid-connect, …/protocols/oauth2/web-server).

use super::{ApiFault, Consent, Grant, Shapes, TokenFault, Tokens, Written, describe};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const ISSUER: &str = "https://accounts.google.com";

pub(super) struct Google;

impl Shapes for Google {
    fn slug(&self) -> &'static str {
        "google"
    }

    /// 21 decimal digits.
    fn user_id(&self, seed: Uuid) -> String {
        format!("1{:020}", seed.as_u128() % 10u128.pow(20))
    }

    fn code(&self, random: &str) -> String {
        format!("4/0A{random}")
    }

    fn access_token(&self, random: &str) -> String {
        format!("ya29.a0{random}")
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("1//0{random}")
    }

    /// `access_type=offline` is a fixed parameter of ours; what remains is the consent.
    fn gives_refresh_token(&self, consent: Consent) -> bool {
        consent == Consent::Given
    }

    fn callback(&self, grant: &Grant<'_>) -> Vec<(&'static str, String)> {
        vec![
            ("scope", grant.scope_text.to_owned()),
            ("authuser", "0".to_owned()),
            ("prompt", grant.prompt.unwrap_or("consent").to_owned()),
        ]
    }

    fn id_token(&self, grant: &Grant<'_>, at_hash: &str) -> Option<Value> {
        if !grant.has("openid") {
            return None;
        }
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), ISSUER.into());
        claims.insert("azp".to_owned(), grant.client_id.into());
        claims.insert("aud".to_owned(), grant.client_id.into());
        claims.append(&mut person(grant));
        claims.insert("at_hash".to_owned(), at_hash.into());
        if let Some(nonce) = grant.nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        claims.insert("iat".to_owned(), grant.now.into());
        claims.insert("exp".to_owned(), (grant.now + 3600).into());
        Some(Value::Object(claims))
    }

    fn tokens(&self, grant: &Grant<'_>, tokens: &Tokens<'_>) -> Value {
        let mut answer = Map::new();
        answer.insert("access_token".to_owned(), tokens.access.into());
        // A second less than the documented hour.
        if let Some(seconds) = grant.access_ttl {
            answer.insert("expires_in".to_owned(), seconds.saturating_sub(1).into());
        }
        if let Some(refresh) = tokens.refresh {
            answer.insert("refresh_token".to_owned(), refresh.into());
        }
        answer.insert("scope".to_owned(), grant.scope_text.into());
        answer.insert("token_type".to_owned(), "Bearer".into());
        if let Some(id) = tokens.id {
            answer.insert("id_token".to_owned(), id.into());
        }
        Value::Object(answer)
    }

    fn api(&self, path: &str, grant: &Grant<'_>) -> Option<Written> {
        (path == "v1/userinfo").then(|| (200, Value::Object(person(grant))))
    }

    fn token_fault(&self, fault: TokenFault, _request_id: Uuid) -> Written {
        let (status, error, description) = match fault {
            TokenFault::Client => (401, "invalid_client", "Unauthorized".to_owned()),
            TokenFault::GrantType => (400, "unsupported_grant_type", "Invalid grant_type".to_owned()),
            TokenFault::Encoding | TokenFault::Header => (400, "invalid_request", "Bad Request".to_owned()),
            TokenFault::Parameter(name) => (400, "invalid_request", format!("Missing required parameter: {name}")),
            TokenFault::Code => (400, "invalid_grant", "Malformed auth code.".to_owned()),
            TokenFault::RedirectUri => (400, "redirect_uri_mismatch", "Bad Request".to_owned()),
            TokenFault::Verifier => (400, "invalid_grant", describe(fault)),
            TokenFault::RefreshToken => (400, "invalid_grant", "Token has been expired or revoked.".to_owned()),
        };
        (status, json!({ "error": error, "error_description": description }))
    }

    fn api_fault(&self, _fault: ApiFault, _request_id: Uuid) -> Written {
        (401, json!({ "error": "invalid_request", "error_description": "Invalid Credentials" }))
    }
}

/// What id_token and userinfo say about a person, as far as the scopes go.
fn person(grant: &Grant<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), grant.provider_user_id.into());
    if grant.has("profile") {
        claims.insert("name".to_owned(), grant.person.name().into());
        let picture = format!("https://lh3.googleusercontent.com/a/{}=s96-c", grant.provider_user_id);
        claims.insert("picture".to_owned(), picture.into());
        claims.insert("given_name".to_owned(), grant.person.first_name.as_str().into());
        if !grant.person.last_name.is_empty() {
            claims.insert("family_name".to_owned(), grant.person.last_name.as_str().into());
        }
    }
    if grant.has("email")
        && let Some(email) = &grant.person.email
    {
        claims.insert("email".to_owned(), email.as_str().into());
        claims.insert("email_verified".to_owned(), grant.person.email_verified.into());
    }
    claims
}
