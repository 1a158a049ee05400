//! A message on its way: into the outbox where a mail server is configured, which the worker empties; into the inbox
//! page on a development instance without one. Both in the transaction that asks, so that nothing is sent for what
//! never was.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::app::App;
use crate::context::Ctx;
use crate::model::id::{InboxMessageId, OutboxId};
use crate::model::instance::Instance;
use crate::model::problem::{Error, Result};
use crate::outbound::mail::OutgoingMail;
use crate::store::InstanceConnection;
use crate::store::inbox::{self, StoredMessage};
use crate::store::outbox::{self, ClaimedEffect, Effort, Kind};

/// A message to one address.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mail {
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// For people who read text.
    pub text: String,
    /// The same for everybody else.
    pub html: String,
    /// The code it carries.
    pub code: Option<String>,
    /// The link it carries.
    pub link: Option<String>,
    /// When it is worth nothing any more, in seconds since 1970 on the machine's clock.
    pub until: i64,
}

/// True if the instance can send mail; where it cannot, nobody can verify an address by a code or link.
pub fn can_send(app: &App, instance: &Instance) -> bool {
    app.mailer.is_some() || keeps_messages(app, instance)
}

/// Messages that have nowhere to go are stored on a page, which development instances alone have.
fn keeps_messages(app: &App, instance: &Instance) -> bool {
    app.mailer.is_none() && instance.may_keep_messages() && app.config.dev.pages
}

/// Brings `mail` on its way when the transaction commits, or takes as long as that takes.
pub(super) async fn send(ctx: &Ctx, db: &mut InstanceConnection<'_>, mail: &Mail, effort: Effort) -> Result<()> {
    let instance = ctx.instance_id();
    let content = Zeroizing::new(serde_json::to_vec(mail).map_err(Error::internal)?);
    if keeps_messages(&ctx.app, &ctx.instance) {
        let id = InboxMessageId::new(ctx.now, ctx.rng());
        let sealed = ctx.app.ring.seal(ctx.rng(), &inbox::content_at(instance, &id), &content);
        let sealed = sealed.map_err(Error::internal)?;
        // The subject names the code: it lies sealed with the rest.
        inbox::keep(db, &id, &mail.to, &sealed, effort).await?;
        return Ok(());
    }
    if ctx.app.mailer.is_none() {
        return Err(Error::internal("a message was asked for on an instance that cannot send any"));
    }
    let id = OutboxId::new(ctx.app.clock.now(), ctx.rng());
    let at = outbox::payload_at(instance.as_str(), id.as_str());
    let sealed = ctx.app.ring.seal(ctx.rng(), &at, &content).map_err(Error::internal)?;
    outbox::put_sealed(db, &id, Kind::Mail, &sealed, effort).await?;
    Ok(())
}

/// Delivers a mail that a worker took from the outbox. One that comes too late is dropped: its code is dead.
///
/// # Errors
/// Faults of the mail server, reported without anything of the message.
pub async fn deliver(app: &App, taken: &ClaimedEffect) -> Result<()> {
    let at = outbox::payload_at(&taken.instance, &taken.id);
    let sealed = taken.payload_sealed.as_deref().ok_or_else(|| Error::internal("a mail without content"))?;
    let opened = app.ring.open(&at, sealed).map_err(Error::internal)?;
    let mail: Mail = serde_json::from_slice(&opened).map_err(Error::internal)?;
    if mail.until < app.clock.now().unix_timestamp() {
        tracing::warn!(id = taken.id, "a mail came too late and was dropped");
        return Ok(());
    }
    let Some(mailer) = &app.mailer else { return Err(Error::unavailable("no mail server is configured")) };
    let Mail { to, subject, text, html, .. } = mail;
    let letter = OutgoingMail { id: taken.id.clone(), to, subject, text, html };
    mailer.send(letter).await.map_err(Error::unavailable)
}

/// A message of the development inbox, opened.
#[derive(Debug)]
pub struct InboxMessage {
    /// Names it.
    pub id: InboxMessageId,
    /// When it was stored, on the instance's clock.
    pub created_at: crate::model::time::Timestamp,
    /// What it says.
    pub mail: Mail,
}

/// The newest messages of the development inbox.
///
/// # Errors
/// Storage faults, a fault for one that does not open.
pub async fn inbox(ctx: &Ctx, count: i64) -> Result<Vec<InboxMessage>> {
    let stored = inbox::newest(&mut ctx.db(), count).await?;
    stored.into_iter().map(|stored| open(ctx, stored)).collect()
}

fn open(ctx: &Ctx, stored: StoredMessage) -> Result<InboxMessage> {
    let at = inbox::content_at(ctx.instance_id(), &stored.id);
    let opened = ctx.app.ring.open(&at, &stored.content_sealed).map_err(Error::internal)?;
    let mail = serde_json::from_slice(&opened).map_err(Error::internal)?;
    Ok(InboxMessage { id: stored.id, created_at: stored.created_at, mail })
}
