//! `vestibule keys`: the key ring.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use super::failure::Failure;
use super::home;
use super::open::{Open, actor};
use super::show;
use crate::actions::key_ring::{self, KeyStatus, KeyUse};
use crate::config::{Config, Sources, load};
use crate::crypto::{ExposeSecret, RingEntry, SystemRng};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which keys the ring and the database know, and what depends on each
    Status,
    /// Bring every sealed value under the key that writes, beside running servers
    Reseal,
    /// Make a new key
    Add(Add),
}

/// A new key.
#[derive(Debug, Args)]
pub struct Add {
    /// For the key ring; `vestibule dev`'s own ring gets it at once, any other is printed to be configured
    #[arg(long, required = true)]
    ring: bool,
}

/// Runs the command.
pub async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    if let Command::Add(_) = command {
        return add(global);
    }
    let open = Open::for_command(global).await?;
    let outcome = match command {
        Command::Reseal => reseal(global, &open).await,
        _ => status(global, &open).await,
    };
    open.close().await;
    outcome
}

async fn status(global: &Global, open: &Open) -> Result<(), Failure> {
    let keys = key_ring::status(&open.app).await?;
    show::answer(global, &json!({ "keys": keys }), || {
        let heading = ["key", "place", "sealed", "lookups", "ever sealed", ""].map(str::to_owned).to_vec();
        let rows = std::iter::once(heading).chain(keys.iter().map(row));
        show::table(&rows.collect::<Vec<_>>())
    })?;
    let absent = keys.iter().filter(|key| key.place == KeyUse::Absent).count();
    if absent > 0 {
        return Err(Failure::failed("the database needs keys that the ring does not have: what they sealed is lost"));
    }
    Ok(())
}

fn row(key: &KeyStatus) -> Vec<String> {
    let place = match key.place {
        KeyUse::Writes => "writes",
        KeyUse::Reads => "reads",
        KeyUse::Absent => "not in the ring",
    };
    let advice = match (key.worn, key.removable) {
        (true, _) => "has sealed very often: rotate",
        (false, true) => "can be removed",
        (false, false) => "",
    };
    let id = if key.id.is_empty() { "(unreadable)" } else { &key.id };
    let [sealed, lookups, seals] = [key.sealed, key.lookups, key.seals].map(|count| count.to_string());
    vec![id.to_owned(), place.to_owned(), sealed, lookups, seals, advice.to_owned()]
}

async fn reseal(global: &Global, open: &Open) -> Result<(), Failure> {
    let done = key_ring::reseal(&open.app, actor()).await?;
    show::answer(global, &done, || {
        let mut lines =
            vec![format!("{} values are sealed under \"{}\" now.", done.resealed, open.app.ring.first_id())];
        if done.replaced > 0 {
            lines.push(format!("{} changed meanwhile and were left alone.", done.replaced));
        }
        lines
    })?;
    if done.unopened.is_empty() {
        return Ok(());
    }
    let several: Vec<&str> = done.unopened.iter().take(5).map(String::as_str).collect();
    Err(Failure::failed(format!("{} values do not open: {}", done.unopened.len(), several.join("; "))))
}

fn add(global: &Global) -> Result<(), Failure> {
    let sources = Sources::of_this_process(global.config.clone());
    let config = load(&sources, Config::dev())?.config;
    let entry = RingEntry::generate(&SystemRng);
    if config.keys.is_empty() && home::read_keys(&config.dev.data_dir)?.is_some() {
        let path = home::add_key(&config.dev.data_dir, &entry)?;
        return print_entry(global, &entry, &path);
    }
    let text = entry.to_setting();
    let (setting, id) = (text.expose_secret(), &entry.id);
    show::answer(global, &json!({ "id": id, "entry": setting }), || {
        vec![
            setting.to_owned(),
            String::new(),
            "Shown this once. First append it to VESTIBULE_KEYS (after a comma) and restart every server, so that all"
                .into(),
            "can read with it; then put it in front and restart again, so that all write with it; then run".into(),
            "`vestibule keys reseal`. docs/key-ring.md has the whole procedure.".into(),
        ]
    })
}

fn print_entry(global: &Global, entry: &RingEntry, path: &Path) -> Result<(), Failure> {
    show::answer(global, &json!({ "id": entry.id, "file": path }), || {
        vec![
            format!("The key \"{}\" stands first in {}.", entry.id, path.display()),
            "Restart `vestibule dev`, then run `vestibule keys reseal`.".to_owned(),
        ]
    })
}
