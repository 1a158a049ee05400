//! Somebody types who they are: an address or a username.

use super::first_factor::{self, Prepare};
use crate::actions::attempt;
use crate::actions::client::{self, ClientUpdate, Issued};
use crate::actions::factors;
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flow_log::Kind;
use crate::model::email::EmailAddress;
use crate::model::id::{ClientId, SignInId};
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::settings::{EnumerationProtection, SignUpMode};
use crate::model::strategy::Strategy;
use crate::store::InstanceConnection;
use crate::store::sign_ins::{self, NewSignIn, SignInStart};
use crate::store::transact::{Committed, ScopedFutureExt, transact};

/// Who it is, and how they want to verify it.
#[derive(Clone, Copy, Debug)]
pub struct Identify<'a> {
    /// What was typed.
    pub identifier: &'a str,
    /// A stranger may go on, and sign up after the verification.
    pub sign_up_if_missing: bool,
    /// The first factor to be prepared at once.
    pub prepare: Option<Prepare<'a>>,
}

/// An identifier as it is looked up.
enum Identifier {
    Address(EmailAddress),
    Username(String),
}

/// Begins a sign-in for whoever has `identifier`; replaces what the client had begun before.
///
/// # Errors
/// Those of [`begin`].
pub async fn identify(ctx: &Ctx, token: Option<&LookupHash>, asked: Identify<'_>) -> Result<ClientUpdate> {
    let (_, issued) = begin(ctx, token, asked).await?;
    client::read_updated(ctx, token, issued).await
}

/// Begins a sign-in as [`identify`] does; returns its id, and the token of the client if it is a new one.
///
/// # Errors
/// `form_identifier_not_found`, `session_exists`, the `sign_up_if_missing_…` codes; those of
/// [`first_factor::prepare`] where a factor is prepared at once. Nothing is written then.
pub(super) async fn begin(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    asked: Identify<'_>,
) -> Result<(SignInId, Option<Issued>)> {
    let strategy = asked.prepare.map_or("identifier", |prepare| &prepare.strategy.sent);
    let target = asked.prepare.and_then(|prepare| prepare.redirect_url);
    flow_steps::log_start(ctx, Kind::SignIn, strategy, target, None);
    let identifier = parse(ctx, asked.identifier)?;
    if asked.sign_up_if_missing {
        may_sign_up(ctx, &asked)?;
    }
    let identifier = &identifier;
    transact(ctx.db(), "sign_in.begin", |tx| {
        async move {
            let (client, issued) = client::lock_or_create(ctx, tx, token).await?;
            flow_steps::set_client(ctx, &client);
            let (id, flow, settings) = (SignInId::new(ctx.now, ctx.rng()), ctx.flow_log.flow(), &ctx.instance.settings);
            let new = NewSignIn {
                id: &id,
                client: &client,
                flow: flow.as_ref(),
                identifier: match identifier {
                    Identifier::Address(address) => sign_ins::Identifier::Address(address.as_str()),
                    Identifier::Username(name) => sign_ins::Identifier::Username(name),
                },
                claims_count: !settings.attributes.email_address.verify_at_sign_up,
                admits_nobody: asked.sign_up_if_missing || is_strict(ctx),
                sign_up_if_missing: asked.sign_up_if_missing,
                is_single_session: settings.single_session_mode,
            };
            match sign_ins::begin(tx, &new).await? {
                SignInStart::SignInStart => {}
                SignInStart::Nobody => return Err(not_found().into()),
                SignInStart::HasSession(session) => return Err(attempt::session_exists(ctx, &client, &session).into()),
            }
            if let Some(prepare) = asked.prepare {
                prepare_at_once(ctx, tx, &client, id.as_str(), prepare).await?;
            }
            Ok(Committed::Done((id, issued)))
        }
        .scope_boxed()
    })
    .await
}

fn is_strict(ctx: &Ctx) -> bool {
    ctx.instance.settings.enumeration_protection == EnumerationProtection::Strict
}

fn not_found() -> Problem {
    Problem::new(code::FORM_IDENTIFIER_NOT_FOUND).param("identifier").because(Reason::CredentialsWrong, "identifier")
}

fn parse(ctx: &Ctx, text: &str) -> Result<Identifier> {
    let attributes = &ctx.instance.settings.attributes;
    if text.contains('@') {
        if !attributes.email_address.enabled {
            return Err(not_found().into());
        }
        let wrong = || Problem::new(code::FORM_PARAM_FORMAT_INVALID).param("identifier");
        return Ok(Identifier::Address(EmailAddress::parse(text).ok_or_else(wrong)?));
    }
    // A username alone would give away its user's addresses, where nothing may be given away.
    let may_reveal = !is_strict(ctx) || attributes.password.is_enabled();
    if attributes.username.is_enabled() && may_reveal && text.chars().count() <= 64 {
        return Ok(Identifier::Username(text.to_owned()));
    }
    Err(not_found().into())
}

fn may_sign_up(ctx: &Ctx, asked: &Identify<'_>) -> Result<()> {
    if ctx.instance.settings.sign_up.mode != SignUpMode::Public || !asked.identifier.contains('@') {
        return Err(Problem::new(code::SIGN_UP_IF_MISSING_NOT_ALLOWED).param("sign_up_if_missing").into());
    }
    let by_mail = |strategy: &Strategy| matches!(strategy, Strategy::EmailCode | Strategy::EmailLink);
    if asked.prepare.is_some_and(|prepare| !prepare.strategy.known().is_some_and(by_mail)) {
        return Err(Problem::new(code::SIGN_UP_IF_MISSING_STRATEGY_NOT_SUPPORTED).param("strategy").into());
    }
    Ok(())
}

async fn prepare_at_once(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    id: &str,
    prepare: Prepare<'_>,
) -> Result<()> {
    let found = sign_ins::of_client(&mut *db, client, id).await?;
    let mut attempt = found.ok_or(code::RESOURCE_NOT_FOUND)?.attempt;
    factors::fill(ctx, &mut attempt);
    first_factor::send(ctx, db, client, &attempt, prepare).await
}
