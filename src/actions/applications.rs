//! OAuth applications: made, shown, listed. Shared by the backend API and the command line.

use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Lookup, Secret};
use crate::model::id::ApplicationId;
use crate::model::oauth::application::{Application, CLIENT_ID_LENGTH, CLIENT_SECRET_LENGTH, NewApplication};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::random::base62;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::oauth_applications::{self, Identity, Listing};
use crate::store::transact::{Committed, ScopedFutureExt, transact};

/// A new application and the only sight of its secret.
pub struct Created {
    /// The application.
    pub application: Application,
    /// Its secret; none for a public one. Not stored: only its keyed hash is.
    pub client_secret: Option<Secret>,
}

/// Makes an application, in `actor`'s name.
///
/// # Errors
/// What [`NewApplication::check`] refuses; storage faults.
pub async fn create(ctx: &Ctx, actor: Actor, new: NewApplication) -> Result<Created> {
    let checked = new.check(&ctx.instance)?;
    let id = ApplicationId::new(ctx.now, ctx.rng());
    let client_id = base62(ctx.rng(), CLIENT_ID_LENGTH);
    let client_secret = (!checked.is_public).then(|| Secret::from(base62(ctx.rng(), CLIENT_SECRET_LENGTH)));
    let ring = &ctx.app.ring;
    let hash = |secret: &Secret| (ring.lookup_hash(Lookup::ClientSecret, secret.expose_secret()), ring.first_id());
    let identity = Identity { id: &id, client_id: &client_id, secret: client_secret.as_ref().map(hash) };
    let (identity, checked, actor) = (&identity, &checked, &actor);
    let application = transact::<_, Error>(ctx.db(), "application.create", |tx| {
        async move {
            let application = oauth_applications::insert(&mut *tx, identity, checked).await?;
            let action = "oauth_application.created";
            let mut event = AuditEvent::new(ctx.instance_id().as_str(), action, actor.clone(), ctx.app.clock.now());
            event.target = Some(("oauth_application", application.id.as_str()));
            event.from = Some(&ctx.from);
            audit::append(tx, ctx.rng(), event).await?;
            Ok(Committed::Done(application))
        }
        .scope_boxed()
    });
    Ok(Created { application: application.await?, client_secret })
}

/// The application with this id.
///
/// # Errors
/// `resource_not_found`, also for texts that are no ids and for applications of other instances.
pub async fn get(ctx: &Ctx, id: &str) -> Result<Application> {
    let id = ApplicationId::parse(id).ok_or(code::RESOURCE_NOT_FOUND)?;
    let found = oauth_applications::by_id(&mut ctx.db(), &id).await?;
    Ok(found.ok_or(Problem::new(code::RESOURCE_NOT_FOUND))?)
}

/// One page of applications, and how many there are.
///
/// # Errors
/// Storage faults.
pub async fn list(ctx: &Ctx, listing: &Listing<'_>) -> Result<(Vec<Application>, i64)> {
    Ok(oauth_applications::list(&mut ctx.db(), listing).await?)
}
