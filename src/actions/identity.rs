//! What a provider verified: who somebody is, and the tokens that came with it. Stored sealed while a transfer may need
//! it.

use serde::{Deserialize, Serialize};

use crate::actions::configured::Configured;
use crate::actions::provider_token::{self, TokenChange};
use crate::context::Ctx;
use crate::crypto::{ExposeSecret, SealedAt, Secret};
use crate::model::email::EmailAddress;
use crate::model::id::{ExternalAccountId, IdentificationId, ProviderAuthorizationId, UserId};
use crate::model::problem::{Error, Result};
use crate::model::profile::Profile;
use crate::model::provider_token::TokenState;
use crate::model::strategy::{AddressStrategy, MailStrategy, ProviderSlug, Strategy};
use crate::store::InstanceConnection;
use crate::store::external_accounts::{self, NewAccount};
use crate::store::provider_authorizations::ProviderAuthorization;
use crate::store::provider_tokens::{self, MissingRefreshToken, Stored};
use crate::store::transact::Aborted;
use crate::upstream::token::TokenAnswer;

/// A verified identity.
pub struct ProviderIdentity {
    /// Which provider.
    pub provider: ProviderSlug,
    /// Who it is.
    pub profile: Profile,
    /// Scopes granted: the answer's, else those asked for.
    pub scopes: Vec<String>,
    /// How the person has verified the address already, where a sign-up asked for that.
    pub address_verified_by: Option<MailStrategy>,
    tokens: Tokens,
    missing_refresh_token: MissingRefreshToken,
}

/// The tokens of an answer, in the form in which they wait sealed.
#[derive(Serialize, Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
    token_type: Option<String>,
    scopes: Vec<String>,
    /// Seconds since 1970.
    expires_at: Option<i64>,
    first_consent_only: bool,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.id_token.zeroize();
    }
}

impl ProviderIdentity {
    /// What just came back from the provider.
    pub fn new(
        ctx: &Ctx,
        flow: &ProviderAuthorization,
        configured: &Configured,
        answer: &TokenAnswer,
        profile: Profile,
    ) -> Self {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let scopes = answer.scopes.clone().unwrap_or_else(|| flow.scopes.clone());
        let first_consent_only = configured.provider.descriptor.refresh.first_consent_only;
        let tokens = Tokens {
            access_token: answer.access_token.expose_secret().to_owned(),
            refresh_token: text(&answer.refresh_token),
            id_token: text(&answer.id_token),
            token_type: answer.token_type.clone(),
            scopes: scopes.clone(),
            expires_at: answer.expires_in.map(|seconds| ctx.now.unix_timestamp().saturating_add(seconds)),
            first_consent_only,
        };
        Self {
            provider: flow.provider.clone(),
            profile,
            scopes,
            address_verified_by: None,
            tokens,
            missing_refresh_token: missing(first_consent_only),
        }
    }

    /// The same, from the authorization that stored it for a transfer.
    ///
    /// # Errors
    /// A fault if it does not open.
    pub fn reopen(ctx: &Ctx, flow: &ProviderAuthorization) -> Result<Self> {
        let gone = || Error::internal("a transferable authorization without its identity");
        let profile = flow.profile.clone().ok_or_else(gone)?;
        let profile: Profile = serde_json::from_value(profile).map_err(Error::internal)?;
        let sealed = flow.tokens_sealed.as_ref().ok_or_else(gone)?;
        let opened = ctx.app.ring.open(&tokens_at(ctx, &flow.id), sealed).map_err(Error::internal)?;
        let tokens: Tokens = serde_json::from_slice(&opened).map_err(Error::internal)?;
        let missing_refresh_token = missing(tokens.first_consent_only);
        Ok(Self {
            provider: flow.provider.clone(),
            profile,
            scopes: tokens.scopes.clone(),
            address_verified_by: None,
            tokens,
            missing_refresh_token,
        })
    }

    /// The strategy by which it was verified.
    pub fn strategy(&self) -> Strategy {
        Strategy::OAuth(self.provider.clone())
    }

