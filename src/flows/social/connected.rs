//! The person comes back to connect an account: one transaction writes down what the proven identity means for the
//! signed-in user, or why nothing was connected. No session begins here and no user is made.

use serde_json::Value;

use super::landing::{self, Answered, Landing};
use super::settle;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flows::identity::Proof;
use crate::flows::race::{Interrupted, TRIES};
use crate::flows::record::{self, AccountChange};
use crate::flows::sign_in::finish::fill;
use crate::flows::{replay, timeline};
use crate::model::connecting::{self, Aim, Claim, Meaning, Proves, Rules};
use crate::model::email::EmailAddress;
use crate::model::id::{ExternalAccountId, IdentificationId, UserId};
use crate::model::problem::{Error, Result, code};
use crate::model::provider_config::strategy;
use crate::model::reason::{Failure, Reason};
use crate::model::social_error;
use crate::model::verification::Status;
use crate::store::audit::Actor;
use crate::store::connections::{self, BroughtAddress, Target};
use crate::store::pool::PgConnection;
use crate::store::social_flows::{self, SocialFlow};
use crate::store::{attempts, external_accounts, provider_configs};

/// What became of a trip.
pub enum Outcome {
    /// The account is the user's, and up to date.
    Connected,
    /// Nothing changed; the pending proof says why.
    Refused(Failure),
}

/// Finishes a trip that connects: settles it, and says where the browser goes. The caller closes a trip that ends in an
/// error.
///
/// # Errors
/// `oauth_callback_invalid` if the session that began is no longer active on this client, or a newer trip replaced this
/// one; `resource_locked` after lost races. A refused connection is no error: it stands on the account.
pub async fn finish(ctx: &Ctx, token: Option<&LookupHash>, flow: &SocialFlow, answered: &Answered) -> Result<Landing> {
    for _ in 0..TRIES {
        let mut tx = ctx.app.db.begin().await?;
        if !landing::lock_client(ctx, &mut tx, token, flow).await? {
            return Err(landing::invalid(Reason::AttemptReplaced, ""));
        }
        let outcome = match settle(ctx, &mut tx, flow, answered).await {
            Ok(outcome) => outcome,
            Err(Interrupted::Lost) => {
                tx.rollback().await?;
                continue;
            }
            Err(Interrupted::Error(error)) => return Err(error),
        };
        let url = destination(flow, &outcome);
        social_flows::finish(&mut tx, ctx.instance_id(), &flow.id, None, url, ctx.offset()).await?;
        tx.commit().await?;
        timeline::handed_over(ctx, url);
        return Ok(Landing { url: url.to_owned(), issued: None });
    }
    Err(code::RESOURCE_LOCKED.into())
}

/// Settles a trip whose client is locked. The session that began it must still be the user's active one: a browser that
/// was handed to somebody else, or signed out meanwhile, connects nothing.
///
/// # Errors
/// `oauth_callback_invalid`; [`Interrupted::Lost`] after a lost race: roll back and call again.
pub async fn settle(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    answered: &Answered,
) -> Result<Outcome, Interrupted> {
    let gone = || Error::internal("a connecting trip without its user");
    let (user, session) = flow.user_id.as_ref().zip(flow.session_id.as_ref()).ok_or_else(gone)?;
    let instance = ctx.instance_id();
    let is_active = connections::is_session_active(db, instance, &flow.client_id, session, ctx.offset()).await?;
    if !is_active || !connections::lock_user(db, instance, user).await? {
        return Err(landing::invalid(Reason::StateOtherBrowser, "session").into());
    }
    let target = connections::lock_target(db, instance, &flow.target_id, &flow.verification_id).await?;
    let target = target.ok_or_else(|| landing::invalid(Reason::AttemptReplaced, ""))?;
    let proof = match answered {
        Answered::Proof(proof) => proof,
        Answered::Failed(failure) => return refuse(ctx, db, flow, user, *failure).await,
    };
    match meaning(ctx, db, flow, user, target, proof).await? {
        Meaning::Connect(claim) => connect(ctx, db, flow, user, proof, claim).await,
        Meaning::Refresh(account) => refresh(ctx, db, flow, user, proof, &account).await,
        Meaning::Refuse(failure) => refuse(ctx, db, flow, user, failure).await,
    }
}

