//! The client (browser): who is calling, its tree, and its token.

use crate::actions::{factors, unsaved_client};
use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Lookup, LookupHash, SealedAt, Secret};
use crate::model::client::Client;
use crate::model::id::{ClientId, VerificationId};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::random;
use crate::model::verification::{Status, Verification};
use crate::store::InstanceConnection;
use crate::store::clients;

/// When a browser whose token was just replaced may come again, in seconds.
const MOMENT: u32 = 3;

/// A client token that the answer must hand to the browser.
pub struct Issued {
    /// The token.
    pub token: Secret,
    /// What it is looked up by.
    pub hash: LookupHash,
}

/// The outcome of an act on a client: its tree as it is now, and its token if that changed.
pub struct ClientUpdate {
    /// The whole client.
    pub client: Client,
    /// The new token, if there is one.
    pub issued: Option<Issued>,
}

impl Issued {
    /// `token`, with its hash: whoever looks it up later in the request has it.
    fn new(ctx: &Ctx, token: Secret) -> Self {
        let hash = ctx.app.ring.lookup_hash(Lookup::ClientToken, token.expose_secret());
        Self { token, hash }
    }
}

/// A fresh token, not stored yet.
pub fn new_token(ctx: &Ctx) -> Issued {
    Issued::new(ctx, Secret::from(random::token(ctx.rng())))
}

/// The tree of the client that `token`, which the browser presented, names, with addresses that only it may see. A
/// client that was issued and not stored yet is one that has nothing.
///
/// # Errors
/// Storage faults.
pub async fn read(ctx: &Ctx, token: Option<&LookupHash>) -> Result<Option<Client>> {
    let Some(token) = token else { return Ok(None) };
    match stored(ctx, token).await? {
        Some(client) => Ok(Some(client)),
        None => Ok(unsaved(ctx).await?.map(Client::unsaved)),
    }
}

/// The client that the presented token stands for by its signature alone. Whoever was stored once is not: a token of
/// theirs that names nobody any more was replaced, and is dead.
async fn unsaved(ctx: &Ctx) -> Result<Option<&ClientId>> {
    match &ctx.unsaved_client {
        Some(id) if !clients::is_stored(&mut ctx.db(), id).await? => Ok(Some(id)),
        _ => Ok(None),
    }
}

async fn stored(ctx: &Ctx, token: &LookupHash) -> Result<Option<Client>> {
    let Some(mut client) = clients::tree(&mut ctx.db(), token).await? else {
        return Ok(None);
    };
    let attempts = client.sign_in.iter().map(|sign_in| &sign_in.flow_id);
    let flow = attempts.chain(client.sign_up.iter().map(|sign_up| &sign_up.flow_id)).flatten().max();
    if let Some(flow) = flow {
        // What a request acts on may be another attempt than the browser's own.
        ctx.flow_log.resume_if_none(flow);
    }
    let verifications = client.sign_in.iter_mut().filter_map(|sign_in| sign_in.first_factor.as_mut());
    let verifications =
        verifications.chain(client.sign_up.iter_mut().filter_map(|sign_up| sign_up.external_account.as_mut()));
    for verification in verifications {
        open_address(ctx, verification)?;
    }
    if let Some(attempt) = &mut client.sign_in {
        factors::fill(ctx, attempt);
    }
    if let Some(attempt) = &mut client.sign_up {
        factors::fill_sign_up(ctx, attempt);
    }
    Ok(Some(client))
}

/// Opens the provider's address of a verification that is still wanted; it holds the state, so it lies sealed.
fn open_address(ctx: &Ctx, verification: &mut Verification) -> Result<()> {
    use base64::Engine;
    let wanted = verification.status == Status::Unverified && verification.expires_at > ctx.now;
    let Some(sealed) = verification.external_url_sealed.take().filter(|_| wanted) else { return Ok(()) };
    let sealed: String = sealed.split_whitespace().collect();
    let sealed = base64::engine::general_purpose::STANDARD.decode(sealed).map_err(Error::internal)?;
    let at = external_url_at(ctx, &verification.id);
    let opened = ctx.app.ring.open(&at, &sealed).map_err(Error::internal)?;
    verification.external_url = Some(String::from_utf8_lossy(&opened).into_owned());
    Ok(())
}

/// Where a provider's address is sealed to.
pub fn external_url_at<'a>(ctx: &'a Ctx, verification: &'a VerificationId) -> SealedAt<'a> {
    SealedAt {
        table: "verifications",
        column: "external_url_sealed",
        row: verification.as_str(),
        instance: ctx.instance_id().as_str(),
    }
}

/// The tree after an act, under the token that is valid now.
///
/// # Errors
/// Storage faults.
pub async fn read_updated(ctx: &Ctx, presented: Option<&LookupHash>, issued: Option<Issued>) -> Result<ClientUpdate> {
    let hash = issued.as_ref().map(|issued| &issued.hash).or(presented);
    let client = match hash {
        Some(hash) => stored(ctx, hash).await?,
        None => None,
    };
    let client = client.ok_or_else(|| Error::internal("a client vanished while it acted"))?;
    Ok(ClientUpdate { client, issued })
}

/// The calling client, locked until the transaction ends; stored now if it has only been issued, and a new one if the
/// caller has none.
///
/// # Errors
/// `resource_locked` for a token that was replaced a moment ago: another request of the same browser is ahead of this
/// one, and a new client here would push its sign-in out of the browser. Storage faults.
///
/// A browser that lost the answer with its next token looks the same for that moment. It is asked to come again, and
/// then begins on a new client: what it would need to reach the session that was begun for it, nobody can tell from a
/// planted token.
pub async fn lock_or_create(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
) -> Result<(ClientId, Option<Issued>)> {
    if let (Some(token), Some(id)) = (token, &ctx.unsaved_client) {
        let key = ctx.app.ring.first_id();
        if let Some(client) = clients::lock_or_store(db, token, id, key).await? {
            return Ok((client, None));
        }
    }
    // Also for what was issued: another request of the same browser may just have stored it.
    if let Some(token) = token
        && let Some(client) = clients::lock_by_token(db, token).await?
    {
        return Ok((client, None));
    }
    if let Some(token) = token
        && clients::is_overtaken(db, token).await?
    {
        return Err(Problem::new(code::RESOURCE_LOCKED).retry_after(MOMENT).into());
    }
    let id = ClientId::new(ctx.now, ctx.rng());
    let issued = new_token(ctx);
    clients::create(db, &id, &issued.hash, ctx.app.ring.first_id()).await?;
    Ok((id, Some(issued)))
}

/// The calling client; one is issued to a browser that has none, and not stored: a page needs it before its form can
/// carry a forgery check, and nothing has happened yet that is worth a row.
///
/// # Errors
/// Storage faults.
pub async fn ensure(ctx: &Ctx, token: Option<&LookupHash>) -> Result<ClientUpdate> {
    let known = match token {
        Some(token) => stored(ctx, token).await?,
        None => None,
    };
    if let Some(client) = known {
        return Ok(ClientUpdate { client, issued: None });
    }
    // One that would end while somebody fills in the form is replaced before.
    let lasting = unsaved(ctx).await?.filter(|id| unsaved_client::lasts(ctx, id));
    if let Some(id) = lasting {
        return Ok(ClientUpdate { client: Client::unsaved(id), issued: None });
    }
    let (id, token) = unsaved_client::issue(ctx);
    Ok(ClientUpdate { client: Client::unsaved(&id), issued: Some(Issued::new(ctx, token)) })
}
