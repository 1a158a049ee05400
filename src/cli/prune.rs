//! `vestibule prune`: the removal of what is over, and what waits for it. Of all instances at once.

use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::failure::Failure;
use super::open::Open;
use super::show;
use crate::app::App;
use crate::jobs::{retention, worker_name};
use crate::store::jobs::{self, JobStatus};
use crate::store::retention::{REMOVERS, Remover, Waiting};

/// What to do.
#[derive(Debug, Args)]
pub struct Options {
    /// Remove nothing; show what waits, how long, and how the last run went
    #[arg(long)]
    dry_run: bool,
}

/// A remover as it stands.
struct Row {
    remover: Remover,
    waiting: Waiting,
    job: Option<JobStatus>,
    /// A server is at it, and nothing was removed for this command.
    is_taken: bool,
}

/// Runs the command.
pub async fn run(global: &Global, options: &Options) -> Result<(), Failure> {
    let open = Open::for_command(global).await?;
    let outcome = rows(&open.app, options).await;
    let shown = outcome.map_err(Failure::from).and_then(|rows| answer(global, &rows));
    open.close().await;
    shown
}

async fn rows(app: &App, options: &Options) -> sqlx::Result<Vec<Row>> {
    let worker = worker_name(app);
    let mut rows = Vec::new();
    for remover in REMOVERS {
        let is_taken = !options.dry_run && !retention::remove_now(app, &worker, *remover).await?;
        let waiting = retention::waiting(app, *remover).await?;
        rows.push(Row { remover: *remover, waiting, job: None, is_taken });
    }
    let mut jobs = jobs::all(&app.db).await?;
    for row in &mut rows {
        let name = row.remover.job();
        row.job = jobs.iter().position(|job| job.name == name).map(|index| jobs.swap_remove(index));
    }
    Ok(rows)
}

fn answer(global: &Global, rows: &[Row]) -> Result<(), Failure> {
    let documents: Vec<Value> = rows.iter().map(document).collect();
    show::answer(global, &documents, || {
        let heading = ["TASK", "WAITING", "LONGEST", "LAST RUN", "ERROR"].map(str::to_owned).to_vec();
        show::table(&std::iter::once(heading).chain(rows.iter().map(line)).collect::<Vec<_>>())
    })?;
    match rows.iter().filter_map(error).next() {
        Some(error) => Err(Failure::failed(format!("not everything could be removed: {error}"))),
        None => Ok(()),
    }
}

fn error(row: &Row) -> Option<&str> {
    row.job.as_ref().and_then(|job| job.last_error.as_deref())
}

fn document(row: &Row) -> Value {
    let last_run = row.job.as_ref().and_then(|job| job.last_run_at);
    json!({
        "object": "retention",
        "name": row.remover.name(),
        "table": row.remover.table(),
        "waiting": row.waiting.rows,
        "is_lower_bound": row.waiting.is_cut,
        "overdue_seconds": row.waiting.overdue.as_secs(),
        "last_run_at": last_run.map(crate::model::time::millis),
        "last_error": error(row),
        "is_running_elsewhere": row.is_taken,
    })
}

fn line(row: &Row) -> Vec<String> {
    let more = if row.waiting.is_cut { "+" } else { "" };
    let last_run = row.job.as_ref().and_then(|job| job.last_run_at);
    let error = if row.is_taken { "a server is at it" } else { error(row).unwrap_or_default() };
    vec![
        row.remover.name().to_owned(),
        format!("{}{more}", row.waiting.rows),
        overdue(row.waiting),
        last_run.map(crate::http::pages::flow_document::moment).unwrap_or_else(|| "never".to_owned()),
        error.to_owned(),
    ]
}

/// In the largest unit that it fills.
fn overdue(waiting: Waiting) -> String {
    let seconds = waiting.overdue.as_secs();
    match (waiting.rows, seconds) {
        (0, _) => "-".to_owned(),
        (_, 0..60) => format!("{seconds} s"),
        (_, 60..3600) => format!("{} min", seconds / 60),
        (_, 3600..86_400) => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
