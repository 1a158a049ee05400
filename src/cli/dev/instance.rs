//! The instance `dev`: found or made, its address following the port, its secret key stored.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::failure::{Exit, Failure};
use super::super::open::{actor, ctx};
use super::environment;
use super::seed;
use crate::actions::instance::{self, CreateError, NewInstance};
use crate::actions::providers;
use crate::app::App;
use crate::cli::home::Home;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::instance::Instance;
use crate::store::directory;
use crate::store::directory::PresentedKey;

const NAME: &str = "dev";

/// What this process is to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It runs the database's server: nobody else can be the instance's main process.
    Owner,
    /// Another process may be.
    Unknown,
    /// Another process is.
    Replica,
}

/// The instance, ready.
pub struct Dev {
    /// The instance.
    pub instance: Instance,
    /// Its secret key; unknown to a replica in another folder.
    pub secret_key: Option<Secret>,
    /// Whether it was made just now.
    pub is_new: bool,
}

/// Finds or makes the instance.
pub async fn ensure(app: &Arc<App>, home: &Home, port: u16, ownership: Ownership) -> Result<Dev, Failure> {
    if let Some(found) = directory::by_name(&app.db, NAME).await? {
        return adopt(app, home, port, ownership, found).await;
    }
    let new = NewInstance::on_localhost(NAME, port)?;
    let created = match instance::create(app, &new, actor()).await {
        Ok(created) => created,
        // Another process began at the same moment.
        Err(CreateError::NameTaken(_)) => {
            let found = load(app).await?;
            return adopt(app, home, port, Ownership::Replica, found).await;
        }
        Err(error) => return Err(error.into()),
    };
    let instance = load(app).await?;
    let mut lines = environment::lines(&instance, Some(&created.secret_key));
    lines.extend(seed::plant(&ctx(app, instance.clone()), &actor()).await?);
    home.keep_environment(&lines)?;
    Ok(Dev { instance, secret_key: Some(created.secret_key), is_new: true })
}

/// An instance that was made earlier. A replica changes nothing.
async fn adopt(app: &Arc<App>, home: &Home, port: u16, ownership: Ownership, found: Instance) -> Result<Dev, Failure> {
    let new = NewInstance::on_localhost(NAME, port)?;
    let is_here = found.origin == new.origin();
    let is_replica = match ownership {
        Ownership::Owner => false,
        Ownership::Replica => true,
        Ownership::Unknown => !is_here && answers(&found.origin).await,
    };
    let stored = stored_key(app, home, &found).await?;
    if is_replica {
        return Ok(Dev { instance: found, secret_key: stored, is_new: false });
    }
    if !is_here {
        instance::move_to(app, &found, &new, actor()).await?;
    }
    let instance = load(app).await?;
    let is_stored = stored.is_some();
    let secret_key = match stored {
        Some(key) => key,
        None => instance::add_secret_key(app, &instance, "vestibule dev", actor()).await?,
    };
    if !is_stored || !is_here {
        let mut lines = environment::lines(&instance, Some(&secret_key));
        let known: Vec<String> = lines.iter().map(|(name, _)| name.clone()).collect();
        lines.extend(home.environment().into_iter().filter(|(name, _)| !known.contains(name)));
        home.keep_environment(&lines)?;
    }
    Ok(Dev { instance, secret_key: Some(secret_key), is_new: false })
}

async fn load(app: &App) -> Result<Instance, Failure> {
    directory::by_name(&app.db, NAME).await?.ok_or_else(|| Failure::failed("the instance \"dev\" has just gone"))
}

/// The key in `dev.env`, if it is one of this instance's.
async fn stored_key(app: &App, home: &Home, instance: &Instance) -> Result<Option<Secret>, Failure> {
    let Some(key) = home.secret_key() else { return Ok(None) };
    let holder =
        app.directory.by_secret_key(&app.db, &app.ring, &PresentedKey::new(&app.ring, key.expose_secret())).await?;
    Ok(holder.filter(|holder| holder.instance.id == instance.id).map(|_| key))
}

/// True if somebody listens at a loopback address.
async fn answers(origin: &str) -> bool {
    let Some(port) = Url::parse(origin).ok().and_then(|url| url.port_or_known_default()) else { return false };
    let attempt = tokio::net::TcpStream::connect(("127.0.0.1", port));
    matches!(tokio::time::timeout(Duration::from_secs(1), attempt).await, Ok(Ok(_)))
}

/// Which providers are simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulate {
    /// All of them.
    All,
    /// None.
    None,
    /// These.
    Only(Vec<String>),
}

impl FromStr for Simulate {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "all" => Self::All,
            "none" => Self::None,
            list => Self::Only(list.split(',').map(|slug| slug.trim().to_owned()).collect()),
        })
    }
}

/// Enables exactly these simulations; providers with credentials of their own are left alone.
pub async fn simulate(app: &Arc<App>, instance: &Instance, which: &Simulate) -> Result<(), Failure> {
    if let Simulate::Only(slugs) = which
        && let Some(unknown) = slugs.iter().find(|slug| app.catalogue.get(slug).is_none())
    {
        let known: Vec<&str> = app.catalogue.all().map(|provider| provider.slug.as_str()).collect();
        let message =
            format!("--simulate: \"{unknown}\" is no provider of this version; there are {}", known.join(", "));
        return Err(Failure::new(Exit::Usage, message));
    }
    let wanted = |slug: &str| match which {
        Simulate::All => true,
        Simulate::None => false,
        Simulate::Only(slugs) => slugs.iter().any(|wanted| wanted == slug),
    };
    let ctx = ctx(app, instance.clone());
    for provider in app.catalogue.all() {
        let slug = providers::slug(&ctx, &provider.slug)?;
        providers::simulate(&ctx, &slug, wanted(&provider.slug).into(), &actor()).await?;
    }
    Ok(())
}
