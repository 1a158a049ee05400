//! The token endpoint: codes and refresh tokens become tokens.

use super::answer::Answer;
use super::authorize::Details;
use super::client::Members;
use super::faults::{Call, Content};
use super::people::Person;
use super::refreshing::{Behavior, LONG, Use, used};
use super::seen::CountedCall;
use super::shapes::{Consent, Grant, TokenFault, Tokens};
use super::{Request, Simulated};
use crate::crypto::secret::same;
use crate::model::oauth::grant_request::GrantType;
use crate::model::problem::Error;
use crate::store::pool::PgConnection;
use crate::store::simulator::{self as store, Issued, TokenKind};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ACCEPT;

/// The grant that prolongs an access token by exchanging it, and the member that holds the token, where the provider
/// has none of its own and is configured to have one.
const EXCHANGE: (&str, &str) = ("fb_exchange_token", "fb_exchange_token");

/// Why there are no tokens.
enum Failed {
    /// The client's fault, reported in the provider's words.
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

/// The tokens of an answer that is about to be written.
struct Fresh {
    /// For which call.
    call: Call,
    /// Seconds that the access token lives.
    access_ttl: Option<u32>,
    /// The refresh token, if one is given.
    refresh: Option<String>,
}

/// What a token request asks for.
enum PresentedGrant {
    /// A code for tokens.
    Code,
    /// A refresh token for tokens.
    Refresh,
    /// An access token for one that lives longer.
    Exchange,
}

impl Simulated<'_> {
    /// Answers a token call, with its fault if it has one.
    pub(super) async fn token(&self, request: Request<'_>) -> Result<Answer, Error> {
        let members = self.read_body(request);
        let (call, presented) = members.as_ref().map_or((Call::Token, None), |members| self.asked(members));
        let seen = self.seen(call, presented).await?;
        if let Some(answer) = seen.instead(self) {
            return Ok(answer);
        }
        let answer = match self.grant(request, members, &seen).await {
            Ok(answer) => answer,
            Err(Failed::Refused(fault)) => Answer::json(self.shapes.token_fault(fault, self.request_id())),
            Err(Failed::Fault(error)) => return Err(error),
        };
        let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        Ok(seen.spoil(if self.shapes.writes_form(accept) { answer.into_form() } else { answer }))
    }

    async fn grant(
        &self,
        request: Request<'_>,
        members: Option<Members>,
        seen: &CountedCall,
    ) -> Result<Answer, Failed> {
        let members = self.authenticate_client(request, members)?;
        match self.presented_grant(&members) {
            Some(PresentedGrant::Code) => self.redeem(&members, seen).await,
            Some(PresentedGrant::Refresh) => self.refresh(&members, seen).await,
            Some(PresentedGrant::Exchange) if self.exchanges_long_lived(seen) => {
                self.exchange_long_lived(&members, seen).await
            }
            Some(PresentedGrant::Exchange) | None => Err(TokenFault::GrantType.into()),
        }
    }

    /// A code for tokens. It is used up before anything else is compared: a thief has one try.
    async fn redeem(&self, members: &Members, seen: &CountedCall) -> Result<Answer, Failed> {
        let code = members.get("code").ok_or(TokenFault::Parameter("code"))?;
        let redirect_uri = members.get("redirect_uri").ok_or(TokenFault::Parameter("redirect_uri"))?;
        let mut connection = self.simulator.db.acquire().await?;
        let issued = store::consume(&mut connection, self.place(), TokenKind::Code, self.hash(code), 0).await?;
        let issued = issued.ok_or(TokenFault::Code)?;
        let details = details(&issued)?;
        if *redirect_uri != details.redirect_uri {
            return Err(TokenFault::RedirectUri.into());
        }
        if !matches_challenge(details.challenge.as_deref(), members.get("code_verifier").map(String::as_str)) {
            return Err(TokenFault::Verifier.into());
        }
        let is_first = store::consent_first(&mut connection, self.place(), &issued.provider_user_id).await?;
        let was_asked = details.prompt.as_deref().is_some_and(|prompt| prompt.split(' ').any(|word| word == "consent"));
        let consent = if is_first || was_asked { Consent::Given } else { Consent::Remembered };
        let gives = seen
            .behavior
            .map_or_else(|| self.shapes.gives_refresh_token(consent), |behavior| behavior.gives_refresh_token(consent));
        let refresh = gives.then(|| self.shapes.refresh_token(&self.random()));
        let fresh = Fresh { call: Call::Token, access_ttl: seen.access_ttl(self.descriptor()), refresh };
        self.tokens(&mut connection, issued, details, fresh, seen).await
    }

