//! `vestibule provider`.

mod settings;

use std::io::IsTerminal;

use clap::{Args, Subcommand};

use self::settings::Settings;
use super::Global;
use super::failure::{Exit, Failure};
use super::open::{Open, actor};
use super::show;
use crate::actions::providers::{self, Description, ProviderError, Set, describe};
use crate::context::Ctx;
use crate::model::provider_config::{Credentials, ProviderConfig};

/// What to do with providers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the instance's providers
    List,
    /// Add a provider: github, google, notion, or custom_KEY with --issuer or endpoints
    Add(Box<Add>),
    /// Change a provider: credentials for the real service, back to the simulation, every other setting
    Set(Box<Change>),
    /// Show a provider and the callback address to register at it
    Show(Named),
    /// Remove a provider
    Remove(Remove),
}

/// A provider.
#[derive(Debug, Args)]
pub struct Named {
    /// Name: github, google, notion, custom_KEY
    name: String,
}

/// A new provider.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    named: Named,
    /// Do not enable it yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    settings: Settings,
}

/// A changed provider.
#[derive(Debug, Args)]
pub struct Change {
    #[command(flatten)]
    named: Named,
    /// Let the simulator play it (development instances); forgets the credentials
    #[arg(long, conflicts_with_all = ["client_id", "client_secret_file"])]
    simulated: bool,
    /// Use it without a client secret (custom providers)
    #[arg(long, conflicts_with = "client_secret_file")]
    public: bool,
    /// Let people use it
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Do not let people use it
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    settings: Settings,
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
            Command::Show(named) => {
                let slug = providers::slug(&ctx, &named.name)?;
                show(global, &ctx, &providers::get(&ctx, &slug).await?)
            }
            Command::Remove(remove) => remove.run(&ctx).await,
        },
    };
    open.close().await;
    outcome
}

impl Add {
    async fn run(self, global: &Global, ctx: &Ctx) -> Result<(), Failure> {
        let slug = providers::slug(ctx, &self.named.name)?;
        if providers::get(ctx, &slug).await.is_ok() {
            return Err(ProviderError::Exists(slug.to_string()).into());
        }
        let is_custom = slug.starts_with("custom_");
        let patch = self.settings.patch(None)?;
        if is_custom && !(self.settings.has_client() && patch.custom.is_some()) {
            return Err(usage("a custom provider needs --client-id, and --issuer or its endpoints"));
        }
        if !is_custom && patch.custom.is_some() {
            return Err(usage("--issuer, endpoints and mappings are for custom providers: custom_KEY"));
        }
        if !is_custom && !self.settings.has_client() && !ctx.instance.allows_simulated_providers() {
            return Err(usage("a production instance needs --client-id and --client-secret-file"));
        }
        if !is_custom && self.settings.has_client() && !self.settings.has_secret() {
            return Err(need_secret(&slug));
        }
        let config = providers::add(ctx, &slug, &patch, (!self.disabled).into(), &actor()).await?;
        show(global, ctx, &config)
    }
}

impl Change {
    async fn run(self, global: &Global, ctx: &Ctx) -> Result<(), Failure> {
        let slug = providers::slug(ctx, &self.named.name)?;
        let found = providers::get(ctx, &slug).await?;
        let has_switch = self.simulated || self.enable || self.disable || self.public;
        if !has_switch && self.settings.is_empty() {
            return Err(usage(
                "nothing to change: say --enable, --disable, --simulated, --client-id or another setting",
            ));
        }
        // Another client has another secret.
        if found.custom.is_none() && self.settings.has_client() && !self.settings.has_secret() {
            return Err(need_secret(&slug));
        }
        let mut patch = self.settings.patch(Some(&found))?;
        if self.enable || self.disable {
            patch.is_enabled = Some(self.enable);
        }
        if self.simulated {
            patch.credentials = Some(Credentials::Simulated);
        }
        if self.public {
            patch.client_secret = Set::Clear;
        }
        let config = providers::change(ctx, &slug, &patch, &actor()).await?;
        show(global, ctx, &config)
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
        return Err(usage("say --yes to remove it"));
    }
    eprint!("Nobody can sign in by {slug} any more. Type {slug} to go on: ");
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    if read.is_err() || typed.trim() != slug { Err(Failure::failed("nothing was removed")) } else { Ok(()) }
}

fn need_secret(slug: &str) -> Failure {
    usage(&format!("{slug} needs --client-secret-file (- reads it from stdin)"))
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
}

async fn list(global: &Global, ctx: &Ctx) -> Result<(), Failure> {
    let all = providers::list(ctx).await?;
    let described: Vec<Description> = all.iter().map(|config| describe(ctx, config)).collect();
    show::answer(global, &described, || {
        let row = |config: &ProviderConfig| vec![config.provider.to_string(), state(config), kind(config).to_owned()];
        show::table(&all.iter().map(row).collect::<Vec<_>>())
    })
}

fn show(global: &Global, ctx: &Ctx, config: &ProviderConfig) -> Result<(), Failure> {
    let described = describe(ctx, config);
    show::answer(global, &described, || {
        let mut lines = vec![
            format!("Provider          {} ({})", described.key, state(config)),
            format!("Strategy          {}", described.strategy),
            format!("Name              {}", described.name),
            format!("Credentials       {}", kind(config)),
        ];
        lines.extend(config.client_id.as_ref().map(|id| format!("Client id         {id}")));
        let scopes: Vec<&str> = described.base_scopes.iter().chain(&config.scopes).map(String::as_str).collect();
        lines.push(format!("Scopes            {}", scopes.join(" ")));
        lines.push(format!("Callback address  {}", described.callback_url));
        lines.extend(described.problem.map(|problem| format!("Problem           {problem}: no sign-in can begin")));
        if config.credentials == Credentials::Custom {
            lines.push(String::new());
            lines.push("Register the callback address with the provider exactly as it is written here.".to_owned());
        }
        let trusts = config.custom.as_ref().and_then(|custom| custom.get("trust_email_verified")?.as_bool());
        if trusts == Some(true) {
            lines.push("Its claims about addresses are believed: whoever runs it can take over accounts.".to_owned());
        }
        lines
    })
}

fn state(config: &ProviderConfig) -> String {
    let state = if config.is_enabled { "enabled" } else { "disabled" };
    if config.is_authenticatable { state.to_owned() } else { format!("{state}, connect only") }
}

fn kind(config: &ProviderConfig) -> &'static str {
    match config.credentials {
        Credentials::Simulated => "simulated",
        Credentials::Custom => "own, the real service",
    }
}
