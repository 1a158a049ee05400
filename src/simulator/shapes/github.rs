//! GitHub's answers (docs.github.com: "Authorizing OAuth apps", "Troubleshooting OAuth app access token request
//! errors", "Refreshing user access tokens", REST "Users", "Emails", "Organizations").

use super::{ApiFault, Call, Consent, Grant, SIMULATED, Shapes, TokenFault, Tokens, Written};
use serde_json::{Value, json};
use uuid::Uuid;

const ISSUER: &str = "https://github.com/login/oauth";
const TROUBLESHOOTING: &str =
    "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/";
/// Life of the tokens of a GitHub App, in seconds. Those of an OAuth app have no end.
const APP_ACCESS_TTL: u32 = 28_800;
const APP_REFRESH_TTL: u32 = 15_897_600;

pub(super) struct GitHub;

impl Shapes for GitHub {
    fn slug(&self) -> &'static str {
        "github"
    }

    /// A number, which the API writes as one.
    fn user_id(&self, seed: Uuid) -> String {
        (10_000_000 + seed.as_u128() % 1_000_000_000_000).to_string()
    }

    fn code(&self, random: &str) -> String {
        random.chars().take(20).collect()
    }

    fn access_token(&self, random: &str) -> String {
        format!("gho_{random}")
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("ghr_{random}")
    }

    /// An OAuth app gets none.
    fn gives_refresh_token(&self, _consent: Consent) -> bool {
        false
    }

    fn demands(&self, header: &str) -> bool {
        header.eq_ignore_ascii_case("user-agent")
    }

    fn writes_form(&self, accept: Option<&str>) -> bool {
        !accept.is_some_and(|accept| accept.contains("application/json"))
    }

    fn callback(&self, _grant: &Grant<'_>) -> Vec<(&'static str, String)> {
        vec![("iss", ISSUER.to_owned())]
    }

    /// With a refresh token it is the answer to a GitHub App.
    fn tokens(&self, grant: &Grant<'_>, tokens: &Tokens<'_>) -> Value {
        let mut answer = json!({ "access_token": tokens.access, "token_type": "bearer", "scope": granted(grant) });
        if let (Some(refresh), Some(members)) = (tokens.refresh, answer.as_object_mut()) {
            members.insert("expires_in".to_owned(), grant.access_ttl.unwrap_or(APP_ACCESS_TTL).into());
            members.insert("refresh_token".to_owned(), refresh.into());
            members.insert("refresh_token_expires_in".to_owned(), APP_REFRESH_TTL.into());
        }
        answer
    }

    fn api(&self, path: &str, grant: &Grant<'_>) -> Option<Written> {
        let has = |scope: &str| grant.has("user") || grant.has(scope);
        Some(match path {
            "user" => (200, user(grant)),
            "user/emails" if has("user:email") => (200, emails(grant)),
            "user/orgs" if has("read:org") => (200, organizations(grant)),
            "user/orgs" => api_error(
                403,
                "You need at least read:org scope or user scope to list your organizations.",
                "orgs/orgs#list-organizations-for-the-authenticated-user",
            ),
            "user/emails" => {
                api_error(404, "Not Found", "users/emails#list-email-addresses-for-the-authenticated-user")
            }
            _ => api_error(404, "Not Found", ""),
        })
    }

    /// Errors come with status 200; only a client that GitHub does not know learns it from a status.
    fn token_fault(&self, fault: TokenFault, _request_id: Uuid) -> Written {
        let (error, description) = match fault {
            TokenFault::Encoding | TokenFault::Header => return (404, json!({ "error": "Not Found" })),
            TokenFault::Client => {
                ("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
            }
            TokenFault::GrantType => ("unsupported_grant_type", "The grant_type is not supported."),
            TokenFault::Parameter("refresh_token") | TokenFault::RefreshToken => {
                ("bad_refresh_token", "The refresh token passed is incorrect or expired.")
            }
            TokenFault::RedirectUri => (
                "redirect_uri_mismatch",
                "The redirect_uri MUST match the registered callback URL for this application.",
            ),
            TokenFault::Code | TokenFault::Verifier | TokenFault::Parameter(_) => {
                ("bad_verification_code", "The code passed is incorrect or expired.")
            }
        };
        refused(error, description)
    }

    /// The standard codes in GitHub's own codes, where it has such.
    fn error(&self, call: Call, code: &str, _request_id: Uuid) -> Written {
        let own = match (code, call) {
            ("invalid_grant", Call::Refresh) => "bad_refresh_token",
            ("invalid_grant", _) => "bad_verification_code",
            ("invalid_client", _) => "incorrect_client_credentials",
            (other, _) => other,
        };
        match call {
            Call::Token | Call::Refresh => refused(own, SIMULATED),
            _ => api_error(403, SIMULATED, ""),
        }
    }

    fn api_fault(&self, fault: ApiFault, _request_id: Uuid) -> Written {
        match fault {
            ApiFault::Token => api_error(401, "Bad credentials", ""),
            ApiFault::Header => {
                let message = "Request forbidden by administrative rules. Please make sure your request has a \
                               User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required).";
                (403, json!({ "message": message }))
            }
        }
    }
}

