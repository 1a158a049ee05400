//! What the unit tests of this module share.

use super::application::{Application, IdTokenClaims, Kind};
use super::scope::Scopes;
use crate::model::id::{AppId, ApplicationId, InstanceId};
use crate::model::instance::{Environment, Instance};
use crate::model::settings::Settings;
use time::macros::datetime;

fn instance(environment: Environment) -> Instance {
    Instance {
        id: InstanceId::parse(&format!("ins_{}", "0".repeat(27))).unwrap(),
        application_id: AppId::parse(&format!("app_{}", "0".repeat(27))).unwrap(),
        name: "test".to_owned(),
        environment,
        publishable_key: String::new(),
        origin: "https://id.example".to_owned(),
        key_host: "id.example".to_owned(),
        settings: Settings::default(),
        clock_offset: time::Duration::ZERO,
        origins: Vec::new(),
    }
}

pub fn production() -> Instance {
    instance(Environment::Production)
}

pub fn development() -> Instance {
    instance(Environment::Development)
}

/// A confidential client of `https://client.example/cb` with `profile email`.
pub fn application() -> Application {
    Application {
        id: ApplicationId::parse(&format!("oa_{}", "0".repeat(27))).unwrap(),
        client_id: "d9g4CT4WYiCBm7EU".to_owned(),
        kind: Kind::Managed,
        name: "Grafana".to_owned(),
        is_public: false,
        pkce_required: false,
        consent_screen_enabled: true,
        redirect_uris: vec!["https://client.example/cb".to_owned()],
        scopes: Scopes::parse("profile email").unwrap(),
        client_uri: None,
        id_token_claims: IdTokenClaims::Full,
        created_at: datetime!(2026-11-21 10:00 UTC),
        updated_at: datetime!(2026-11-21 10:00 UTC),
    }
}
