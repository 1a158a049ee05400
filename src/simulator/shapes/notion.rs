//! Notion's answers (developers.notion.com: authorization, "Retrieve your token's bot user", "List all users", errors).

use super::{ApiFault, Call, Grant, SIMULATED, Shapes, TokenFault, Tokens, Written, describe};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) struct Notion;

impl Shapes for Notion {
    fn slug(&self) -> &'static str {
        "notion"
    }

    fn user_id(&self, seed: Uuid) -> String {
        seed.to_string()
    }

    fn code(&self, random: &str) -> String {
        format!("03{random}")
    }

    fn access_token(&self, random: &str) -> String {
        format!("ntn_{random}")
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("nrt_{random}")
    }

    /// No `scope`; `expires_in` only where a test gives these tokens an end.
    fn tokens(&self, grant: &Grant<'_>, tokens: &Tokens<'_>) -> Value {
        let mut answer = json!({
            "access_token": tokens.access,
            "token_type": "bearer",
            "refresh_token": tokens.refresh,
            "bot_id": grant.id_of("bot"),
            "workspace_icon": null,
            "workspace_name": workspace_name(grant),
            "workspace_id": grant.id_of("workspace"),
            "owner": owner(grant),
            "duplicated_template_id": null,
            "request_id": grant.request_id,
        });
        if let (Some(seconds), Some(members)) = (grant.access_ttl, answer.as_object_mut()) {
            members.insert("expires_in".to_owned(), seconds.into());
        }
        answer
    }

    fn api(&self, path: &str, grant: &Grant<'_>) -> Option<Written> {
        match path {
            "v1/users/me" => Some((200, bot(grant))),
            "v1/users" => Some((
                200,
                json!({
                    "object": "list",
                    "results": [user(grant), bot(grant)],
                    "next_cursor": null,
                    "has_more": false,
                    "type": "user",
                    "user": {},
                    "request_id": grant.request_id,
                }),
            )),
            _ => None,
        }
    }

    fn token_fault(&self, fault: TokenFault, request_id: Uuid) -> Written {
        let (status, error) = match fault {
            TokenFault::Encoding => return api_error(400, "invalid_json", "Error parsing JSON body.", request_id),
            TokenFault::Header => return missing_version(request_id),
            TokenFault::Client => (401, "invalid_client"),
            TokenFault::GrantType => (400, "unsupported_grant_type"),
            TokenFault::Parameter(_) => (400, "invalid_request"),
            TokenFault::Code | TokenFault::RedirectUri | TokenFault::Verifier | TokenFault::RefreshToken => {
                (400, "invalid_grant")
            }
        };
        (status, json!({ "error": error, "error_description": describe(fault), "request_id": request_id }))
    }

    fn api_fault(&self, fault: ApiFault, request_id: Uuid) -> Written {
        match fault {
            ApiFault::Token => api_error(401, "unauthorized", "API token is invalid.", request_id),
            ApiFault::Header => missing_version(request_id),
        }
    }

    fn error(&self, call: Call, code: &str, request_id: Uuid) -> Written {
        let status = if code == "invalid_client" { 401 } else { 400 };
        match call {
            Call::Userinfo => api_error(status, code, SIMULATED, request_id),
            _ => (status, json!({ "error": code, "error_description": SIMULATED, "request_id": request_id })),
        }
    }
}

fn missing_version(request_id: Uuid) -> Written {
    api_error(400, "missing_version", "The header Notion-Version is missing.", request_id)
}

fn api_error(status: u16, code: &str, message: &str, request_id: Uuid) -> Written {
    let body =
        json!({ "object": "error", "status": status, "code": code, "message": message, "request_id": request_id });
    (status, body)
}

fn workspace_name(grant: &Grant<'_>) -> String {
    format!("{}'s Notion", grant.person.first_name)
}

fn owner(grant: &Grant<'_>) -> Value {
    json!({ "type": "user", "user": user(grant) })
}

/// A person without an address has an empty `person`, as with an integration that may not see addresses.
fn user(grant: &Grant<'_>) -> Value {
    let person = grant.person.email.as_ref().map_or_else(|| json!({}), |email| json!({ "email": email }));
    json!({
        "object": "user",
        "id": grant.provider_user_id,
        "name": grant.person.name(),
        "avatar_url": null,
        "type": "person",
        "person": person,
    })
}

fn bot(grant: &Grant<'_>) -> Value {
    json!({
        "object": "user",
        "id": grant.id_of("bot"),
        "name": "Vestibule (simulated)",
        "avatar_url": null,
        "type": "bot",
        "bot": { "owner": owner(grant), "workspace_name": workspace_name(grant) },
    })
}
