//! The provider's own API, as far as profiles and demonstrations need it.

use super::answer::Answer;
use super::faults::Call;
use super::shapes::ApiFault;
use super::{Request, Simulated};
use crate::model::problem::{Error, code};
use crate::store::simulator::{self as store, TokenKind};
use http::header::AUTHORIZATION;

impl Simulated<'_> {
    /// Answers an API call, with its fault if it has one.
    pub(super) async fn api(&self, request: Request<'_>) -> Result<Answer, Error> {
        let seen = self.seen(Call::Userinfo, bearer(request)).await?;
        if let Some(answer) = seen.instead(self) {
            return Ok(answer);
        }
        let mut connection = self.simulator.db.acquire().await?;
        let refuse = |fault| Ok(seen.spoil(Answer::json(self.shapes.api_fault(fault, self.request_id()))));
        // The token is judged before anything is complained of: a stranger learns nothing.
        let issued = match bearer(request) {
            Some(token) => store::valid(&mut connection, self.place(), TokenKind::Access, self.hash(token)).await?,
            None => None,
        };
        let Some(issued) = issued else { return refuse(ApiFault::Token) };
        if !self.has_headers(request) {
            return refuse(ApiFault::Header);
        }
        let mut person = self.person(&mut connection, &issued.provider_user_id).await?;
        if let Some(content) = seen.content() {
            content.retell(&mut person);
        }
        let scope_text = self.scope_text(&issued.scopes);
        let grant = self.grant_of(&issued, &person, &scope_text);
        let Some((status, mut answer)) = self.shapes.api(request.path, &grant) else {
            return Err(code::RESOURCE_NOT_FOUND.into());
        };
        if let Some(content) = seen.content() {
            content.retell_id(&mut answer, &issued.provider_user_id);
        }
        Ok(seen.spoil(Answer::json((status, answer))))
    }

    /// True if every header is there that the provider demands with a call.
    fn has_headers(&self, request: Request<'_>) -> bool {
        let sent = self.descriptor().calls.iter().flat_map(|call| call.headers.keys());
        let mut demanded = sent.filter(|name| self.shapes.demands(name));
        demanded.all(|name| request.headers.contains_key(name.as_str()))
    }
}

fn bearer<'r>(request: Request<'r>) -> Option<&'r str> {
    let (scheme, token) = request.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