    /// What verifies an address that the provider vouches for.
    pub fn address_strategy(&self) -> AddressStrategy {
        AddressStrategy::FromOAuth(self.provider.clone())
    }

    /// The canonical address that the provider named, if that is one.
    pub fn address(&self) -> Option<EmailAddress> {
        self.profile.email.as_deref().and_then(EmailAddress::parse)
    }

    /// Whether the provider named `address`, which is a canonical one.
    pub fn names(&self, address: &str) -> bool {
        self.address().is_some_and(|named| named.as_str() == address)
    }

    /// The tokens, sealed to the authorization that keeps them.
    ///
    /// # Errors
    /// A fault if they cannot be written as JSON.
    pub fn seal_tokens(&self, ctx: &Ctx, flow: &ProviderAuthorizationId) -> Result<Vec<u8>> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(&self.tokens).map_err(Error::internal)?);
        ctx.app.ring.seal(ctx.rng(), &tokens_at(ctx, flow), &plain).map_err(Error::internal)
    }

    /// Stores the identity as a new account of the user with its tokens; `address` is the one it vouches for.
    ///
    /// # Errors
    /// [`Aborted::Conflict`] when somebody else was first.
    pub async fn connect(
        &self,
        ctx: &Ctx,
        db: &mut InstanceConnection<'_>,
        user: &UserId,
        address: Option<&IdentificationId>,
    ) -> Result<ExternalAccountId, Aborted> {
        let account = ExternalAccountId::new(ctx.now, ctx.rng());
        let new = NewAccount {
            id: &account,
            identification: &IdentificationId::new(ctx.now, ctx.rng()),
            user,
            provider: &self.provider,
            profile: &self.profile,
            address,
            scopes: &self.scopes,
        };
        external_accounts::create(db, &new).await?;
        self.store_tokens(ctx, db, &account).await?;
        Ok(account)
    }

    /// Stores the tokens with the account, each sealed to its own place.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn store_tokens(
        &self,
        ctx: &Ctx,
        db: &mut InstanceConnection<'_>,
        account: &ExternalAccountId,
    ) -> Result<(), Aborted> {
        let seal = |column, token: &str| {
            let at = provider_tokens::sealed_at(ctx.instance_id(), account, column);
            ctx.app.ring.seal(ctx.rng(), &at, token.as_bytes()).map_err(Error::internal)
        };
        let tokens = &self.tokens;
        let access = seal("access_token_sealed", &tokens.access_token)?;
        let refresh = tokens.refresh_token.as_deref().map(|token| seal("refresh_token_sealed", token)).transpose()?;
        let id_token = tokens.id_token.as_deref().map(|token| seal("id_token_sealed", token)).transpose()?;
        let stored = Stored {
            access_token: Some(&access),
            refresh_token: refresh.as_deref(),
            id_token: id_token.as_deref(),
            token_type: tokens.token_type.as_deref(),
            scopes: &self.scopes,
            expires_in: tokens.expires_at.map(|moment| moment - ctx.now.unix_timestamp()),
            missing_refresh_token: self.missing_refresh_token,
        };
        let mended = provider_tokens::store(db, account, &stored).await?;
        if let Some(mended) = mended {
            let change = TokenChange { before: mended.before, after: TokenState::Good, refusal: None };
            provider_token::changed(ctx, db, &mended.user, account, &change).await?;
        }
        Ok(())
    }
}

fn missing(first_consent_only: bool) -> MissingRefreshToken {
    if first_consent_only { MissingRefreshToken::Keep } else { MissingRefreshToken::Drop }
}

/// Where an authorization's tokens are sealed to.
fn tokens_at<'a>(ctx: &'a Ctx, flow: &'a ProviderAuthorizationId) -> SealedAt<'a> {
    SealedAt {
        table: "provider_authorizations",
        column: "tokens_sealed",
        row: flow.as_str(),
        instance: ctx.instance_id().as_str(),
    }
}
