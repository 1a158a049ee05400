//! A sign-up is begun or changed with an identifier: what the person typed is checked, written down, and if nothing is
//! missing any more the user is made.

use serde_json::Map;

use super::finish::{self, Finished, SignUpAttempt};
use crate::actions::attempt;
use crate::actions::client::{self, ClientUpdate, Issued};
use crate::actions::flow_steps;
use crate::actions::password;
use crate::actions::start_provider_auth::{self, AuthorizationStart, Ready, Request};
use crate::context::Ctx;
use crate::crypto::{ExposeSecret, LookupHash, Secret};
use crate::flow_log::Kind;
use crate::model::client::SignUp;
use crate::model::email::EmailAddress;
use crate::model::id::ClientId;
use crate::model::linking::AttemptKind;
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::settings::EnumerationProtection;
use crate::model::verification::Status;
use crate::model::{sign_up, social_error, username};
use crate::store::InstanceConnection;
use crate::store::attempts::{self, CompletedBy, SignUpFields};
use crate::store::sign_ups::{self, Change};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{clients, sign_ins, users};

/// What somebody typed; `None` leaves things as they are.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// The address.
    pub email: Option<EmailAddress>,
    /// The username.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// Consent to the terms, or its withdrawal.
    pub legal_accepted: Option<bool>,
    /// Names, locale, metadata.
    pub fields: SignUpFields,
}

/// An attempt after a change, and its client.
pub struct SignUpUpdate {
    /// Its id.
    pub id: String,
    /// The client as it is now.
    pub updated: ClientUpdate,
}

/// Begins a sign-up with what was typed, and with the provider that is named, if one is; replaces what the client had
/// begun before.
///
/// # Errors
/// `session_exists`; the codes of what was typed and of [`start_provider_auth::check`], and nothing is
/// written then; those of restrictions when the sign-up has all it needs.
pub async fn begin(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    typed: &Typed,
    provider: Option<Request<'_>>,
) -> Result<SignUpUpdate> {
    let Some(request) = provider else {
        flow_steps::log_start(ctx, Kind::SignUp, "form", None, None);
        return begin_checked(ctx, token, typed, None).await;
    };
    flow_steps::log_start(ctx, Kind::SignUp, &request.strategy.sent, request.redirect_url, request.complete_url);
    let ready = flow_steps::record_refusal(ctx, start_provider_auth::check(ctx, request).await)?;
    flow_steps::record_refusal(ctx, begin_checked(ctx, token, typed, Some(&ready)).await)
}

async fn begin_checked(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    typed: &Typed,
    ready: Option<&Ready<'_>>,
) -> Result<SignUpUpdate> {
    let digest = digest(ctx, typed).await?;
    let digest = digest.as_deref();
    let begun = transact(ctx.db(), "sign_up.begin", |tx| {
        async move {
            let (client, issued) = client::lock_or_create(ctx, tx, token).await?;
            flow_steps::set_client(ctx, &client);
            attempt::refuse_second_session(ctx, tx, &client).await?;
            attempts::replace_all(tx, &client).await?;
            let id = attempt::create(ctx, tx, &client, AttemptKind::SignUp, &SignUpFields::default()).await?;
            write(ctx, tx, &id, typed, digest).await?;
            Ok(continue_sign_up(ctx, tx, &client, &id, ready).await?.map(|session| (id, session.or(issued))))
        }
        .scope_boxed()
    });
    let (id, issued) = begun.await?;
    Ok(SignUpUpdate { id, updated: client::read_updated(ctx, token, issued).await? })
}

/// Changes the client's sign-up, and sends the person to the provider that is named, if one is: what another one
/// brought is forgotten.
///
/// # Errors
/// `resource_not_found`, `resource_forbidden`, `client_state_invalid` for the attempt; else those of [`begin`].
pub async fn change(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &str,
    typed: &Typed,
    provider: Option<Request<'_>>,
) -> Result<ClientUpdate> {
    let ready = match provider {
        Some(request) => Some(start_provider_auth::prepare_for_attempt(ctx, token, request).await?),
        None => None,
    };
    let ready = ready.as_ref();
    let digest = digest(ctx, typed).await?;
    let digest = digest.as_deref();
    let issued = transact(ctx.db(), "sign_up.change", |tx| {
        async move {
            let (client, _) = current(ctx, tx, token, id).await?;
            write(ctx, tx, id, typed, digest).await?;
            if ready.is_some() {
                start_provider_auth::cancel_authorization(tx, id).await?;
            }
            continue_sign_up(ctx, tx, &client, id, ready).await
        }
        .scope_boxed()
    });
    client::read_updated(ctx, token, issued.await?).await
}

/// Sends the person to the provider; without one, makes the user if nothing is missing any more. Whoever asks for a
/// provider is not made a user before the callback, whatever else is given.
async fn continue_sign_up(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    id: &str,
    ready: Option<&Ready<'_>>,
) -> Result<Committed<Option<Issued>>, Aborted> {
    let Some(ready) = ready else { return complete_or_wait(ctx, db, client, id, CompletedBy::Call).await };
    let start = AuthorizationStart::of_attempt(AttemptKind::SignUp, id, client);
    start_provider_auth::start_authorization(ctx, db, &start, ready).await?;
    Ok(Committed::Done(None))
}

