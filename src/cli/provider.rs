//! `vestibule provider`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::failure::{Exit, Failure};
use super::open::{Open, actor};
use super::{secret, show};
use crate::context::Ctx;
use crate::flows::providers::{self, OwnCredentials, ProviderError, Switch};
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::store::provider_configs;
use crate::upstream::descriptor::ClientAuth;

/// What to do with providers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the instance's providers
    List,
    /// Add a provider: google, notion, or custom_KEY with --issuer
    Add(Add),
    /// Change a provider: credentials for the real service, or back to the simulation
    Set(Set),
    /// Show a provider and the callback address to register at it
    Show(Named),
    /// Remove a provider
    Remove(Remove),
}

/// A provider.
#[derive(Debug, Args)]
pub struct Named {
    /// Name: google, notion, custom_KEY
    name: String,
}

/// Credentials at the real service.
#[derive(Debug, Args)]
struct OwnArguments {
    /// Client id at the provider
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// File with the client secret; - reads it from stdin
    #[arg(long, value_name = "PATH", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// Scopes beyond the provider's usual ones, separated by blanks
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<String>,
}

/// A new provider.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    own: OwnArguments,
    /// Address of a custom provider's issuer: its discovery document says the rest
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// What people read on a custom provider's button [default: the issuer's host]
    #[arg(long, value_name = "TEXT", requires = "issuer")]
    label: Option<String>,
    /// Do not enable it yet
    #[arg(long)]
    disabled: bool,
}

/// A changed provider.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    own: OwnArguments,
    /// Let the simulator play it (development instances)
    #[arg(long, conflicts_with_all = ["client_id", "scopes"])]
    simulated: bool,
    /// Let people use it
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Do not let people use it
    #[arg(long)]
    disable: bool,
}

/// A removed provider.
#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    named: Named,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Fault(error) => error.into(),
            ProviderError::Unknown { .. } => Self::new(Exit::Usage, error.to_string()),
            other => Self::failed(other.to_string()),
        }
    }
}

/// Runs the command.
pub async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = match open.ctx(global).await {
        Err(failure) => Err(failure),
        Ok(ctx) => match command {
            Command::List => list(global, &ctx).await,
            Command::Add(add) => add.run(global, &ctx).await,
            Command::Set(set) => set.run(global, &ctx).await,
            Command::Show(named) => show(global, &ctx, &named.name).await,
            Command::Remove(remove) => remove.run(&ctx).await,
        },
    };
    open.close().await;
    outcome
}

impl OwnArguments {
    /// The credentials, if any were given. The secret is read only now.
    fn read(&self) -> Result<Option<OwnCredentials>, Failure> {
        let Some(client_id) = &self.client_id else { return Ok(None) };
        let client_secret = self.client_secret_file.as_deref().map(secret::read).transpose()?;
        let scopes = self.scopes.as_ref().map(|text| text.split_whitespace().map(str::to_owned).collect());
        Ok(Some(OwnCredentials { client_id: client_id.trim().to_owned(), client_secret, scopes }))
    }
}

impl Add {
    async fn run(self, global: &Global, ctx: &Ctx) -> Result<(), Failure> {
        let slug = providers::slug(ctx, &self.named.name)?;
        if provider_configs::get(&ctx.app.db, ctx.instance_id(), &slug).await?.is_some() {
            return Err(ProviderError::Exists(slug).into());
        }
        let own = self.own.read()?;
        match (slug.starts_with("custom_"), own) {
            (true, Some(own)) => self.custom(ctx, &slug, &own).await?,
            (true, None) => return Err(missing("a custom provider needs --issuer and --client-id")),
            (false, _) if self.issuer.is_some() => return Err(missing("--issuer is for custom providers: custom_KEY")),
            (false, Some(own)) => {
                need_secret(&slug, &own)?;
                providers::use_own(ctx, &slug, &own, None, &actor()).await?;
            }
            (false, None) if ctx.instance.allows_simulated_providers() => {
                providers::use_simulation(ctx, &slug, &actor()).await?;
            }
            (false, None) => {
                return Err(missing("a production instance needs --client-id and --client-secret-file"));
            }
        }
        if self.disabled {
            providers::switch(ctx, &slug, Switch::Off, &actor()).await?;
        }
        show(global, ctx, &slug).await
    }

