//! `vestibule dev --reset`: begins again with nothing.

use std::io::{BufRead, IsTerminal, Write};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use super::super::database::{Database, private_options};
use super::super::failure::{Exit, Failure};
use crate::config::Config;
use crate::embedded;

/// Whether to ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`.
    Given,
    /// On a terminal.
    ToBeAsked,
}

/// Removes the private database, or the configured database's schema `vestibule`.
pub async fn run(config: &Config, consent: Consent) -> Result<(), Failure> {
    let Some(database) = Database::configured(config).await? else {
        let options = private_options(config);
        ask(consent, "vestibule", &format!("everything in the private database in {}", options.data_dir.display()))?;
        return Ok(embedded::reset(&options).await?);
    };
    let name = database.options.get_database().unwrap_or_else(|| database.options.get_username()).to_owned();
    ask(consent, &name, &format!("the schema \"vestibule\" of the database \"{name}\""))?;
    drop_schema(&database.direct).await
}

async fn drop_schema(options: &PgConnectOptions) -> Result<(), Failure> {
    let mut connection = options.clone().options([("statement_timeout", "0")]).connect().await?;
    let has_instances: bool =
        sqlx::query_scalar("select to_regclass('vestibule.instances') is not null").fetch_one(&mut connection).await?;
    if has_instances {
        let real = "select exists (select from vestibule.instances where environment_type = 'production')";
        if sqlx::query_scalar(real).fetch_one(&mut connection).await? {
            let message = "the database has a production instance; `dev` does not touch it";
            return Err(Failure::new(Exit::Configuration, message));
        }
    }
    connection.execute("drop schema if exists vestibule cascade").await?;
    connection.close().await?;
    Ok(())
}

/// Lets a person type the name of what is lost.
fn ask(consent: Consent, name: &str, what: &str) -> Result<(), Failure> {
    if consent == Consent::Given {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("--reset removes {what}: say --yes to mean it")));
    }
    eprint!("This removes {what}. Type {name} to go on: ");
    let _ = std::io::stderr().flush();
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    if read.is_err() || typed.trim() != name {
        return Err(Failure::failed("nothing was removed"));
    }
    Ok(())
}
