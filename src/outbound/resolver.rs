//! Names to addresses. The address that is checked is the address that is connected to: the check sits inside the
//! client's resolver, so there is no second lookup that could give another answer.

use super::address::is_public;
use super::egress_rules::{AllowList, is_localhost};
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lookups at a time: each occupies a blocking thread until the name service answers, even if nobody waits any more.
const LOOKUPS: usize = 32;

/// A name service.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of a name.
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The operating system's name service.
pub(super) struct SystemResolver(Arc<Semaphore>);

impl SystemResolver {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Resolver for SystemResolver {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let permits = Arc::clone(&self.0);
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                drop(permit);
                addresses.map(|addresses| addresses.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// One answer of several is forbidden: the whole lookup fails, or the client would try the other one next.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to an address that is not allowed")]
pub(super) struct ForbiddenAnswer;

/// The name service gave no address.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
pub(super) struct NoAnswer(#[source] Option<io::Error>);

/// Whose answers are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filter {
    /// Everybody's: any address that is neither public nor listed fails the lookup.
    PublicOrListed,
    /// Nobody's: the operator listed the name (or it is the egress proxy's).
    Nothing,
}

/// The resolver that a client gets.
pub(super) struct GuardedResolver {
    pub(super) names: Arc<dyn Resolver>,
    pub(super) allow: Arc<ArcSwap<AllowList>>,
    pub(super) filter: Filter,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let (allow, filter) = (Arc::clone(&self.allow), self.filter);
        let lookup = if is_localhost(&name) { Box::pin(localhost()) } else { self.names.resolve(name) };
        Box::pin(async move {
            let addresses = lookup.await.map_err(|error| NoAnswer(Some(error)))?;
            if addresses.is_empty() {
                return Err(NoAnswer(None).into());
            }
            if matches!(filter, Filter::PublicOrListed) {
                let allow = allow.load();
                if !addresses.iter().all(|address| is_public(*address) || allow.covers(*address)) {
                    return Err(ForbiddenAnswer.into());
                }
            }
            // Port 0: the client puts the URL's in.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// RFC 6761 section 6.3: these names are never asked for outside.
async fn localhost() -> io::Result<Vec<IpAddr>> {
    Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}
