//! The whole module against real HTTP: a mock server stands where the provider's hosts would.

mod custom;
mod facts;
mod hostile;
mod id_tokens;
mod profiles;
mod tokens;

use super::Upstream;
use super::catalogue::Catalogue;
use super::descriptor::Descriptor;
use super::provider::{Provider, Settings};
use crate::crypto::Secret;
use crate::outbound::{Outbound, OutboundConfig};
use std::sync::Arc;
use url::Url;
use wiremock::MockServer;

/// An upstream that may reach this machine.
fn upstream() -> Upstream {
    let config = OutboundConfig { allow: vec!["loopback".parse().unwrap()], ..OutboundConfig::default() };
    Upstream::new(Arc::new(Outbound::new(&config).unwrap()))
}

/// A built-in provider whose every address lies at the mock server.
fn at(server: &MockServer, slug: &str) -> Provider {
    moved(server, Arc::clone(Catalogue::load().unwrap().get(slug).unwrap()))
}

/// A built-in provider at a port where nobody listens.
fn nowhere(slug: &str) -> Provider {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    moved_to(&format!("http://127.0.0.1:{port}"), Arc::clone(Catalogue::load().unwrap().get(slug).unwrap()))
}

/// A provider of a test's own file, likewise.
fn described(server: &MockServer, file: &str) -> Provider {
    moved(server, Arc::new(Descriptor::parse(file).unwrap()))
}

fn moved(server: &MockServer, descriptor: Arc<Descriptor>) -> Provider {
    moved_to(&server.uri(), descriptor)
}

fn moved_to(base: &str, descriptor: Arc<Descriptor>) -> Provider {
    let settings = Settings {
        client_id: "our:client".to_owned(),
        client_secret: Some(Secret::from("our secret+".to_owned())),
        ..Settings::default()
    };
    Provider::new(descriptor, settings).unwrap().simulated(&Url::parse(base).unwrap()).unwrap()
}

/// GitHub's file, for tests that change a line of it.
const GITHUB: &str = include_str!("../../../config/providers/github.toml");