    /// A refresh token for tokens; a single-use one for its successor too. One transaction, as far as anybody can tell.
    async fn refresh(&self, members: &Members, seen: &CountedCall) -> Result<Answer, Failed> {
        let token = members.get("refresh_token").ok_or(TokenFault::Parameter("refresh_token"))?;
        let (place, hash) = (self.place(), self.hash(token));
        if seen.behavior.is_some_and(|behavior| matches!(behavior, Behavior::None | Behavior::LongLivedExchange)) {
            return Err(TokenFault::GrantType.into());
        }
        let mut tx = self.simulator.db.begin().await?;
        let becomes = used(seen.behavior, self.descriptor());
        let issued = match becomes {
            Use::Retained => store::valid(&mut tx, place, TokenKind::Refresh, hash).await?,
            Use::Replaced { grace, .. } => store::consume(&mut tx, place, TokenKind::Refresh, hash, grace).await?,
        };
        let is_theft = seen.content() == Some(Content::ReuseDetected)
            || (issued.is_none() && matches!(becomes, Use::Replaced { ends_family: true, .. }));
        let is_over = is_theft || seen.content() == Some(Content::RevokedRefresh);
        if is_over {
            store::end_family(&mut tx, place, hash, if is_theft { None } else { Some(TokenKind::Refresh) }).await?;
            tx.commit().await?;
            return Err(TokenFault::RefreshToken.into());
        }
        let issued = match issued {
            Some(issued) if seen.behavior != Some(Behavior::Revoked) => issued,
            _ => return Err(TokenFault::RefreshToken.into()),
        };
        let refresh = matches!(becomes, Use::Replaced { .. }).then(|| self.shapes.refresh_token(&self.random()));
        let fresh = Fresh { call: Call::Refresh, access_ttl: seen.access_ttl(self.descriptor()), refresh };
        let details = details(&issued)?;
        let answer = self.tokens(&mut tx, issued, details, fresh, seen).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// The grant that a request names; `None` for none, and for one that this provider does not know.
    fn presented_grant(&self, members: &Members) -> Option<PresentedGrant> {
        let name = members.get("grant_type")?;
        match GrantType::parse(name) {
            Some(GrantType::AuthorizationCode) => Some(PresentedGrant::Code),
            Some(GrantType::RefreshToken) => Some(PresentedGrant::Refresh),
            None => (name == self.exchange().0).then_some(PresentedGrant::Exchange),
        }
    }

    /// The grant that prolongs, and its member.
    fn exchange(&self) -> (&str, &str) {
        let own = self.descriptor().refresh.exchange.as_ref();
        own.map_or(EXCHANGE, |own| (own.grant_type.as_str(), own.token_param.as_str()))
    }

    /// Whether access tokens are prolonged: where the real provider does, or where a test says so.
    fn exchanges_long_lived(&self, seen: &CountedCall) -> bool {
        let real = || self.descriptor().refresh.exchange.is_some();
        seen.behavior.map_or_else(real, |behavior| behavior == Behavior::LongLivedExchange)
    }

    /// Which call it is, and the secret it presents.
    fn asked<'m>(&self, members: &'m Members) -> (Call, Option<&'m str>) {
        let member = |name: &str| members.get(name).map(String::as_str);
        match self.presented_grant(members) {
            Some(PresentedGrant::Refresh) => (Call::Refresh, member("refresh_token")),
            Some(PresentedGrant::Exchange) => (Call::Refresh, member(self.exchange().1)),
            Some(PresentedGrant::Code) | None => (Call::Token, member("code")),
        }
    }

