//! The command: makes the instance that is walked through, and removes it.

use std::time::Instant;

use clap::Args;
use serde_json::json;
use url::Url;

use super::super::Global;
use super::super::failure::{Exit, Failure};
use super::super::open::{Open, actor};
use super::super::show;
use super::super::signals::Signals;
use super::{Step, Target, walk};
use crate::actions::instance::{self, NewInstance};
use crate::model::id::InstanceId;
use crate::model::instance::Environment;
use crate::model::random::base62;
use crate::store::InstanceConnection;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{erase, instances};

/// Walks through the main journeys.
#[derive(Debug, Args)]
pub struct Options {
    /// Address of the running development server; it must use the database of this command
    #[arg(long, value_name = "URL")]
    against: Option<Url>,
}

/// Runs the command.
pub async fn run(global: &Global, options: Options) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = on_scratch_instance(global, &options, &open).await;
    open.close().await;
    outcome
}

async fn on_scratch_instance(global: &Global, options: &Options, open: &Open) -> Result<(), Failure> {
    let server = match &options.against {
        Some(url) => url.clone(),
        None => running(open).await?,
    };
    let port = server.port_or_known_default().unwrap_or(8484);
    let name = format!("selftest-{}", base62(open.app.rng.as_ref(), 8).to_ascii_lowercase());
    let new = NewInstance::on_own_loopback_name(&name, port)?;
    let created = instance::create(&open.app, &new, actor()).await?;
    let origin = Url::parse(&new.origin()).map_err(|error| Failure::failed(error.to_string()))?;
    let target = Target { origin, secret_key: created.secret_key };
    let mut signals = Signals::listen().map_err(|error| Failure::failed(error.to_string()))?;
    let walked = tokio::select! {
        walked = report(global, &target) => walked,
        // The instance goes in any case.
        () = signals.asked() => Err(Failure::new(Exit::Aborted, "")),
    };
    let removed = remove(open, &created.id).await;
    walked.and(removed)
}

/// Walks, telling each step with its time.
async fn report(global: &Global, target: &Target) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut steps = Vec::new();
    let mut tell = |step: &Step| {
        let milliseconds = step.took.as_secs_f64() * 1000.0;
        if global.json {
            steps.push(json!({ "step": step.name, "ms": milliseconds.round() }));
        } else {
            show::print(&[format!("{milliseconds:>8.1} ms  {}", step.name)]);
        }
    };
    let walked = walk(target, &mut tell).await.map_err(|failed| Failure::failed(failed.to_string()));
    let document = json!({ "passed": walked.is_ok(), "steps": steps });
    show::answer(global, &document, || match &walked {
        Ok(()) => vec![format!("{:>8.1} ms  everything works", begun.elapsed().as_secs_f64() * 1000.0)],
        Err(_) => Vec::new(),
    })?;
    walked
}

/// The address of the instance `dev`, where `vestibule dev` runs.
async fn running(open: &Open) -> Result<Url, Failure> {
    let all = instances::list(&open.app.db).await?;
    let dev = all.iter().find(|instance| instance.environment_type == Environment::Development);
    dev.and_then(|instance| Url::parse(&instance.frontend_api).ok()).ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no development instance: start `vestibule dev`, or say --against")
    })
}

async fn remove(open: &Open, id: &InstanceId) -> Result<(), Failure> {
    transact(InstanceConnection::of_pool(&open.app.db, id, time::Duration::ZERO), "selftest.remove", |tx| {
        async move {
            erase::instance(tx).await?;
            instances::announce(&mut *tx).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await
}
