//! For a flow that ended before anything was decided: whether its cause still stands.

use super::Cause;
use crate::actions::flow_steps::origin_of;
use crate::context::Ctx;
use crate::model::flow::{Kind, StepName};
use crate::model::problem::Result;
use crate::model::provider_config::Credentials;
use crate::model::reason::{Again, Reason, Why};
use crate::model::strategy::{ProviderSlug, RequestedStrategy, Strategy};
use crate::store::flows::{Flow, Step};
use crate::store::oauth_codes::{self, Presented};
use crate::store::{provider_configs, sessions};

/// What a provider is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    SignIn,
    Connect,
}

impl Use {
    pub(super) fn of(flow: &Flow) -> Self {
        match flow.kind {
            Kind::Connect | Kind::Reauthorize => Self::Connect,
            Kind::SignIn | Kind::SignUp | Kind::Authorize => Self::SignIn,
            Kind::Callback | Kind::Token | Kind::Request | Kind::Unknown => Self::SignIn,
        }
    }
}

/// Why a start with this provider would be refused now, by its configuration alone: nobody is asked.
pub(super) async fn unavailable(ctx: &Ctx, strategy: &RequestedStrategy<'_>, use_as: Use) -> Result<Option<Why>> {
    let why = |reason, detail| Ok(Some(Why::new(reason, detail)));
    let Some(slug) = strategy.provider() else { return why(Reason::ProviderUnavailable, "unknown") };
    let config = provider_configs::get(&mut ctx.db(), slug).await?;
    let is_known = ctx.app.catalogue.get(slug).is_some() || config.as_ref().is_some_and(|one| one.custom.is_some());
    if !is_known {
        return why(Reason::ProviderUnavailable, "unknown");
    }
    let Some(config) = config.filter(|config| config.is_enabled) else {
        return why(Reason::ProviderUnavailable, "disabled");
    };
    if !config.is_authenticatable && use_as == Use::SignIn {
        return why(Reason::ProviderUnavailable, "connect_only");
    }
    let is_missing = match config.credentials {
        Credentials::Simulated => !ctx.instance.allows_simulated_providers(),
        Credentials::Custom => {
            let has_id = config.client_id.is_some_and(|id| !id.is_empty());
            !has_id || (config.client_secret_sealed.is_none() && config.custom.is_none())
        }
    };
    if is_missing { why(Reason::CredentialsUnusable, "missing") } else { Ok(None) }
}

/// Whether what stopped the flow before a decision still stands.
pub(super) async fn cause(ctx: &Ctx, flow: &Flow, steps: &[Step]) -> Result<Cause> {
    let Some(reason) = flow.reason else { return Ok(Cause::Unknown) };
    let of_start = |name: &str| of_start(steps, name);
    let use_as = Use::of(flow);
    let stands = |stands: bool| if stands { Cause::Stands } else { Cause::Gone };
    Ok(match reason {
        Reason::ProviderUnavailable | Reason::CredentialsUnusable => {
            let named = of_start("strategy").map(RequestedStrategy::parse);
            let by_flow = || Some(Strategy::OAuth(ProviderSlug::parse(flow.provider.as_deref()?)?).into());
            let named = named.or_else(by_flow);
            match named {
                Some(strategy) => stands(unavailable(ctx, &strategy, use_as).await?.is_some()),
                None => Cause::Unknown,
            }
        }
        Reason::ClientUnknown | Reason::ClientRedirectMismatch => client(ctx, steps, reason).await?,
        // What a client may ask for is a setting of it, and the request itself is not stored.
        Reason::ClientRequestInvalid if flow.detail.as_deref() == Some("invalid_scope") => Cause::Unknown,
        // The same request is refused again, until the app sends another.
        Reason::RedirectInvalid | Reason::ClientRequestInvalid => Cause::Stands,
        Reason::RedirectUnlisted => {
            let targets = ["redirect_url", "action_complete_redirect_url"].map(of_start);
            stands(targets.into_iter().flatten().any(|origin| !ctx.instance.is_own_origin(origin)))
        }
        Reason::EndpointRefused if flow.detail.as_deref() == Some("offline") => stands(ctx.app.config.outbound.offline),
        Reason::AlreadySignedIn => match &flow.client_id {
            Some(client) => {
                let open = sessions::newest_open(&mut ctx.db(), client).await?;
                stands(open.is_some())
            }
            None => Cause::Unknown,
        },
        // Whoever reads this has the database.
        Reason::Internal if flow.detail.as_deref() == Some("storage") => Cause::Gone,
        // The browser may still lose its cookie for the same cause; what was typed is not stored.
        Reason::CookieMissing | Reason::CredentialsWrong => Cause::Unknown,
        reason => match reason.again() {
            // A new start begins afresh.
            Again::Yes => Cause::Gone,
            Again::Later | Again::No(_) => Cause::Unknown,
        },
    })
}

/// A member of a flow's first step.
fn of_start<'a>(steps: &'a [Step], name: &str) -> Option<&'a str> {
    let start = steps.iter().rfind(|step| step.name == StepName::Started);
    start.and_then(|start| start.detail.get(name)).and_then(|value| value.as_str())
}

/// Whether an OAuth client is still unknown, or still has no redirect URI at that place; of the URI, no more is stored.
async fn client(ctx: &Ctx, steps: &[Step], reason: Reason) -> Result<Cause> {
    let Some(client_id) = of_start(steps, "client_id") else { return Ok(Cause::Unknown) };
    let presented = Presented::default();
    let found = oauth_codes::facts(&mut ctx.db(), client_id, presented).await?;
    Ok(match (found, reason) {
        (None, _) => Cause::Stands,
        (Some(_), Reason::ClientUnknown) => Cause::Gone,
        (Some(found), _) => {
            let sent = of_start(steps, "redirect_uri");
            let is_there = |registered: &String| sent.is_none_or(|sent| origin_of(registered) == sent);
            if found.application.redirect_uris.iter().any(is_there) { Cause::Unknown } else { Cause::Stands }
        }
    })
}
