//! Listeners, the accept loop with its caps and timeouts, graceful shutdown. `axum::serve` has no timer: one silent
//! client per socket would fill the server.
//!
//! Named by `cli` and the tests only. Knows sockets and connections; what is answered is the router's matter.

mod connection;
mod control_frames;
mod frames;
mod listen;
mod peer_addresses;
mod phase;
mod sending;
mod traffic;
mod unread_body;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

pub use listen::{BindError, Bound, bind};
use peer_addresses::Addresses;

use crate::config::{self, proxies::Proxies, value::Rate};

/// How long the loop rests after the system refused a connection (out of file descriptors), at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long the loop looks for one more connection before it ends, and for all of them.
const WAITING: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

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
    /// How long a peer may take nothing, or next to nothing, of an answer.
    pub send: Duration,
    /// HTTP/2 frames of one connection that are neither requests nor bodies.
    pub control_frames: Rate,
}

impl From<&config::Server> for Caps {
    fn from(server: &config::Server) -> Self {
        Self {
            connections: server.max_connections,
            per_address: server.max_connections_per_address,
            proxies: server.proxies.clone(),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            send: server.send_timeout,
            control_frames: server.http2_control_frames,
        }
    }
}

/// What a server asks of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Go on.
    Serving,
    /// Go on, but let nobody count on this connection: each answer is its last.
    Draining,
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
    loops: Vec<JoinHandle<()>>,
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
        let loops = bound.listeners.into_iter().map(|listener| tokio::spawn(accept(listener, Arc::clone(&shared))));
        Self { addresses, stage, loops: loops.collect(), slots, capacity }
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The port of the first listener.
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Goes on accepting and answering, but ends each connection with its next answer (HTTP/2: asks for no new
    /// requests). A proxy then holds no connection any more when [`Self::stop`] closes what rests: a request that it
    /// sends on a connection just being closed fails, and it may not repeat a `POST`.
    pub fn drain(&self) {
        self.stage.send_replace(Stage::Draining);
    }

    /// Stops accepting, lets requests in flight finish for `grace`, then cuts what is left. Returns how many
    /// connections had to be cut.
    pub async fn stop(self, grace: Duration) -> usize {
        let _ = self.stage.send(Stage::Finishing);
        // They take who is connected already; from then on nobody new comes.
        let _ = tokio::time::timeout(grace, futures_util::future::join_all(self.loops)).await;
        // All slots are free when the last connection has ended.
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

/// Accepts until connections are to finish. At the cap it waits for a slot: the system's queue holds the next ones
/// back.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut stage = shared.stage.clone();
    let mut rest = REST.0;
    loop {
        let next = async {
            let slot = Arc::clone(&shared.slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let next = tokio::select! {
            next = next => Some(next),
            _ = stage.wait_for(|stage| *stage >= Stage::Finishing) => None,
        };
        let Some((slot, accepted)) = next else { return take_waiting(&listener, &shared).await };
        match accepted {
            Ok((stream, peer)) => {
                rest = REST.0;
                begin(stream, peer, slot, &shared);
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

/// Serves those who are connected as far as they know, and have perhaps sent their request: closing the listener would
/// reset them.
async fn take_waiting(listener: &TcpListener, shared: &Arc<Shared>) {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < WAITING.1
        && let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned()
        && let Ok(Ok((stream, peer))) = tokio::time::timeout(WAITING.0, listener.accept()).await
    {
        begin(stream, peer, Some(slot), shared);
    }
}

fn begin(stream: TcpStream, peer: SocketAddr, slot: Option<OwnedSemaphorePermit>, shared: &Arc<Shared>) {
    // Beyond the cap of its address a connection is closed unread.
    let Some(place) = shared.addresses.enter(peer.ip()) else { return };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        connection::serve(stream, peer, &shared).await;
        drop((slot, place));
    });
}

/// True if the peer went away before it was accepted: nothing is wrong with us.
fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
