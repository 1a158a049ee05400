//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::proxies::Proxies;

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Counts per address; IPv6 by its /64, because one host has all of it.
#[derive(Clone)]
pub(super) struct Addresses {
    cap: usize,
    proxies: Proxies,
    counts: Counts,
}

/// A connection's place; leaves on drop.
pub(super) struct Place {
    taken: Option<(IpAddr, Counts)>,
}

impl Addresses {
    /// No connections yet; `cap` 0 = no cap.
    pub(super) fn new(cap: usize, proxies: Proxies) -> Self {
        Self { cap, proxies, counts: Arc::default() }
    }

    /// A place for one more connection; `None` beyond the cap. Loopback has none: it is a proxy, or ourselves;
    /// nor has a trusted proxy, on whose connections many clients come.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        if self.cap == 0 || address.to_canonical().is_loopback() || self.proxies.trusts(address) {
            return Some(Place { taken: None });
        }
        let address = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.cap {
            return None;
        }
        *count += 1;
        Some(Place { taken: Some((address, Arc::clone(&self.counts))) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, counts)) = self.taken.take() else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_a_cap_and_gets_its_places_back() {
        let addresses = Addresses::new(2, Proxies::default());
        let first = addresses.enter(address("2001:db8::1")).unwrap();
        let _second = addresses.enter(address("2001:db8::2")).unwrap();
        assert!(addresses.enter(address("2001:db8::3")).is_none(), "one /64 is one host");
        assert!(addresses.enter(address("2001:db8:0:1::3")).is_some());
        drop(first);
        assert!(addresses.enter(address("2001:db8::3")).is_some());
    }

    #[test]
    fn what_has_left_is_forgotten() {
        let addresses = Addresses::new(1, Proxies::default());
        drop(addresses.enter(address("192.0.2.7")).unwrap());
        assert!(addresses.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn loopback_proxies_and_cap_zero_are_free() {
        let addresses = Addresses::new(1, Proxies::default());
        let _places: Vec<_> = (0..3).map(|_| addresses.enter(address("::ffff:127.0.0.1")).unwrap()).collect();
        let trusted = "2001:db8::/64".parse().unwrap();
        let behind = Addresses::new(1, Proxies { trusted: vec![trusted], header: None });
        let _places: Vec<_> = (0..3).map(|_| behind.enter(address("2001:db8::1")).unwrap()).collect();
        let free = Addresses::new(0, Proxies::default());
        let _places: Vec<_> = (0..3).map(|_| free.enter(address("192.0.2.7")).unwrap()).collect();
    }
}