    async fn custom(&self, ctx: &Ctx, slug: &str, own: &OwnCredentials) -> Result<(), Failure> {
        let Some(issuer) = &self.issuer else { return Err(missing("a custom provider needs --issuer")) };
        let host = url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        let label = self.label.clone().or(host).unwrap_or_else(|| slug.to_owned());
        let mut custom = providers::discover(ctx, slug, issuer, &label).await?;
        if own.client_secret.is_none() {
            custom.client_auth = Some(ClientAuth::None);
        }
        Ok(providers::use_own(ctx, slug, own, Some(&custom), &actor()).await?)
    }
}

impl Set {
    async fn run(self, global: &Global, ctx: &Ctx) -> Result<(), Failure> {
        let slug = providers::slug(ctx, &self.named.name)?;
        let found = providers::get(ctx, &slug).await?;
        let own = self.own.read()?;
        if own.is_none() && !self.simulated && !self.enable && !self.disable {
            return Err(missing("nothing to change: say --client-id, --simulated, --enable or --disable"));
        }
        if let Some(own) = own {
            if found.custom.is_none() {
                need_secret(&slug, &own)?;
            }
            providers::use_own(ctx, &slug, &own, None, &actor()).await?;
        } else if self.simulated {
            providers::use_simulation(ctx, &slug, &actor()).await?;
        }
        if self.enable || self.disable {
            providers::switch(ctx, &slug, self.enable.into(), &actor()).await?;
        }
        show(global, ctx, &slug).await
    }
}

impl Remove {
    async fn run(self, ctx: &Ctx) -> Result<(), Failure> {
        let slug = providers::slug(ctx, &self.named.name)?;
        providers::get(ctx, &slug).await?;
        if !self.yes {
            confirm(&slug)?;
        }
        providers::remove(ctx, &slug, &actor()).await?;
        eprintln!("{slug} is removed; people's accounts at it stay.");
        Ok(())
    }
}

fn confirm(slug: &str) -> Result<(), Failure> {
    use std::io::BufRead;
    if !std::io::stdin().is_terminal() {
        return Err(missing("say --yes to remove it"));
    }
    eprint!("Nobody can sign in by {slug} any more. Type {slug} to go on: ");
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    if read.is_err() || typed.trim() != slug { Err(Failure::failed("nothing was removed")) } else { Ok(()) }
}

fn need_secret(slug: &str, own: &OwnCredentials) -> Result<(), Failure> {
    match own.client_secret {
        Some(_) => Ok(()),
        None => Err(missing(&format!("{slug} needs --client-secret-file (- reads it from stdin)"))),
    }
}

fn missing(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
}

async fn list(global: &Global, ctx: &Ctx) -> Result<(), Failure> {
    let all = provider_configs::all(&ctx.app.db, ctx.instance_id()).await?;
    let documents: Vec<Value> = all.iter().map(|config| document(ctx, config)).collect();
    show::answer(global, &documents, || {
        let row = |config: &ProviderConfig| vec![config.provider.clone(), state(config), kind(config).to_owned()];
        show::table(&all.iter().map(row).collect::<Vec<_>>())
    })
}

async fn show(global: &Global, ctx: &Ctx, name: &str) -> Result<(), Failure> {
    let slug = providers::slug(ctx, name)?;
    let config = providers::get(ctx, &slug).await?;
    show::answer(global, &document(ctx, &config), || {
        let mut lines = vec![
            format!("Provider          {slug} ({})", state(&config)),
            format!("Strategy          oauth_{slug}"),
            format!("Credentials       {}", kind(&config)),
        ];
        lines.extend(config.client_id.as_ref().map(|id| format!("Client id         {id}")));
        lines.push(format!("Callback address  {}", callback(ctx)));
        if config.credentials == Credentials::Custom {
            lines.push(String::new());
            lines.push("Register the callback address with the provider exactly as it is written here.".to_owned());
        }
        lines
    })
}

fn document(ctx: &Ctx, config: &ProviderConfig) -> Value {
    json!({
        "provider": config.provider,
        "strategy": format!("oauth_{}", config.provider),
        "enabled": config.is_enabled,
        "credentials": config.credentials.as_str(),
        "client_id": config.client_id,
        "scopes": config.scopes,
        "callback_url": callback(ctx),
    })
}

fn callback(ctx: &Ctx) -> String {
    ctx.instance.url("/v1/oauth_callback")
}

fn state(config: &ProviderConfig) -> String {
    if config.is_enabled { "enabled" } else { "disabled" }.to_owned()
}

fn kind(config: &ProviderConfig) -> &'static str {
    match config.credentials {
        Credentials::Simulated => "simulated",
        Credentials::Custom => "own, the real service",
    }
}
