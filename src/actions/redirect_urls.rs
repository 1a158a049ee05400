//! The addresses of native applications that may receive a sign-in.

use serde_json::json;

use crate::context::Ctx;
use crate::model::id::RedirectUrlId;
use crate::model::native_url::{MAX_PER_INSTANCE, NativeUrl};
use crate::model::problem::{Problem, Result, code};
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::redirect_urls::{self, Added, RedirectUrl};
use crate::store::transact::{Committed, ScopedFutureExt, transact};

/// Lists an address.
///
/// # Errors
/// `form_already_exists`; `form_param_value_invalid` above 50.
pub async fn create(ctx: &Ctx, url: &NativeUrl, actor: Actor) -> Result<RedirectUrl> {
    let id = RedirectUrlId::new(ctx.now, ctx.rng());
    let (id, actor) = (&id, &actor);
    transact(ctx.db(), "redirect_url.create", |tx| {
        async move {
            let added = redirect_urls::add(tx, id, url, MAX_PER_INSTANCE).await?;
            let listed = match added {
                Added::Listed(listed) => listed,
                Added::Exists => return Err(Problem::new(code::FORM_ALREADY_EXISTS).param("url").into()),
                Added::Full => {
                    let words = format!("An instance has at most {MAX_PER_INSTANCE} redirect URLs.");
                    return Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("url").explain(words).into());
                }
            };
            record(ctx, tx, "redirect_url.created", &listed, actor.clone()).await?;
            Ok(Committed::Done(listed))
        }
        .scope_boxed()
    })
    .await
}

/// Takes an address off the list.
///
/// # Errors
/// `resource_not_found`.
pub async fn delete(ctx: &Ctx, id: &RedirectUrlId, actor: Actor) -> Result<()> {
    let actor = &actor;
    transact(ctx.db(), "redirect_url.delete", |tx| {
        async move {
            let gone = redirect_urls::remove(tx, id).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
            record(ctx, tx, "redirect_url.deleted", &gone, actor.clone()).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await
}

async fn record(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    action: &str,
    url: &RedirectUrl,
    actor: Actor,
) -> Result<()> {
    let event = AuditEvent {
        target: Some(("redirect_url", url.id.as_str())),
        changes: json!({ "url": url.url }),
        from: Some(&ctx.from),
        ..AuditEvent::new(ctx.instance_id().as_str(), action, actor, ctx.app.clock.now())
    };
    Ok(audit::append(db, ctx.rng(), event).await?)
}
