//! `vestibule token`: the provider's token of an external account.

use clap::{Args, Subcommand};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::Global;
use super::failure::Failure;
use super::open::{Open, actor};
use super::show;
use crate::actions::provider_token::{self, Checkup};
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::http::views;
use crate::model::time::Timestamp;

/// What to do with a provider's token.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how a token is doing
    Show(Show),
    /// Ask the provider for a new one now
    Refresh(AccountOwner),
}

/// An account.
#[derive(Debug, Args)]
pub struct AccountOwner {
    /// Id of the external account: eac_…
    account: String,
}

/// What to show.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    named: AccountOwner,
    /// Print the token itself; the audit log says that you did
    #[arg(long)]
    reveal: bool,
}

/// Runs the command.
pub async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = match open.ctx(global).await {
        Err(failure) => Err(failure),
        Ok(ctx) => match command {
            Command::Show(shown) => shown.run(global, &ctx).await,
            Command::Refresh(named) => named.refresh(global, &ctx).await,
        },
    };
    open.close().await;
    outcome
}

impl Show {
    async fn run(self, global: &Global, ctx: &Ctx) -> Result<(), Failure> {
        let account = &self.named.account;
        let checkup = provider_token::checkup(ctx, None, account).await?;
        let token = match self.reveal {
            true => Some(provider_token::reveal(ctx, account, actor()).await?.expose_secret().to_owned()),
            false => None,
        };
        print_checkup(global, &checkup, token)
    }
}

impl AccountOwner {
    async fn refresh(self, global: &Global, ctx: &Ctx) -> Result<(), Failure> {
        let refreshed = provider_token::refresh(ctx, &self.account).await;
        // A task may still be at work for others; its lease must not outlive this process.
        provider_token::release_all(&ctx.app, std::time::Duration::ZERO).await;
        refreshed?;
        print_checkup(global, &provider_token::checkup(ctx, None, &self.account).await?, None)
    }
}

fn print_checkup(global: &Global, checkup: &Checkup, token: Option<String>) -> Result<(), Failure> {
    let text = |moment: Option<Timestamp>| moment.and_then(|moment| moment.format(&Rfc3339).ok());
    let mut shown = views::provider_token::checkup(checkup);
    if let (Some(token), Some(members)) = (&token, shown.as_object_mut()) {
        members.insert("token".to_owned(), json!(token));
    }
    show::answer(global, &shown, || {
        let reason = checkup.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let mut rows = vec![
            vec!["Account".to_owned(), format!("{} at {}", checkup.external_account_id, checkup.provider)],
            vec!["State".to_owned(), format!("{}{reason}", checkup.state.as_str())],
        ];
        let times = [("Since", checkup.since), ("Expires", checkup.expires_at), ("Refreshed", checkup.last_refresh_at)];
        for (name, moment) in times {
            rows.push(vec![name.to_owned(), text(moment).unwrap_or_else(|| "-".to_owned())]);
        }
        rows.extend(token.map(|token| vec!["Token".to_owned(), token]));
        show::table(&rows)
    })
}
