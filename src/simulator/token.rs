//! The token endpoint: codes and refresh tokens become tokens.

use super::answer::Answer;
use super::authorize::Details;
use super::client::Members;
use super::people::Person;
use super::shapes::{Consent, Grant, TokenFault, Tokens};
use super::{Request, Simulated};
use crate::crypto::secret::same;
use crate::model::problem::Error;
use crate::store::simulator::{self as store, Issued, TokenKind};
use crate::upstream::descriptor::Rotates;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::PgConnection;

/// Why there are no tokens.
enum Failed {
    /// The client's fault, told in the provider's words.
    Refused(TokenFault),
    /// Ours.
    Fault(Error),
}

impl From<TokenFault> for Failed {
    fn from(fault: TokenFault) -> Self {
        Self::Refused(fault)
    }
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

impl Simulated<'_> {
    /// Answers a token call.
    pub(super) async fn token(&self, request: Request<'_>) -> Result<Answer, Error> {
        match self.grant(request).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Refused(fault)) => Ok(Answer::json(self.shapes.token_fault(fault, self.request_id()))),
            Err(Failed::Fault(error)) => Err(error),
        }
    }

    async fn grant(&self, request: Request<'_>) -> Result<Answer, Failed> {
        let members = self.read_client(request)?;
        match members.get("grant_type").map(String::as_str) {
            Some("authorization_code") => self.redeem(&members).await,
            Some("refresh_token") => self.refresh(&members).await,
            _ => Err(TokenFault::GrantType.into()),
        }
    }

    /// A code for tokens. It is used up before anything else is compared: a thief has one try.
    async fn redeem(&self, members: &Members) -> Result<Answer, Failed> {
        let code = members.get("code").ok_or(TokenFault::Parameter("code"))?;
        let redirect_uri = members.get("redirect_uri").ok_or(TokenFault::Parameter("redirect_uri"))?;
        let mut connection = self.simulator.db.acquire().await?;
        let issued = store::consume(&mut connection, self.place(), TokenKind::Code, self.hash(code)).await?;
        let issued = issued.ok_or(TokenFault::Code)?;
        let details: Details = serde_json::from_value(issued.details.clone()).map_err(Error::internal)?;
        if *redirect_uri != details.redirect_uri {
            return Err(TokenFault::RedirectUri.into());
        }
        if !proves(details.challenge.as_deref(), members.get("code_verifier").map(String::as_str)) {
            return Err(TokenFault::Verifier.into());
        }
        let is_first = store::consent_first(&mut connection, self.place(), &issued.provider_user_id).await?;
        let was_asked = details.prompt.as_deref().is_some_and(|prompt| prompt.split(' ').any(|word| word == "consent"));
        let consent = if is_first || was_asked { Consent::Given } else { Consent::Remembered };
        let refresh = self.shapes.gives_refresh_token(consent).then(|| self.shapes.refresh_token(&self.random()));
        self.tokens(&mut connection, &issued, &details, refresh).await
    }

    /// A refresh token for tokens; a single-use one for its successor too.
    async fn refresh(&self, members: &Members) -> Result<Answer, Failed> {
        let token = members.get("refresh_token").ok_or(TokenFault::Parameter("refresh_token"))?;
        let mut connection = self.simulator.db.acquire().await?;
        let (issued, successor) = match self.descriptor().refresh.rotates {
            Rotates::Always => {
                let consumed =
                    store::consume(&mut connection, self.place(), TokenKind::Refresh, self.hash(token)).await?;
                (consumed, Some(self.shapes.refresh_token(&self.random())))
            }
            Rotates::Sometimes | Rotates::Never => {
                (store::valid(&mut connection, self.place(), TokenKind::Refresh, self.hash(token)).await?, None)
            }
        };
        let issued = issued.ok_or(TokenFault::RefreshToken)?;
        // A refreshed id_token has no nonce to repeat (OpenID Connect Core section 12.2).
        let mut details: Details = serde_json::from_value(issued.details.clone()).map_err(Error::internal)?;
        details.nonce = None;
        self.tokens(&mut connection, &issued, &details, successor).await
    }

    /// Issues an access token, and `refresh` where there is one, and writes the answer.
    async fn tokens(
        &self,
        db: &mut PgConnection,
        issued: &Issued,
        details: &Details,
        refresh: Option<String>,
    ) -> Result<Answer, Failed> {
        let access = self.shapes.access_token(&self.random());
        let access_ttl = self.descriptor().refresh.access_ttl;
        store::issue(db, self.place(), TokenKind::Access, self.hash(&access), issued, access_ttl).await?;
        if let Some(refresh) = &refresh {
            store::issue(db, self.place(), TokenKind::Refresh, self.hash(refresh), issued, None).await?;
        }
        let person = self.person(db, &issued.provider_user_id).await?;
        let scope_text = self.scope_text(&issued.scopes);
        let mut grant = self.grant_of(issued, &person, &scope_text);
        grant.nonce = details.nonce.as_deref();
        let id = match self.shapes.id_token(&grant, &at_hash(&access)) {
            Some(claims) => Some(self.sign(db, &claims).await?),
            None => None,
        };
        let tokens = Tokens { access: &access, refresh: refresh.as_deref(), id: id.as_deref() };
        Ok(Answer::good(self.shapes.tokens(&grant, &tokens)))
    }

    /// Who a token is about.
    pub(super) async fn person(&self, db: &mut PgConnection, provider_user_id: &str) -> Result<Person, Error> {
        let stored = store::person(db, self.place(), provider_user_id).await?;
        let stored = stored.ok_or_else(|| Error::internal("a token of nobody"))?;
        serde_json::from_value(stored).map_err(Error::internal)
    }

    /// What an answer shows of an approval.
    pub(super) fn grant_of<'g>(&self, issued: &'g Issued, person: &'g Person, scope_text: &'g str) -> Grant<'g> {
        Grant {
            client_id: &issued.client_id,
            person,
            provider_user_id: &issued.provider_user_id,
            scopes: &issued.scopes,
            scope_text,
            nonce: None,
            prompt: None,
            now: self.simulator.now.unix_timestamp(),
            access_ttl: self.descriptor().refresh.access_ttl,
            request_id: self.request_id(),
        }
    }
}

/// Whether the verifier proves the challenge (RFC 7636 section 4.6). Enforced wherever a challenge was sent, whatever
/// the real provider does: our own mistakes are to be found here.
fn proves(challenge: Option<&str>, verifier: Option<&str>) -> bool {
    let Some(challenge) = challenge else { return true };
    let made = |verifier: &str| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    verifier.is_some_and(|verifier| same(made(verifier).as_bytes(), challenge.as_bytes()))
}

/// `at_hash` of an RS256 id_token (OpenID Connect Core section 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