/// The caller's sign-up, locked with its client, while it can be changed.
///
/// # Errors
/// `resource_not_found` for another client's, `resource_forbidden` for a replaced one, `client_state_invalid` for one
/// that is over.
pub(super) async fn current(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    id: &str,
) -> Result<(ClientId, SignUp)> {
    let other = || code::RESOURCE_NOT_FOUND.because(Reason::AttemptOtherClient, "read");
    let token = token.ok_or_else(other)?;
    let client = clients::lock_by_token(&mut *db, token).await?.ok_or_else(other)?;
    let found = sign_ups::of_client(&mut *db, &client, id).await?.ok_or_else(other)?;
    flow_steps::resume(ctx, found.attempt.flow_id.as_ref(), None);
    if found.is_abandoned || found.attempt.status == sign_up::Status::Complete {
        let detail = if found.is_abandoned { "abandoned" } else { "done" };
        return Err(code::CLIENT_STATE_INVALID.because(Reason::AttemptExpired, detail).into());
    }
    if found.is_replaced {
        flow_steps::log_replacement(ctx, &mut *db, &client).await;
        return Err(code::RESOURCE_FORBIDDEN.because(Reason::AttemptReplaced, "").into());
    }
    Ok((client, found.attempt))
}

/// The digest of the password that was typed: made before anything is locked.
async fn digest(ctx: &Ctx, typed: &Typed) -> Result<Option<String>> {
    let Some(chosen) = &typed.password else { return Ok(None) };
    let names: Vec<&str> = typed.email.iter().map(EmailAddress::as_str).chain(typed.username.as_deref()).collect();
    password::choose(ctx, chosen.expose_secret(), &names).await.map(Some)
}

/// Writes down what was typed.
async fn write(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    id: &str,
    typed: &Typed,
    digest: Option<&str>,
) -> Result<()> {
    may_have(ctx, typed)?;
    are_free(ctx, db, typed).await?;
    let fields = &typed.fields;
    let change = Change {
        email: typed.email.as_ref().map(EmailAddress::as_str),
        username: typed.username.as_deref(),
        first_name: fields.first_name.as_deref(),
        last_name: fields.last_name.as_deref(),
        locale: fields.locale.as_deref(),
        unsafe_metadata: fields.unsafe_metadata.as_ref(),
        legal_accepted: typed.legal_accepted,
        password_digest: digest,
    };
    sign_ups::change(&mut *db, id, &change).await?;
    Ok(())
}

/// Whether the instance knows these attributes, and their form.
fn may_have(ctx: &Ctx, typed: &Typed) -> Result<(), Problem> {
    let attributes = &ctx.instance.settings.attributes;
    let unknown = |name| Err(Problem::new(code::FORM_PARAM_UNKNOWN).param(name));
    if typed.email.is_some() && !attributes.email_address.enabled {
        return unknown("email_address");
    }
    let Some(name) = &typed.username else { return Ok(()) };
    if !attributes.username.is_enabled() {
        return unknown("username");
    }
    username::check(name).map_err(|unusable| {
        let code = match unusable {
            username::Unusable::Length => code::FORM_USERNAME_INVALID_LENGTH,
            username::Unusable::Character => code::FORM_USERNAME_INVALID_CHARACTER,
            username::Unusable::PhoneNumber => code::FORM_USERNAME_CANNOT_BE_PHONE_NUMBER,
            username::Unusable::OnlyDigits => code::FORM_USERNAME_NEEDS_NON_NUMBER_CHAR,
        };
        Problem::new(code).param("username")
    })
}

/// Whether somebody has these already. Where answers must not tell who has an account, a taken address is found out
/// after its verification only.
async fn are_free(ctx: &Ctx, db: &mut InstanceConnection<'_>, typed: &Typed) -> Result<()> {
    let taken = |param| Problem::new(code::FORM_IDENTIFIER_EXISTS).param(param);
    let may_reveal = ctx.instance.settings.enumeration_protection != EnumerationProtection::Strict;
    if let Some(email) = typed.email.as_ref().filter(|_| may_reveal)
        && sign_ins::owner_of_address(&mut *db, email.as_str(), false).await?.is_some()
    {
        return Err(taken("email_address").into());
    }
    if let Some(username) = &typed.username
        && users::has_username(db, username).await?
    {
        return Err(taken("username").into());
    }
    Ok(())
}

/// Makes the user if nothing is missing any more. What it is refused with was written down.
///
/// # Errors
/// Those of [`finish::complete_if_ready`].
pub(super) async fn complete_or_wait(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    id: &str,
    by: CompletedBy,
) -> Result<Committed<Option<Issued>>, Aborted> {
    match finish::complete_if_ready(ctx, db, &SignUpAttempt { id, client, by }).await? {
        Finished::Complete(issued) => Ok(Committed::Done(Some(issued))),
        Finished::Waits(_) => Ok(Committed::Done(None)),
        Finished::Refused(closed) => {
            let (failure, code) = finish::refusal(closed);
            Ok(Committed::Refused(code.because(failure.reason, failure.detail)))
        }
        Finished::Transferable => {
            let row = sign_ups::row(&mut *db, id).await?;
            if let Some(verification) = row.and_then(|row| row.external_account) {
                let error = social_error::object(social_error::EXISTS, Map::new());
                let status = Status::Transferable;
                attempts::answer_verification(db, &verification, status, Some(&error)).await?;
            }
            Ok(Committed::Done(None))
        }
    }
}
