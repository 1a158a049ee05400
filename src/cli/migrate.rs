//! `vestibule migrate`.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Global;
use super::database::{Database, private_options};
use super::failure::{Exit, Failure};
use super::show;
use crate::config::{Config, Sources, load};
use crate::embedded;
use crate::store::schema;

/// Brings the schema up to date, or shows it.
#[derive(Debug, Args)]
pub struct Options {
    /// What to do
    #[arg(value_enum, default_value = "up")]
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Run what is missing
    Up,
    /// Show what has run and what is missing (exit code 5 if something is)
    Status,
}

/// Runs the command.
pub async fn run(global: &Global, options: Options) -> Result<(), Failure> {
    let sources = Sources::of_this_process(global.config.clone());
    let config = load(&sources, Config::default())?.config;
    let database = match Database::configured(&config).await? {
        Some(database) => database,
        None => Database::private(embedded::join_or_start(&private_options(&config), &|_, _| {}).await?),
    };
    let outcome = match options.action {
        Action::Up => up(global, &database).await,
        Action::Status => status(global, &database).await,
    };
    database.close().await;
    outcome
}

async fn up(global: &Global, database: &Database) -> Result<(), Failure> {
    let migrated = database.migrate().await?;
    show::answer(global, &json!({ "ran": migrated.ran, "manual": migrated.manual }), || {
        let line = match migrated.ran {
            0 => "The schema is up to date.".to_owned(),
            1 => "1 migration ran.".to_owned(),
            ran => format!("{ran} migrations ran."),
        };
        vec![line]
    })
}

async fn status(global: &Global, database: &Database) -> Result<(), Failure> {
    let steps = schema::status(&database.direct).await?;
    show::answer(global, &steps, || {
        let mark = |applied| if applied { "applied" } else { "missing" };
        let row = |step: &schema::Step| {
            vec![format!("{:04}", step.version), mark(step.applied).to_owned(), step.description.clone()]
        };
        show::table(&steps.iter().map(row).collect::<Vec<_>>())
    })?;
    if steps.iter().all(|step| step.applied) {
        return Ok(());
    }
    Err(Failure::new(Exit::Schema, "migrations are missing: run `vestibule migrate`"))
}
