//! What a new development instance holds, so that everything can be tried at once: two users and an OAuth application.

use super::super::failure::Failure;
use crate::actions::applications;
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::model::id::{ExternalAccountId, IdentificationId, UserId};
use crate::model::oauth::application::NewApplication;
use crate::model::profile::{EmailTrust, Profile};
use crate::model::strategy::AddressStrategy;
use crate::simulator;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::external_accounts::{self, NewAccount};
use crate::store::users::{self, NewAddress, NewUser};
use crate::upstream::descriptor::{Descriptor, EmailLevel};

/// The users: given name, family name, address. Each has the accounts of the simulated people with that address, so that
/// any simulated provider signs them in.
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
    let created = applications::create(ctx, actor.clone(), new).await?;
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
        username: None,
        first_name: Some(first_name),
        last_name: Some(last_name),
        image_url: None,
        locale: None,
        unsafe_metadata: None,
        legal_accepted_at: None,
        password_digest: None,
        email: Some(NewAddress {
            id: &address_id,
            value: address,
            is_verified: true,
            strategy: &AddressStrategy::Admin,
        }),
    };
    let mut db = ctx.db();
    let mut transaction = db.begin().await?;
    let tx = &mut transaction.connection();
    if !users::create(tx, &new).await? {
        return Ok(());
    }
    for provider in ctx.app.catalogue.all() {
        let Some(profile) = profile(provider, first_name, last_name, address) else { continue };
        let new = NewAccount {
            id: &ExternalAccountId::new(ctx.now, ctx.rng()),
            identification: &IdentificationId::new(ctx.now, ctx.rng()),
            user: &id,
            provider: &provider.slug,
            profile: &profile,
            address: profile.email_trust.counts_as_verified().then_some(&address_id),
            scopes: &[],
        };
        external_accounts::create(tx, &new).await?;
    }
    let event = AuditEvent {
        user: Some(&id),
        target: Some(("user", id.as_str())),
        ..AuditEvent::new(ctx.instance_id().as_str(), "user.created", actor.clone(), ctx.app.clock.now())
    };
    audit::append(tx, ctx.rng(), event).await?;
    transaction.commit().await?;
    Ok(())
}

/// The person with this address as the simulated provider describes them; `None` if it cannot be simulated.
fn profile(provider: &Descriptor, first_name: &str, last_name: &str, address: &str) -> Option<Profile> {
    let vouches = provider.email.trust == EmailLevel::Claim;
    Some(Profile {
        provider_user_id: simulator::provider_user_id(&provider.slug, address)?,
        email: Some(address.to_owned()),
        email_trust: if vouches { EmailTrust::Verified } else { EmailTrust::Unverified },
        first_name: Some(first_name.to_owned()),
        last_name: Some(last_name.to_owned()),
        username: None,
        avatar_url: None,
        phone: None,
        locale: None,
        public_metadata: serde_json::Map::new(),
    })
}
