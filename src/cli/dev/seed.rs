//! What a new development instance holds, so that everything can be tried at once: two users and an OAuth application.

use super::super::failure::Failure;
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::flows::applications;
use crate::model::id::{IdentificationId, UserId};
use crate::model::oauth::application::NewApplication;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::users::{self, NewAddress, NewUser};

/// The users: given name, family name, address. The simulated providers know people with these addresses.
pub const USERS: [(&str, &str, &str); 2] =
    [("Ada", "Lovelace", "ada@example.com"), ("Grace", "Hopper", "grace@example.com")];

/// Where the application takes its codes.
const REDIRECT_URI: &str = "http://localhost:3000/oauth/callback";

/// Makes users and application. Returns the application's variables, for `dev.env`: its secret is shown this once.
pub async fn plant(ctx: &Ctx, actor: &Actor) -> Result<Vec<(String, String)>, Failure> {
    for (first_name, last_name, address) in USERS {
        add_user(ctx, actor, first_name, last_name, address).await?;
    }
    let new = NewApplication {
        name: Some("Example application".to_owned()),
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        scopes: Some("openid profile email offline_access".to_owned()),
        ..NewApplication::default()
    };
    let created = applications::create(ctx, new).await?;
    let mut lines = vec![("OAUTH_CLIENT_ID".to_owned(), created.application.client_id)];
    let secret = created.client_secret.map(|secret| secret.expose_secret().to_owned());
    lines.extend(secret.map(|secret| ("OAUTH_CLIENT_SECRET".to_owned(), secret)));
    lines.push(("OAUTH_REDIRECT_URI".to_owned(), REDIRECT_URI.to_owned()));
    Ok(lines)
}

async fn add_user(ctx: &Ctx, actor: &Actor, first_name: &str, last_name: &str, address: &str) -> Result<(), Failure> {
    let (id, address_id) = (UserId::new(ctx.now, ctx.rng()), IdentificationId::new(ctx.now, ctx.rng()));
    let new = NewUser {
        id: &id,
        first_name: Some(first_name),
        last_name: Some(last_name),
        image_url: None,
        locale: None,
        unsafe_metadata: None,
        email: Some(NewAddress { id: &address_id, value: address, is_verified: true, strategy: "admin" }),
    };
    let mut transaction = ctx.app.db.begin().await?;
    if !users::create(&mut transaction, ctx.instance_id(), &new, ctx.offset()).await? {
        return Ok(());
    }
    let event = AuditEvent {
        user: Some(&id),
        target: Some(("user", id.as_str())),
        ..AuditEvent::new(ctx.instance_id().as_str(), "user.created", actor.clone(), ctx.app.clock.now())
    };
    audit::append(&mut transaction, ctx.rng(), event).await?;
    transaction.commit().await?;
    Ok(())
}
