//! The person comes back to connect an account: one transaction writes down what the verified identity means for the
//! signed-in user, or why nothing was connected. No session begins here and no user is made.

use serde_json::Value;

use super::apply_decision;
use super::callback_outcome::{self, CallbackOutcome, ProviderAnswer};
use crate::actions::identity::ProviderIdentity;
use crate::actions::record_outcome::{self, AccountChange};
use crate::actions::sign_in::finish::fill;
use crate::actions::{flow_steps, replay};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::connecting::{self, Aim, Claim, ConnectDecision, Rules, Verify};
use crate::model::email::EmailAddress;
use crate::model::id::{ExternalAccountId, IdentificationId, UserId};
use crate::model::problem::{Error, Result};
use crate::model::reason::{Failure, Reason};
use crate::model::social_error;
use crate::model::user::ExternalAccountStatus;
use crate::model::verification::Status;
use crate::store::InstanceConnection;
use crate::store::connections::{self, BroughtAddress};
use crate::store::provider_authorizations::{self, ProviderAuthorization};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{attempts, external_accounts, provider_configs};

/// What became of an authorization.
pub enum Outcome {
    /// The account is the user's, and up to date.
    Connected,
    /// Nothing changed; the pending verification says why.
    Refused(Failure),
}

/// Finishes an authorization that connects: applies the outcome, and says where the browser goes. The caller closes an
/// authorization that ends in an error.
///
/// # Errors
/// `oauth_callback_invalid` if the session that began is no longer active on this client, or a newer authorization
/// replaced this one; `resource_locked` after lost races. A refused connection is no error: it stands on the account.
pub async fn finish(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
) -> Result<CallbackOutcome> {
    let finished = transact(ctx.db(), "connection.finish", |tx| {
        async move {
            if !callback_outcome::lock_client(tx, token, authorization).await? {
                return Err(callback_outcome::invalid(Reason::AttemptReplaced, "").into());
            }
            let outcome = apply_connection(ctx, tx, authorization, answered).await?;
            let url = destination(authorization, &outcome);
            provider_authorizations::finish(tx, &authorization.id, None, url).await?;
            Ok(Committed::Done(url))
        }
        .scope_boxed()
    });
    let url = finished.await?;
    flow_steps::log_redirect(ctx, url);
    Ok(CallbackOutcome { url: url.to_owned(), issued: None })
}

/// Applies an authorization whose client is locked. The session that began it must still be the user's active one: a
/// browser that was handed to somebody else, or signed out meanwhile, connects nothing.
///
/// # Errors
/// `oauth_callback_invalid`; [`Aborted::Conflict`] after a lost race: roll back and call again.
pub async fn apply_connection(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
) -> Result<Outcome, Aborted> {
    let gone = || Error::internal("a connecting authorization without its user");
    let (user, session) = authorization.user_id.as_ref().zip(authorization.session_id.as_ref()).ok_or_else(gone)?;
    let is_active = connections::is_session_active(db, &authorization.client_id, session).await?;
    if !is_active || !connections::lock_user(db, user).await? {
        return Err(callback_outcome::invalid(Reason::StateOtherBrowser, "session").into());
    }
    let target = connections::lock_target(db, &authorization.target_id, &authorization.verification_id).await?;
    let target = target.ok_or_else(|| callback_outcome::invalid(Reason::AttemptReplaced, ""))?;
    let connection = Connection { ctx, authorization, user };
    let identity = match answered {
        ProviderAnswer::ProviderIdentity(identity) => identity,
        ProviderAnswer::Failed(failure) => return connection.refuse(db, *failure).await,
    };
    match connection.decide(db, target, identity).await? {
        ConnectDecision::Connect(claim) => connection.connect(db, identity, claim).await,
        ConnectDecision::Refresh(account) => connection.refresh(db, identity, &account).await,
        ConnectDecision::Refuse(failure) => connection.refuse(db, failure).await,
    }
}

/// A connection that is being applied: its authorization, and the user who began it.
struct Connection<'a> {
    ctx: &'a Ctx,
    authorization: &'a ProviderAuthorization,
    user: &'a UserId,
}

