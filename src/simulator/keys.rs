//! The key with which a simulated provider signs id_tokens, and the documents that tell it.

use super::Simulated;
use super::answer::Answer;
use super::content::FOREIGN_ISSUER;
use super::faults::{Call, Content};
use crate::crypto::SealedAt;
use crate::crypto::signing::{SigningKey, TokenType};
use crate::model::problem::Error;
use crate::store::pool::PgConnection;
use crate::store::simulator as store;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Between the key's id and its PKCS#8 in the sealed value.
const BORDER: u8 = 0;

impl Simulated<'_> {
    /// The provider's keys.
    pub(super) async fn jwks(&self) -> Result<Answer, Error> {
        let seen = self.seen(Call::Keys, None).await?;
        if let Some(answer) = seen.instead(self) {
            return Ok(answer);
        }
        let mut connection = self.simulator.db.acquire().await?;
        let key = self.signing_key(&mut connection).await?;
        Ok(seen.spoil(Answer::good(json!({ "keys": [key.public_jwk()] }))))
    }

    /// The discovery document: the real issuer, at simulated addresses.
    pub(super) async fn metadata(&self) -> Result<Answer, Error> {
        let seen = self.seen(Call::Discovery, None).await?;
        if let Some(answer) = seen.instead(self) {
            return Ok(answer);
        }
        let issuer = match seen.content() {
            Some(Content::IssuerMismatch) => Some(FOREIGN_ISSUER),
            _ => self.descriptor().oidc.as_ref().map(|oidc| oidc.issuer.as_str()),
        };
        Ok(seen.spoil(self.document(issuer)))
    }

    fn document(&self, issuer: Option<&str>) -> Answer {
        let endpoints = &self.provider.endpoints;
        Answer::good(json!({
            "issuer": issuer,
            "authorization_endpoint": endpoints.authorize,
            "token_endpoint": endpoints.token,
            "userinfo_endpoint": endpoints.calls.first(),
            "jwks_uri": endpoints.jwks,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": self.descriptor().authorize.base_scopes,
            "token_endpoint_auth_methods_supported": [self.descriptor().token.client_auth],
            "code_challenge_methods_supported": ["S256"],
        }))
    }

    /// Signs the claims of an id_token; with a new key, which is the only one from then on, if `rotates`.
    pub(super) async fn sign(&self, db: &mut PgConnection, claims: &Value, rotates: bool) -> Result<String, Error> {
        if rotates {
            let sealed = self.seal(&generated().await?)?;
            store::replace_signing_key(db, self.place(), &sealed).await?;
        }
        let key = self.signing_key(db).await?;
        key.sign(TokenType::Jwt, claims).map_err(Error::internal)
    }

    /// The stored key; the first caller makes it.
    async fn signing_key(&self, db: &mut PgConnection) -> Result<SigningKey, Error> {
        let stored = match store::signing_key(db, self.place()).await? {
            Some(stored) => stored,
            None => {
                let sealed = self.seal(&generated().await?)?;
                let stored = store::keep_signing_key(db, self.place(), &sealed).await?;
                stored.ok_or_else(|| Error::internal("a signing key that is not stored"))?
            }
        };
        let opened = self.simulator.ring.open(&self.sealed_at(), &stored).map_err(Error::internal)?;
        let border = opened.iter().position(|byte| *byte == BORDER);
        let parts = border.and_then(|border| Some((opened.get(..border)?, opened.get(border + 1..)?)));
        let (kid, der) = parts.ok_or_else(|| Error::internal("a sealed signing key without its id"))?;
        SigningKey::from_pkcs8(&String::from_utf8_lossy(kid), der).map_err(Error::internal)
    }

    fn seal(&self, key: &SigningKey) -> Result<Vec<u8>, Error> {
        let mut plain = Zeroizing::new(key.kid().as_bytes().to_vec());
        plain.push(BORDER);
        plain.extend_from_slice(&key.pkcs8().map_err(Error::internal)?);
        self.simulator.ring.seal(self.simulator.rng, &self.sealed_at(), &plain).map_err(Error::internal)
    }

    fn sealed_at(&self) -> SealedAt<'_> {
        let (row, instance) = (self.slug(), self.instance().as_str());
        SealedAt { table: "simulator_providers", column: "signing_key_sealed", row, instance }
    }
}

async fn generated() -> Result<SigningKey, Error> {
    let made = tokio::task::spawn_blocking(SigningKey::generate).await.map_err(Error::internal)?;
    made.map_err(Error::internal)
}