/// Decides by what is known now.
async fn meaning(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    user: &UserId,
    target: Target,
    proof: &Proof,
) -> Result<Meaning, Interrupted> {
    let email = proof.address();
    let email = email.as_ref().map(EmailAddress::as_str);
    let (instance, provider) = (ctx.instance_id(), proof.provider.as_str());
    let known = connections::known(db, instance, user, provider, &proof.profile.provider_user_id, email).await?;
    let rules = provider_configs::connecting(&mut *db, instance, provider).await?;
    let rules = Rules {
        multiple_accounts: rules.is_some_and(|rules| rules.multiple_accounts),
        addresses_changeable: ctx.instance.settings.addresses_changeable,
    };
    let aim = match target {
        Target::Pending => Aim::Connect,
        Target::Verified => Aim::Reauthorize(account_of(flow)?),
    };
    let meaning = connecting::decide(&aim, proof.profile.email_trust, &known, rules);
    timeline::connected(ctx, &meaning);
    replay::keep_connection(ctx, user, &aim, proof)?;
    Ok(meaning)
}

fn account_of(flow: &SocialFlow) -> Result<ExternalAccountId> {
    ExternalAccountId::parse(&flow.target_id).ok_or_else(|| Error::internal("a connecting trip without its account"))
}

/// The pending account becomes the user's, with its address and its tokens.
async fn connect(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    user: &UserId,
    proof: &Proof,
    claim: Claim,
) -> Result<Outcome, Interrupted> {
    let account = account_of(flow)?;
    let address = claimed(ctx, db, user, proof, claim).await?;
    let (instance, scopes) = (ctx.instance_id(), &proof.scopes);
    connections::prove_pending(db, instance, &account, &proof.profile, address.as_ref(), scopes, ctx.offset()).await?;
    proof.store_tokens(ctx, db, &account).await?;
    fill(ctx, db, user, proof).await?;
    answer(ctx, db, flow, Status::Verified, None).await?;
    record::account_changed(ctx, db, user, &account, AccountChange::Connected, Actor::User(user.clone())).await?;
    Ok(Outcome::Connected)
}

/// What the account brings along: the id of the user's address that it vouches for.
async fn claimed(
    ctx: &Ctx,
    db: &mut PgConnection,
    user: &UserId,
    proof: &Proof,
    claim: Claim,
) -> Result<Option<IdentificationId>, Interrupted> {
    let (instance, offset) = (ctx.instance_id(), ctx.offset());
    let strategy = format!("from_{}", strategy(&proof.provider));
    match claim {
        Claim::Nothing => Ok(None),
        Claim::Link(address, proves) => {
            if proves == Proves::Yes {
                connections::prove_address(db, instance, &address, &strategy, offset).await?;
            }
            Ok(Some(address))
        }
        Claim::Add(proves) => {
            let Some(email) = proof.address() else { return Ok(None) };
            let id = IdentificationId::new(ctx.now, ctx.rng());
            let is_verified = proves == Proves::Yes;
            let new = BroughtAddress { id: &id, value: email.as_str(), is_verified, strategy: &strategy };
            connections::add_address(db, instance, user, &new, offset).await?;
            Ok(Some(id))
        }
    }
}

/// The user had the account already: it is brought up to date, and a pending one that waited for it is gone.
async fn refresh(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    user: &UserId,
    proof: &Proof,
    account: &ExternalAccountId,
) -> Result<Outcome, Interrupted> {
    let (instance, scopes) = (ctx.instance_id(), &proof.scopes);
    external_accounts::refresh(db, instance, account, &proof.profile, scopes, ctx.offset()).await?;
    proof.store_tokens(ctx, db, account).await?;
    fill(ctx, db, user, proof).await?;
    if account.as_str() == flow.target_id {
        answer(ctx, db, flow, Status::Verified, None).await?;
    } else {
        connections::remove(db, instance, &flow.target_id).await?;
    }
    record::account_changed(ctx, db, user, account, AccountChange::Updated, Actor::User(user.clone())).await?;
    Ok(Outcome::Connected)
}

/// Nothing changes but the error on the pending proof. An account that was proven before stays as it is.
async fn refuse(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    user: &UserId,
    failure: Failure,
) -> Result<Outcome, Interrupted> {
    let error = social_error::object(failure.code, settle::meta(&failure));
    connections::refuse_pending(db, ctx.instance_id(), &flow.target_id, &error, ctx.offset()).await?;
    answer(ctx, db, flow, Status::Unverified, Some(&error)).await?;
    record::connection_refused(ctx, db, user, &flow.target_id, &failure).await?;
    Ok(Outcome::Refused(failure))
}

async fn answer(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    status: Status,
    error: Option<&Value>,
) -> Result<(), Interrupted> {
    let (instance, id) = (ctx.instance_id(), &flow.verification_id);
    attempts::answer_verification(db, instance, id, status, error, ctx.offset()).await?;
    Ok(())
}

/// A connected account leads to the complete address, if one was given; everything else to the redirect address.
fn destination<'a>(flow: &'a SocialFlow, outcome: &Outcome) -> &'a str {
    let complete = flow.action_complete_redirect_url.as_deref();
    match outcome {
        Outcome::Connected => complete.unwrap_or(&flow.redirect_url),
        Outcome::Refused(_) => &flow.redirect_url,
    }
}