impl Connection<'_> {
    /// Decides by what is known now.
    async fn decide(
        &self,
        db: &mut InstanceConnection<'_>,
        target: ExternalAccountStatus,
        identity: &ProviderIdentity,
    ) -> Result<ConnectDecision, Aborted> {
        let Self { ctx, authorization, user } = *self;
        let email = identity.address();
        let email = email.as_ref().map(EmailAddress::as_str);
        let provider = identity.provider.as_str();
        let known = connections::known(db, user, provider, &identity.profile.provider_user_id, email).await?;
        let rules = provider_configs::connecting(&mut *db, provider).await?;
        let rules = Rules {
            multiple_accounts: rules.is_some_and(|rules| rules.multiple_accounts),
            addresses_changeable: ctx.instance.settings.addresses_changeable,
        };
        let aim = match target {
            ExternalAccountStatus::Pending => Aim::Connect,
            ExternalAccountStatus::Verified => Aim::Reauthorize(account_of(authorization)?),
        };
        let decision = connecting::decide(&aim, identity.profile.email_trust, &known, rules);
        flow_steps::log_connection(ctx, &decision);
        replay::keep_connection(ctx, user, &aim, identity)?;
        Ok(decision)
    }

    /// The pending account becomes the user's, with its address and its tokens.
    async fn connect(
        &self,
        db: &mut InstanceConnection<'_>,
        identity: &ProviderIdentity,
        claim: Claim,
    ) -> Result<Outcome, Aborted> {
        let Self { ctx, authorization, user } = *self;
        let account = account_of(authorization)?;
        let address = self.resolve_address(db, identity, claim).await?;
        let scopes = &identity.scopes;
        connections::verify_pending(db, &account, &identity.profile, address.as_ref(), scopes).await?;
        identity.store_tokens(ctx, db, &account).await?;
        fill(db, user, identity).await?;
        self.answer(db, Status::Verified, None).await?;
        record_outcome::account_changed(ctx, db, user, &account, AccountChange::Connected).await?;
        Ok(Outcome::Connected)
    }

    /// What the account brings along: the id of the user's address that it vouches for.
    async fn resolve_address(
        &self,
        db: &mut InstanceConnection<'_>,
        identity: &ProviderIdentity,
        claim: Claim,
    ) -> Result<Option<IdentificationId>, Aborted> {
        let Self { ctx, user, .. } = *self;
        let strategy = identity.address_strategy();
        match claim {
            Claim::Nothing => Ok(None),
            Claim::Link(address, proves) => {
                if proves == Verify::Yes {
                    connections::verify_address(db, &address, &strategy).await?;
                }
                Ok(Some(address))
            }
            Claim::Add(proves) => {
                let Some(email) = identity.address() else { return Ok(None) };
                let id = IdentificationId::new(ctx.now, ctx.rng());
                let is_verified = proves == Verify::Yes;
                let new = BroughtAddress { id: &id, value: email.as_str(), is_verified, strategy: &strategy };
                connections::add_address(db, user, &new).await?;
                Ok(Some(id))
            }
        }
    }

    /// The user had the account already: it is brought up to date, and a pending one that waited for it is gone.
    async fn refresh(
        &self,
        db: &mut InstanceConnection<'_>,
        identity: &ProviderIdentity,
        account: &ExternalAccountId,
    ) -> Result<Outcome, Aborted> {
        let Self { ctx, authorization, user } = *self;
        let scopes = &identity.scopes;
        external_accounts::refresh(db, account, &identity.profile, scopes).await?;
        identity.store_tokens(ctx, db, account).await?;
        fill(db, user, identity).await?;
        if account.as_str() == authorization.target_id {
            self.answer(db, Status::Verified, None).await?;
        } else {
            connections::remove(db, &authorization.target_id).await?;
        }
        record_outcome::account_changed(ctx, db, user, account, AccountChange::Updated).await?;
        Ok(Outcome::Connected)
    }

    /// Nothing changes but the error on the pending verification. An account that was verified before stays as it is.
    async fn refuse(&self, db: &mut InstanceConnection<'_>, failure: Failure) -> Result<Outcome, Aborted> {
        let Self { ctx, authorization, user } = *self;
        let error = social_error::object(failure.code, apply_decision::meta(&failure));
        connections::refuse_pending(db, &authorization.target_id, &error).await?;
        self.answer(db, Status::Unverified, Some(&error)).await?;
        record_outcome::connection_refused(ctx, db, user, &authorization.target_id, &failure).await?;
        Ok(Outcome::Refused(failure))
    }

    async fn answer(
        &self,
        db: &mut InstanceConnection<'_>,
        status: Status,
        error: Option<&Value>,
    ) -> Result<(), Aborted> {
        let id = &self.authorization.verification_id;
        attempts::answer_verification(db, id, status, error).await?;
        Ok(())
    }
}

fn account_of(authorization: &ProviderAuthorization) -> Result<ExternalAccountId> {
    ExternalAccountId::parse(&authorization.target_id)
        .ok_or_else(|| Error::internal("a connecting authorization without its account"))
}

/// A connected account leads to the complete address, if one was given; everything else to the redirect address.
fn destination<'a>(authorization: &'a ProviderAuthorization, outcome: &Outcome) -> &'a str {
    let complete = authorization.action_complete_redirect_url.as_deref();
    match outcome {
        Outcome::Connected => complete.unwrap_or(&authorization.redirect_url),
        Outcome::Refused(_) => &authorization.redirect_url,
    }
}
