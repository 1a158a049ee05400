//! Writes into the audit log which provider tokens this replica handed out, so that no request waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::actions::provider_token;
use crate::app::App;

/// How long an entry may be missing at most, while the database answers.
const WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn run(app: Arc<App>, mut stop: Stop) {
    while !stop.within(WITHIN).await {
        provider_token::write_token_accesses(&app).await;
    }
    provider_token::write_token_accesses(&app).await;
}