fn refused(error: &str, description: &str) -> Written {
    let uri = format!("{TROUBLESHOOTING}#{}", error.replace('_', "-"));
    (200, json!({ "error": error, "error_description": description, "error_uri": uri }))
}

fn api_error(status: u16, message: &str, page: &str) -> Written {
    let page = if page.is_empty() { String::new() } else { format!("/{page}") };
    let documentation_url = format!("https://docs.github.com/rest{page}");
    let body = json!({ "message": message, "documentation_url": documentation_url, "status": status.to_string() });
    (status, body)
}

/// The granted scopes without those that others imply.
fn granted(grant: &Grant<'_>) -> String {
    let is_implied = |scope: &str| grant.has("user") && matches!(scope, "read:user" | "user:email" | "user:follow");
    grant.scope_text.split(',').filter(|scope| !is_implied(scope)).collect::<Vec<_>>().join(",")
}

/// The account's name in addresses: `ada`.
fn login(grant: &Grant<'_>) -> String {
    let person = grant.person;
    let number = Some(&person.last_name).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let name = format!("{}{}", person.first_name, number.map_or("", String::as_str)).to_lowercase();
    let login: String = name.chars().filter(char::is_ascii_alphanumeric).take(39).collect();
    if login.is_empty() { format!("user{}", grant.provider_user_id) } else { login }
}

fn number(grant: &Grant<'_>) -> u64 {
    grant.provider_user_id.parse().unwrap_or_default()
}

/// Nobody shows an address on their profile.
fn user(grant: &Grant<'_>) -> Value {
    let (login, id) = (login(grant), number(grant));
    json!({
        "login": login,
        "id": id,
        "node_id": format!("U_{}", grant.id_of("node").simple()),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "gravatar_id": "",
        "html_url": format!("https://github.com/{login}"),
        "type": "User",
        "site_admin": false,
        "name": grant.person.name(),
        "company": null,
        "blog": "",
        "location": "London",
        "email": null,
        "hireable": null,
        "bio": null,
        "public_repos": 8,
        "followers": 9,
        "following": 1,
        "created_at": "2011-01-25T18:44:36Z",
        "updated_at": "2026-01-01T00:00:00Z",
    })
}

/// The primary address, and the one that GitHub gives to hide it. Somebody without an address has an empty list.
fn emails(grant: &Grant<'_>) -> Value {
    let Some(email) = &grant.person.email else { return json!([]) };
    let hidden = format!("{}+{}@users.noreply.github.com", grant.provider_user_id, login(grant));
    let is_hidden = email.ends_with("@users.noreply.github.com");
    let visibility = if is_hidden { Value::Null } else { "private".into() };
    let mut list = vec![
        json!({ "email": email, "primary": true, "verified": grant.person.email_verified, "visibility": visibility }),
    ];
    if !is_hidden {
        list.push(json!({ "email": hidden, "primary": false, "verified": true, "visibility": null }));
    }
    Value::Array(list)
}

fn organizations(grant: &Grant<'_>) -> Value {
    let id = number(grant) % 100_000;
    let login = format!("{}-works", login(grant));
    json!([{
        "login": login,
        "id": id,
        "node_id": format!("O_{}", grant.id_of("organization").simple()),
        "url": format!("https://api.github.com/orgs/{login}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "description": "",
    }])
}
