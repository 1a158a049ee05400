//! The document that describes the authorization server (RFC 8414, OpenID Connect Discovery section 3). One object
//! serves both well-known paths. What is not built is not named.

use serde_json::{Value, json};

use super::scope::BUILT_IN;

/// The document for an issuer (an origin, without trailing slash).
pub fn document(issuer: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    let scopes: Vec<&str> = BUILT_IN.iter().map(|scope| scope.name).collect();
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "token_endpoint": at("/oauth/token"),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "introspection_endpoint": at("/oauth/token_info"),
        "revocation_endpoint": at("/oauth/token/revoke"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        // MCP clients refuse a server that lacks this member.
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "azp", "at_hash", "amr", "email", "email_verified",
            "name", "given_name", "family_name", "preferred_username", "picture", "updated_at",
        ],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        // Written out: where it is absent, it means true.
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "backchannel_logout_supported": false,
        "backchannel_logout_session_supported": false,
        "frontchannel_logout_supported": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_on_the_issuer() {
        let document = document("https://id.example");
        assert_eq!(document["issuer"], "https://id.example");
        let members = document.as_object().unwrap();
        let addresses = members.iter().filter(|(name, _)| name.ends_with("_endpoint") || name.ends_with("_uri"));
        for (name, value) in addresses {
            assert!(value.as_str().unwrap().starts_with("https://id.example/"), "{name}");
        }
        assert_eq!(document["request_uri_parameter_supported"], false);
        assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    }
}
