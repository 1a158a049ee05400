//! What OAuth clients do with codes and tokens: [`redeem_code`], [`rotate_refresh_token`], [`introspect`], [`revoke`],
//! [`userinfo`]; and what these share: client authentication, the form of an answer, the end of a grant.
//!
//! Each good path is one statement that also authenticates the client; only a refusal asks the database why. A token is
//! never stored, only its keyed hash.

pub mod introspect;
pub(super) mod lifetime;
pub mod redeem_code;
pub mod revoke;
pub mod rotate_refresh_token;
pub mod userinfo;

use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Lookup, LookupHash, SigningKey, TokenType};
use crate::model::id::{GrantId, UserId};
use crate::model::oauth::claims::IdToken;
use crate::model::oauth::client_auth::PresentedClient;
use crate::model::oauth::error::{INVALID_CLIENT, OAuthError};
use crate::model::oauth::scope::{OPENID, Scopes};
use crate::model::oauth::token::{Kind, Token};
use crate::model::problem::Error;
use crate::model::random::{Rng, hex};
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::interval;
use crate::store::oauth_applications::{self, SecretHashes};
use crate::store::oauth_families::{self, RevokedReason};
use crate::store::oauth_grants::{Issued, NewAccessToken};

/// Why there are no tokens.
#[derive(Debug)]
pub enum Failure {
    /// The client receives an error.
    Refused(OAuthError),
    /// Our failure.
    Fault(Error),
}

impl From<OAuthError> for Failure {
    fn from(error: OAuthError) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// A good answer of the token endpoint (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Token,
    /// The refresh token.
    pub refresh: Token,
    /// What the access token covers.
    pub scopes: Scopes,
    /// The access token's life, in seconds.
    pub expires_in: u32,
    /// The id_token, with `openid`.
    pub id_token: Option<String>,
}

/// A fresh access token and the id of its row.
struct FreshAccess {
    token: Token,
    id: String,
}

impl FreshAccess {
    fn new(ctx: &Ctx) -> Self {
        let lifetime = ctx.instance.settings.oauth.access_token_lifetime;
        let token = Token::new(Kind::Access, lifetime::last_day(ctx.now, lifetime), ctx.rng());
        Self { token, id: row_id(ctx.rng()) }
    }

    fn row(&self, ctx: &Ctx) -> NewAccessToken<'_> {
        NewAccessToken {
            id: &self.id,
            day: self.token.day(),
            hash: ctx.app.ring.lookup_hash(Lookup::AccessToken, self.token.reveal()),
            lifetime: interval::seconds(i64::from(ctx.instance.settings.oauth.access_token_lifetime)),
        }
    }
}

/// `oat_` and 32 hex digits: names a token where the token itself must not stand.
fn row_id(rng: &dyn Rng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill(&mut bytes);
    format!("oat_{}", hex(&bytes))
}

/// The hashes of the secret a client presents, under the ring's first key and under the older ones; none without one.
fn client_secret_hashes(ctx: &Ctx, client: &PresentedClient) -> Vec<LookupHash> {
    let hashes =
        client.secret.as_ref().map(|secret| ctx.app.ring.lookup_hashes(Lookup::ClientSecret, secret.expose_secret()));
    hashes.unwrap_or_default()
}

/// The same, for a statement.
fn secret_hashes(ctx: &Ctx, client: &PresentedClient) -> SecretHashes {
    SecretHashes::new(&client_secret_hashes(ctx, client))
}

/// After a good authentication: while the ring holds older keys, the client's secret is hashed anew under the first
/// one, so that the older ones can go one day. `hashes` are those of [`client_secret_hashes`]. A fault here must not cost
/// the client its tokens.
async fn renew_secret_hash(ctx: &Ctx, client: &PresentedClient, hashes: &[LookupHash]) {
    let [newest, older @ ..] = hashes else { return };
    if older.is_empty() {
        return;
    }
    let newest = (newest, ctx.app.ring.first_id());
    let renewed = oauth_applications::rehash_secret(&mut ctx.db(), &client.client_id, older, newest).await;
    if let Err(error) = renewed {
        tracing::warn!(%error, "a client secret stays under an older key");
    }
}

/// Where a token may be found: under the ring's first key, and, only after a miss, under the others.
fn hashes(ctx: &Ctx, label: Lookup<'static>, token: &Token) -> Vec<LookupHash> {
    ctx.app.ring.lookup_hashes(label, token.reveal())
}

/// Requires client authentication; for the paths on which no other statement did.
///
/// # Errors
/// `invalid_client`, the same for an unknown client and a wrong secret.
pub async fn authenticate(ctx: &Ctx, client: &PresentedClient) -> Result<(), Failure> {
    let secrets = secret_hashes(ctx, client);
    let known = oauth_applications::is_authentic(&mut ctx.db(), &client.client_id, &secrets).await?;
    if known { Ok(()) } else { Err(INVALID_CLIENT.into()) }
}

/// Ends a grant because somebody holds what only one may hold, and records it. Does nothing to one that has ended.
async fn end_grant(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    grant: &GrantId,
    user: &UserId,
    reason: RevokedReason,
) -> Result<(), Failure> {
    if !oauth_families::revoke(&mut *db, grant, reason).await? {
        return Ok(());
    }
    let instance = ctx.instance_id().as_str();
    let mut event = AuditEvent::new(instance, "oauth_grant.revoked", Actor::System, ctx.app.clock.now());
    event.reason = Some(reason.as_str());
    event.user = Some(user);
    event.target = Some(("oauth_grant", grant.as_str()));
    event.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), event).await?)
}

impl Tokens {
    /// A pair of tokens that cover `scopes`, without an id_token yet.
    fn new(ctx: &Ctx, access: Token, refresh: Token, scopes: Scopes) -> Self {
        Self { access, refresh, scopes, expires_in: ctx.instance.settings.oauth.access_token_lifetime, id_token: None }
    }

    /// The tokens of `issued` as the client `client_id` is answered: with an id_token, signed with `key`, if their scopes ask
    /// for one.
    ///
    /// # Errors
    /// A fault if there is no key to sign it with.
    fn answer(
        mut self,
        ctx: &Ctx,
        client_id: &str,
        issued: &Issued,
        key: Option<&SigningKey>,
    ) -> Result<Self, Failure> {
        if !self.scopes.has(OPENID) {
            return Ok(self);
        }
        let id_token = IdToken {
            issuer: &ctx.instance.origin,
            client_id,
            issued_at: ctx.now,
            lifetime: ctx.instance.settings.oauth.id_token_lifetime,
            authenticated_at: issued.authenticated_at,
            nonce: issued.nonce.as_deref(),
            access_token: self.access.reveal(),
            amr: &issued.amr,
            content: issued.id_token_claims,
        };
        let claims = id_token.claims(&issued.subject, &self.scopes);
        let key = key.ok_or_else(|| Error::internal("the instance has no key that signs id_tokens"))?;
        self.id_token = Some(key.sign(TokenType::Jwt, &claims).map_err(Error::internal)?);
        Ok(self)
    }
}
