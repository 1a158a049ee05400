//! `vestibule instance`.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use url::Url;

use super::Global;
use super::dev::environment;
use super::failure::{Exit, Failure};
use super::home;
use super::open::{Open, actor};
use super::origins;
use super::settings;
use super::show;
use crate::actions::instance::{self, NewInstance};
use crate::config::Listen;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::instance::{Environment, Instance};
use crate::store::directory::PresentedKey;
use crate::store::instances;

/// What to do with instances.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an instance; prints its keys, the secret one this once
    Create(Create),
    /// List the instances
    List,
    /// Change settings: NAME=VALUE …
    Set(settings::Set),
    /// Show an instance and its settings
    Show,
    /// The web origins that redirects and browsers' calls may come from and go to
    #[command(subcommand)]
    Origins(origins::Command),
    /// Show what an app needs in its environment
    Env(Env),
}

/// A new instance.
#[derive(Debug, Args)]
pub struct Create {
    /// Name: a-z, 0-9 and '-'
    #[arg(long, default_value = "main")]
    name: String,
    /// What it is for
    #[arg(long = "type", value_enum, default_value = "development")]
    environment: Type,
    /// Address of the frontend API, like https://clerk.example.com [development: http://NAME.localhost:PORT]
    #[arg(long, value_name = "URL")]
    frontend_api: Option<String>,
    /// Address of the app, like https://example.com
    #[arg(long, value_name = "URL")]
    home: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Type {
    Development,
    Production,
}

/// The environment of an app.
#[derive(Debug, Args)]
pub struct Env {
    /// The instance [default: -i, or the only one]
    instance: Option<String>,
    /// Form of the lines
    #[arg(long, value_enum, default_value = "dotenv")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Dotenv,
    Shell,
    Json,
    Docker,
}

/// Runs the command.
pub async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = match command {
        Command::Set(set) => set.run(global, &open).await,
        Command::Origins(command) => command.run(global, &open).await,
        Command::Show => settings::show_instance(global, &open).await,
        Command::Create(new) => create(global, &open, new).await,
        Command::List => list(global, &open).await,
        Command::Env(env) => env.run(global, &open).await,
    };
    open.close().await;
    outcome
}

async fn create(global: &Global, open: &Open, options: Create) -> Result<(), Failure> {
    let port = port(open).await?;
    let mut new = match (options.environment, &options.frontend_api) {
        (Type::Production, Some(url)) => NewInstance::production(&options.name, url)?,
        (Type::Production, None) => {
            let message = "a production instance needs --frontend-api https://clerk.YOUR-DOMAIN";
            return Err(Failure::new(Exit::Usage, message));
        }
        (Type::Development, Some(url)) => NewInstance::development_at(&options.name, url)?,
        (Type::Development, None) => NewInstance::on_own_loopback_name(&options.name, port)?,
    };
    if let Some(home) = &options.home {
        new = new.with_home(home)?;
    }
    let created = instance::create(&open.app, &new, actor()).await?;
    let secret = created.secret_key.expose_secret();
    let document = json!({
        "id": created.id, "name": options.name, "frontend_api": new.origin(),
        "publishable_key": created.publishable_key, "secret_key": secret,
    });
    show::answer(global, &document, || {
        vec![
            format!("Instance         {} ({})", options.name, created.id),
            format!("Frontend API     {}", new.origin()),
            format!("Publishable key  {}", created.publishable_key),
            format!("Secret key       {secret}"),
            String::new(),
            "The secret key is shown this once: the database keeps only its hash.".to_owned(),
        ]
    })
}

/// The public port: that of a development instance that is there already, else the configured one.
async fn port(open: &Open) -> Result<u16, Failure> {
    let all = instances::list(&open.app.db).await?;
    let there = all.iter().filter(|one| one.environment_type == Environment::Development);
    let mut ports = there.filter_map(|one| Url::parse(&one.frontend_api).ok()?.port());
    let configured = || open.app.config.server.listen.first().map_or(8484, Listen::port);
    Ok(ports.next().unwrap_or_else(configured))
}

async fn list(global: &Global, open: &Open) -> Result<(), Failure> {
    let all = instances::list(&open.app.db).await?;
    show::answer(global, &all, || {
        let row = |one: &instances::Listed| {
            vec![
                one.name.clone(),
                one.environment_type.to_string(),
                one.frontend_api.clone(),
                one.publishable_key.clone(),
                one.id.clone(),
            ]
        };
        show::table(&all.iter().map(row).collect::<Vec<_>>())
    })
}

impl Env {
    async fn run(self, global: &Global, open: &Open) -> Result<(), Failure> {
        let mut global = global.clone();
        global.instance = self.instance.or(global.instance);
        let instance = open.instance(&global).await?;
        let secret = stored_secret(open, &instance).await?;
        let lines = environment::lines(&instance, secret.as_ref());
        let format = if global.json { Format::Json } else { self.format };
        if secret.is_none() && format != Format::Json {
            eprintln!("vestibule: the secret key was shown when it was made and is not known any more");
        }
        show::print(&formatted(format, &lines));
        Ok(())
    }
}

fn formatted(format: Format, lines: &[(String, String)]) -> Vec<String> {
    let each = |write: fn(&str, &str) -> String| lines.iter().map(|(name, value)| write(name, value)).collect();
    match format {
        Format::Dotenv => each(|name, value| format!("{name}={value}")),
        Format::Shell => each(|name, value| format!("export {name}='{value}'")),
        Format::Docker => each(|name, value| format!("-e {name}={value}")),
        Format::Json => {
            let members = lines.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            vec![format!("{:#}", serde_json::Value::Object(members))]
        }
    }
}

/// The secret key that `vestibule dev` keeps here, if it is one of this instance's.
async fn stored_secret(open: &Open, instance: &Instance) -> Result<Option<Secret>, Failure> {
    let config = &open.app.config;
    let folder = open.database.cluster.as_ref().map_or(config.dev.data_dir.as_path(), |cluster| cluster.data_dir());
    let Some(key) = home::read_environment(folder).remove("CLERK_SECRET_KEY") else { return Ok(None) };
    let holder = open
        .app
        .directory
        .by_secret_key(&open.app.db, &open.app.ring, &PresentedKey::new(&open.app.ring, &key))
        .await?;
    Ok(holder.filter(|holder| holder.instance.id == instance.id).map(|_| key.into()))
}
