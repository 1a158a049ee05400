//! Binding listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::config::Listen;

/// How often a free port is looked for that is free on both loopback addresses.
const ATTEMPTS: usize = 20;

/// Listeners that are bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    pub(super) listeners: Vec<TcpListener>,
}

impl Bound {
    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The port of the first one.
    pub fn port(&self) -> u16 {
        self.addresses().first().map_or(0, SocketAddr::port)
    }
}

/// A listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl BindError {
    /// True if another process listens there.
    pub fn is_busy(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::AddrInUse
    }
}

/// Binds all of `listen`.
///
/// # Errors
/// The first address that cannot be had.
pub async fn bind(listen: &[Listen]) -> Result<Bound, BindError> {
    let mut listeners = Vec::new();
    for listen in listen {
        match listen {
            Listen::Address(address) => listeners.push(bind_one(*address).await?),
            Listen::Localhost(port) => listeners.extend(localhost(*port).await?),
        }
    }
    Ok(Bound { listeners })
}

/// Both loopback addresses on one port; browsers and tools differ in which one `localhost` means to them.
async fn localhost(port: u16) -> Result<Vec<TcpListener>, BindError> {
    for _ in 1..ATTEMPTS {
        match both(port).await {
            // The free port of one address is another program's on the other one: take another.
            Err(error) if port == 0 && error.is_busy() => {}
            other => return other,
        }
    }
    both(port).await
}

async fn both(port: u16) -> Result<Vec<TcpListener>, BindError> {
    let first = bind_one((Ipv4Addr::LOCALHOST, port).into()).await?;
    let port = first.local_addr().map_or(port, |address| address.port());
    match bind_one((Ipv6Addr::LOCALHOST, port).into()).await {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.is_busy() => Err(error),
        // This machine has no IPv6.
        Err(_) => Ok(vec![first]),
    }
}

async fn bind_one(address: SocketAddr) -> Result<TcpListener, BindError> {
    let refused = |source| BindError { address, source };
    let socket = match address.ip() {
        IpAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        IpAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }
    .map_err(refused)?;
    // A restart must not wait for the last one's connections to be forgotten.
    socket.set_reuseaddr(true).map_err(refused)?;
    socket.bind(address).map_err(refused)?;
    socket.listen(1024).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_one_port_and_a_busy_one_is_said() {
        let bound = bind(&[Listen::Localhost(0)]).await.unwrap();
        let ports: std::collections::HashSet<u16> = bound.addresses().iter().map(SocketAddr::port).collect();
        assert_eq!(ports.len(), 1);
        let error = bind(&[Listen::Localhost(bound.port())]).await.unwrap_err();
        assert!(error.is_busy());
        assert!(error.to_string().contains(&format!("127.0.0.1:{}", bound.port())), "{error}");
    }
}
