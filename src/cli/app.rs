//! `vestibule app`: OAuth applications.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::failure::Failure;
use super::open::{Open, actor};
use super::show;
use crate::actions::applications;
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::model::oauth::application::{Application, NewApplication};
use crate::store::oauth_applications::{Direction, Listing, OrderBy};

/// What to do with OAuth applications.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an application; prints its client id and secret, the secret this once
    Create(Create),
    /// List the applications
    List,
}

/// A new application.
#[derive(Debug, Args)]
pub struct Create {
    /// Shown to people who are asked to allow it
    name: String,
    /// Where its codes are sent (repeat for several)
    #[arg(long, value_name = "URI", required = true)]
    redirect_uri: Vec<String>,
    /// It cannot keep a secret: no secret, PKCE required
    #[arg(long)]
    public: bool,
    /// The most it may ask for, separated by blanks [default: profile email]
    #[arg(long)]
    scopes: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = match open.ctx(global).await {
        Err(failure) => Err(failure),
        Ok(ctx) => match command {
            Command::Create(new) => create(global, &ctx, new).await,
            Command::List => list(global, &ctx).await,
        },
    };
    open.close().await;
    outcome
}

async fn create(global: &Global, ctx: &Ctx, options: Create) -> Result<(), Failure> {
    let new = NewApplication {
        name: Some(options.name),
        redirect_uris: options.redirect_uri,
        scopes: options.scopes,
        public: Some(options.public),
        ..NewApplication::default()
    };
    let created = applications::create(ctx, actor(), new).await?;
    let application = &created.application;
    let secret = created.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned());
    let mut shown = document(application);
    if let Some(members) = shown.as_object_mut() {
        members.insert("client_secret".to_owned(), json!(secret));
        members.insert("issuer".to_owned(), json!(ctx.instance.origin));
    }
    show::answer(global, &shown, || {
        let mut lines = vec![
            format!("Application    {} ({})", application.name, application.id),
            format!("Client id      {}", application.client_id),
        ];
        lines.extend(secret.as_ref().map(|secret| format!("Client secret  {secret}")));
        lines.push(format!("Issuer         {}", ctx.instance.origin));
        if secret.is_some() {
            lines.push(String::new());
            lines.push("The secret is shown this once: the database keeps only its hash.".to_owned());
        }
        lines
    })
}

async fn list(global: &Global, ctx: &Ctx) -> Result<(), Failure> {
    let listing = Listing { query: None, order: (OrderBy::CreatedAt, Direction::Ascending), limit: 500, offset: 0 };
    let (all, _) = applications::list(ctx, &listing).await?;
    let documents: Vec<Value> = all.iter().map(document).collect();
    show::answer(global, &documents, || {
        let kind = |one: &Application| if one.is_public { "public" } else { "confidential" }.to_owned();
        let row =
            |one: &Application| vec![one.client_id.clone(), one.name.clone(), kind(one), one.redirect_uris.join(" ")];
        show::table(&all.iter().map(row).collect::<Vec<_>>())
    })
}

fn document(application: &Application) -> Value {
    json!({
        "id": application.id,
        "client_id": application.client_id,
        "name": application.name,
        "public": application.is_public,
        "redirect_uris": application.redirect_uris,
        "scopes": application.scopes.to_string(),
    })
}
