//! Listeners, the accept loop with its caps and timeouts, graceful shutdown. `axum::serve` has no timer: one silent
//! client per socket would fill the server.
//!
//! Named by `cli` and the tests only. Knows sockets and connections; what is answered is the router's matter.

mod addresses;
mod connection;
mod listen;
mod phase;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use addresses::Addresses;
pub use listen::{BindError, Bound, bind};

use crate::config::{self, proxies::Proxies};

/// How long the loop rests after the system refused a connection (out of file descriptors), at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Caps and timeouts of connections.
#[derive(Clone, Debug)]
pub struct Caps {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address that is not loopback nor a trusted proxy; 0 = no cap.
    pub per_address: usize,
    /// The proxies in front of the server.
    pub proxies: Proxies,
    /// How long a request's head may take, from accept or from its first byte.
    pub head: Duration,
    /// How long a connection may rest between requests.
    pub idle: Duration,
}

impl From<&config::Server> for Caps {
    fn from(server: &config::Server) -> Self {
        Self {
            connections: server.max_connections,
            per_address: server.max_connections_per_address,
            proxies: server.proxies.clone(),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
        }
    }
}

/// What the connections of a server are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Go on.
    Serving,
    /// Finish the requests in flight, take no further ones.
    Finishing,
    /// End at once.
    Cut,
}

/// What the accept loops and connections of one server share.
struct Shared {
    router: Router,
    caps: Caps,
    slots: Arc<Semaphore>,
    addresses: Addresses,
    stage: watch::Receiver<Stage>,
}

/// A server that accepts connections.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stage: watch::Sender<Stage>,
    slots: Arc<Semaphore>,
    capacity: u32,
}

impl Server {
    /// Serves `router` on the bound listeners.
    pub fn start(bound: Bound, router: Router, caps: Caps) -> Self {
        let (stage, receiver) = watch::channel(Stage::Serving);
        // Each loop holds a slot while it waits for the next connection; the cap is about those that are accepted.
        let waiting = bound.listeners.len().saturating_sub(1);
        let capacity = caps.connections.max(1).saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        let slots = Arc::new(Semaphore::new(capacity as usize));
        let addresses = bound.addresses();
        let shared = Arc::new(Shared {
            router,
            addresses: Addresses::new(caps.per_address, caps.proxies.clone()),
            caps,
            slots: Arc::clone(&slots),
            stage: receiver,
        });
        for listener in bound.listeners {
            tokio::spawn(accept(listener, Arc::clone(&shared)));
        }
        Self { addresses, stage, slots, capacity }
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The port of the first listener.
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Stops accepting, lets requests in flight finish for `grace`, then cuts what is left. Returns how many
    /// connections had to be cut.
    pub async fn stop(self, grace: Duration) -> usize {
        let _ = self.stage.send(Stage::Finishing);
        // All slots are free when the last connection has ended; the loops hold one each until they see the stage.
        let all_ended = self.slots.acquire_many(self.capacity);
        if tokio::time::timeout(grace, all_ended).await.is_ok() {
            return 0;
        }
        let left = (self.capacity as usize).saturating_sub(self.slots.available_permits());
        let _ = self.stage.send(Stage::Cut);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.slots.acquire_many(self.capacity)).await;
        left
    }
}

/// Accepts until the stage changes. At the cap it waits for a slot: the system's queue holds the next ones back.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut stage = shared.stage.clone();
    let mut rest = REST.0;
    loop {
        let next = async {
            let slot = Arc::clone(&shared.slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            next = next => next,
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                rest = REST.0;
                // Beyond the cap of its address a connection is closed unread.
                let Some(place) = shared.addresses.enter(peer.ip()) else { continue };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    connection::serve(stream, peer, &shared).await;
                    drop((slot, place));
                });
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(REST.1);
            }
        }
    }
}

/// True if the peer went away before it was accepted: nothing is wrong with us.
fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
