//! Instances and randomness for the tests of this folder.

use crate::model::id::{AppId, InstanceId};
use crate::model::instance::{Environment, Instance};
use crate::model::random::Rng;
use crate::model::settings::Settings;
use crate::model::time::Timestamp;

/// Text that must never reach a page unescaped.
pub const HOSTILE: &str = r#"<"'&>"#;

/// Randomness that is none.
pub struct Fixed(pub u8);

impl Rng for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn instance(environment: Environment) -> Instance {
    let rng = Fixed(1);
    Instance {
        id: InstanceId::new(Timestamp::UNIX_EPOCH, &rng),
        application_id: AppId::new(Timestamp::UNIX_EPOCH, &rng),
        name: "live".to_owned(),
        environment,
        publishable_key: "pk_live_aWQuZXhhbXBsZSQ".to_owned(),
        origin: "https://id.example".to_owned(),
        key_host: "id.example".to_owned(),
        settings: Settings::default(),
        clock_offset: time::Duration::ZERO,
        origins: Vec::new(),
    }
}

/// A production instance of `https://id.example`.
pub fn production() -> Instance {
    instance(Environment::Production)
}

/// A development instance of the same address whose every text is hostile.
pub fn development() -> Instance {
    let mut instance = instance(Environment::Development);
    instance.name = HOSTILE.to_owned();
    instance.settings.application_name = format!("App {HOSTILE}");
    instance.settings.support_email = format!("{HOSTILE}@example.com");
    instance
}
