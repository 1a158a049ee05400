//! Switches of a simulated provider, for tests: `POST …/state` with JSON (operations.md 18.3).

use super::answer::Answer;
use super::{Request, Simulated};
use crate::model::problem::Error;
use crate::store::simulator as store;
use serde::Deserialize;
use serde_json::json;

/// What can be switched.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switches {
    /// Ends every access token issued until now.
    #[serde(default)]
    expire_access_tokens: bool,
    /// Withdraws the refresh tokens of this provider user id.
    revoke_refresh_token: Option<String>,
}

impl Simulated<'_> {
    /// Acts on the switches. JSON only, so that no page of another origin can post it without a preflight.
    pub(super) async fn switch(&self, request: Request<'_>) -> Result<Answer, Error> {
        let content_type = request.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = content_type.is_some_and(|text| text.starts_with("application/json"));
        let switches = match serde_json::from_slice::<Switches>(request.body) {
            Ok(switches) if is_json => switches,
            Ok(_) => return Ok(Answer::json((415, json!({ "error": "The body must be application/json." })))),
            Err(error) => return Ok(Answer::json((400, json!({ "error": error.to_string() })))),
        };
        let mut connection = self.simulator.db.acquire().await?;
        if switches.expire_access_tokens {
            store::expire_access_tokens(&mut connection, self.place()).await?;
        }
        let mut revoked = 0;
        if let Some(provider_user_id) = &switches.revoke_refresh_token {
            revoked = store::revoke_refresh_tokens(&mut connection, self.place(), provider_user_id).await?;
        }
        Ok(Answer::good(json!({ "revoked_refresh_tokens": revoked })))
    }
}