    /// An access token for one that lives longer.
    async fn exchange_long_lived(&self, members: &Members, seen: &CountedCall) -> Result<Answer, Failed> {
        let token = members.get(self.exchange().1).ok_or(TokenFault::Parameter("access_token"))?;
        let mut tx = self.simulator.db.begin().await?;
        let issued = store::valid(&mut tx, self.place(), TokenKind::Access, self.hash(token)).await?;
        let issued = issued.ok_or(TokenFault::RefreshToken)?;
        let details = details(&issued)?;
        let fresh = Fresh { call: Call::Refresh, access_ttl: Some(LONG), refresh: None };
        let answer = self.tokens(&mut tx, issued, details, fresh, seen).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Issues an access token, and a refresh token where there is one, and writes the answer.
    async fn tokens(
        &self,
        db: &mut PgConnection,
        mut issued: Issued,
        mut details: Details,
        fresh: Fresh,
        seen: &CountedCall,
    ) -> Result<Answer, Failed> {
        seen.bind(&mut details);
        issued.details = serde_json::to_value(&details).map_err(Error::internal)?;
        if fresh.call == Call::Refresh {
            issued.generation = store::next_generation(db, self.place(), &issued).await?;
        }
        let access = self.shapes.access_token(&self.random());
        store::issue(db, self.place(), TokenKind::Access, self.hash(&access), &issued, fresh.access_ttl).await?;
        if let Some(refresh) = &fresh.refresh {
            store::issue(db, self.place(), TokenKind::Refresh, self.hash(refresh), &issued, None).await?;
        }
        let mut person = self.person(db, &issued.provider_user_id).await?;
        if let Some(content) = seen.content() {
            content.retell(&mut person);
        }
        let scope_text = self.scope_text(&issued.scopes);
        let mut grant = self.grant_of(&issued, &person, &scope_text);
        grant.access_ttl = fresh.access_ttl;
        // A refreshed id_token has no nonce to repeat (OpenID Connect Core section 12.2).
        grant.nonce = details.nonce.as_deref().filter(|_| fresh.call == Call::Token);
        let id = self.id_token(db, &grant, &access, seen.content()).await?;
        let tokens = Tokens { access: &access, refresh: fresh.refresh.as_deref(), id: id.as_deref() };
        let mut answer = self.shapes.tokens(&grant, &tokens);
        if let Some(content) = seen.content() {
            content.retell_id(&mut answer, &issued.provider_user_id);
        }
        Ok(Answer::good(answer))
    }

    async fn id_token(
        &self,
        db: &mut PgConnection,
        grant: &Grant<'_>,
        access: &str,
        content: Option<Content>,
    ) -> Result<Option<String>, Error> {
        let Some(mut claims) = self.shapes.id_token(grant, &at_hash(access)) else { return Ok(None) };
        if let Some(content) = content {
            content.retell_id(&mut claims, grant.provider_user_id);
            content.retell_claims(&mut claims);
        }
        let signed = self.sign(db, &claims, content == Some(Content::KidRotation)).await?;
        Ok(Some(match content {
            Some(content) => content.respell(signed),
            None => signed,
        }))
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

fn details(issued: &Issued) -> Result<Details, Error> {
    serde_json::from_value(issued.details.clone()).map_err(Error::internal)
}

/// Whether the verifier matches the challenge (RFC 7636 section 4.6). Enforced wherever a challenge was sent, whatever
/// the real provider does: our own mistakes are to be found here.
fn matches_challenge(challenge: Option<&str>, verifier: Option<&str>) -> bool {
    let Some(challenge) = challenge else { return true };
    let made = |verifier: &str| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    verifier.is_some_and(|verifier| same(made(verifier).as_bytes(), challenge.as_bytes()))
}

/// `at_hash` of an RS256 id_token (OpenID Connect Core section 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
