//! The endpoint that revokes tokens (RFC 7009): one token ends all that came from the same approval.

use super::answer::Answer;
use super::client::read_body;
use super::shapes::TokenFault;
use super::{Request, Simulated};
use crate::model::problem::Error;
use crate::store::simulator as store;
use crate::upstream::descriptor::{ClientAuth, Method};
use serde_json::json;

impl Simulated<'_> {
    /// True if this is where, and how, the provider is notified that a token is not wanted any more.
    pub(super) fn is_revocation(&self, request: Request<'_>) -> bool {
        let Some((revoke, url)) = self.descriptor().revoke.as_ref().zip(self.provider.endpoints.revoke.as_ref()) else {
            return false;
        };
        let method = match revoke.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Delete => http::Method::DELETE,
        };
        let url = url.replace("{client_id}", &self.provider.client_id);
        *request.method == method && self.path_of(&url).as_deref() == Some(request.path)
    }

    /// Revokes. A token that nobody has is answered like one that was revoked (RFC 7009 section 2.2).
    pub(super) async fn revoke(&self, request: Request<'_>) -> Result<Answer, Error> {
        let refuse = |fault| Ok(Answer::json(self.shapes.token_fault(fault, self.request_id())));
        let Some(revoke) = &self.descriptor().revoke else { return refuse(TokenFault::GrantType) };
        let Some(members) = read_body(request, revoke.encoding) else { return refuse(TokenFault::Encoding) };
        if revoke.client_auth != ClientAuth::None && !self.is_our_client(request, &members, revoke.client_auth) {
            return refuse(TokenFault::Client);
        }
        let name = revoke.params.iter().find(|(_, value)| *value == "{token}").map(|(name, _)| name.as_str());
        let Some(token) = name.and_then(|name| members.get(name)) else {
            return refuse(TokenFault::Parameter("token"));
        };
        let mut connection = self.simulator.db.acquire().await?;
        store::end_family(&mut connection, self.place(), self.hash(token), None).await?;
        Ok(Answer::good(json!({})))
    }
}
