//! The provider that an instance without credentials of its own talks to: the simulator, which this server serves
//! itself. The other side of the same facts is the `simulator` module.

use super::descriptor::Descriptor;
use super::provider::{EndpointError, Provider, Settings};
use crate::crypto::{KeyRing, Secret};
use crate::model::id::InstanceId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use url::Url;

/// The instance whose simulator it is.
#[derive(Clone, Copy)]
pub struct SimulatorSite<'a> {
    /// The key ring: the client secret is derived from it, never stored.
    pub ring: &'a KeyRing,
    /// The instance.
    pub instance_id: &'a InstanceId,
    /// Its origin, without trailing slash.
    pub origin: &'a str,
}

impl SimulatorSite<'_> {
    /// Where everything of this provider lies: `<origin>/_dev/providers/<slug>`.
    pub fn base(&self, slug: &str) -> String {
        format!("{}/_dev/providers/{slug}", self.origin.trim_end_matches('/'))
    }

    /// The callback address that the simulator knows: the only one, as at a provider where it is registered.
    pub fn callback_url(&self) -> String {
        format!("{}/v1/oauth_callback", self.origin.trim_end_matches('/'))
    }

    /// The client's secret at this simulated provider.
    pub fn client_secret(&self, slug: &str) -> Secret {
        let bytes = self.ring.simulator_bytes("client_secret", &[self.instance_id.as_str(), slug]);
        Secret::from(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The provider, simulated: as [`Provider::new`] with the simulator's client, then [`Provider::simulated`].
    pub fn provider(
        &self,
        descriptor: Arc<Descriptor>,
        additional_scopes: Vec<String>,
    ) -> Result<Provider, EndpointError> {
        let slug = descriptor.slug.clone();
        let settings = Settings {
            client_id: client_id(&slug),
            client_secret: Some(self.client_secret(&slug)),
            additional_scopes,
            ..Settings::default()
        };
        let base = Url::parse(&self.base(&slug)).map_err(|_| EndpointError::new(&slug, "the origin is no address"))?;
        Provider::new(descriptor, settings)?.simulated(&base)
    }
}

/// The client's id at a simulated provider.
pub fn client_id(slug: &str) -> String {
    format!("sim_{slug}")
}
