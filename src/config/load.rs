//! From collected values to [`Config`]: types, ranges, and every mistake at once.

use std::path::PathBuf;

use lettre::message::Mailbox;
use url::Url;

use super::limits::Rates;
use super::proxies::{self, Proxies, Trusted};
use super::reader::{Notes, Reader};
use super::sources::{Sources, Written, collect};
use super::{Config, Database, Dev, Jobs, Limits, Listen, Log, LogFormat, LogLevel, Retention, Server, value};
use crate::crypto::password::Cost;
use crate::crypto::{KeyRing, RingEntry, RingError};
use crate::outbound::mail::{MailConfig, MailRoute};
use crate::outbound::{AllowEntry, OutboundConfig, is_proxy_address};

/// What is wrong with the configuration: all of it, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    /// The mistakes. No line holds a secret.
    pub problems: Vec<String>,
}

/// A configuration and what is worth a warning about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// To be logged once logs are written.
    pub warnings: Vec<String>,
}

/// Reads `sources` over the defaults `base` ([`Config::default`], or [`Config::dev`]).
///
/// # Errors
/// Everything that is wrong.
pub fn load(sources: &Sources, base: Config) -> Result<Loaded, ConfigError> {
    let (config, notes) = read(sources, base);
    if notes.problems.is_empty() {
        Ok(Loaded { config, warnings: notes.warnings })
    } else {
        Err(ConfigError { problems: notes.problems })
    }
}

fn read(sources: &Sources, base: Config) -> (Config, Notes) {
    let mut reader = Reader::new(collect(sources));
    let config = Config {
        server: server(&mut reader, base.server),
        database: database(&mut reader, base.database),
        keys: keys(&mut reader),
        log: log(&mut reader, base.log),
        outbound: outbound(&mut reader, base.outbound),
        email: email(&mut reader),
        limits: limits(&mut reader, &base.limits),
        passwords: passwords(&mut reader, base.passwords),
        retention: Retention::read(&mut reader, &base.retention),
        jobs: Jobs { workers: reader.number("jobs.workers", base.jobs.workers, 0, 256) },
        dev: dev(&mut reader, base.dev),
    };
    (config, reader.into_notes())
}

fn server(reader: &mut Reader, base: Server) -> Server {
    Server {
        listen: reader.listeners("server.listen", base.listen),
        internal_listen: internal_listen(reader, base.internal_listen),
        proxies: proxies(reader, base.proxies),
        drain: reader.duration("server.shutdown.drain", base.drain),
        grace: reader.duration("server.shutdown.grace", base.grace),
        request_timeout: reader.duration("server.request_timeout", base.request_timeout),
        send_timeout: reader.duration("server.send_timeout", base.send_timeout),
        http2_control_frames: reader.rate("server.http2_control_frames", base.http2_control_frames),
        max_connections: reader.number("server.max_connections", base.max_connections, 1, 1_000_000),
        max_connections_per_address: reader.number(
            "server.max_connections_per_address",
            base.max_connections_per_address,
            0,
            1_000_000,
        ),
    }
}

/// Empty = off.
fn internal_listen(reader: &mut Reader, base: Option<Listen>) -> Option<Listen> {
    match reader.text("server.internal_listen") {
        None => base,
        Some(text) if text.is_empty() => None,
        Some(text) => match value::listen(&text) {
            Ok(listen) => Some(listen),
            Err(form) => {
                reader.refuse("server.internal_listen", &format!("must be {form}; empty = off"));
                base
            }
        },
    }
}

fn proxies(reader: &mut Reader, base: Proxies) -> Proxies {
    let mut trusted = base.trusted;
    if let Some(entries) = reader.list("server.trusted_proxies") {
        trusted = Vec::new();
        for entry in entries {
            match entry.parse::<Trusted>() {
                Ok(entry) => trusted.push(entry),
                Err(error) => reader.refuse("server.trusted_proxies", &error.to_string()),
            }
        }
    }
    let header = reader.text("server.client_ip_header").filter(|name| !name.is_empty());
    let header = header.and_then(|name| match proxies::header(&name) {
        Ok(name) => Some(name),
        Err(form) => {
            reader.refuse("server.client_ip_header", &format!("must be {form}"));
            None
        }
    });
    Proxies { trusted, header: header.or(base.header) }
}

fn database(reader: &mut Reader, base: Database) -> Database {
    let max_connections = reader.number("database.max_connections", base.max_connections as usize, 1, 10_000);
    let min_connections = reader.number("database.min_connections", base.min_connections as usize, 0, 10_000);
    let [max_connections, min_connections] =
        [max_connections, min_connections].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    Database {
        url: reader.database_url("database.url"),
        direct_url: reader.database_url("database.direct_url"),
        connect_timeout: reader.duration("database.connect_timeout", base.connect_timeout),
        max_connections,
        min_connections: min_connections.min(max_connections),
        acquire_timeout: reader.duration("database.acquire_timeout", base.acquire_timeout),
        statement_timeout: base.statement_timeout,
        migrate_on_start: reader.flag("database.migrate_on_start", base.migrate_on_start),
    }
}

/// Never below what OWASP calls the least.
fn passwords(reader: &mut Reader, base: Cost) -> Cost {
    let least = Cost::default();
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let memory = reader.number("passwords.memory", number(base.memory), number(least.memory), 1 << 20);
    let passes = reader.number("passwords.passes", number(base.passes), number(least.passes), 100);
    let [memory, passes] = [memory, passes].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    Cost { memory, passes }
}

fn limits(reader: &mut Reader, base: &Limits) -> Limits {
    Limits { relaxed: reader.flag("limits.relaxed", base.relaxed), rates: Rates::read(reader, &base.rates) }
}

fn log(reader: &mut Reader, base: Log) -> Log {
    const LEVELS: [(&str, LogLevel); 5] = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let format = reader.choice("log.format", &[("json", LogFormat::Json), ("text", LogFormat::Text)]);
    let level = reader.choice("log.level", &LEVELS);
    let filter = reader.text("log.filter").filter(|filter| !filter.is_empty());
    if let Some(Err(error)) = filter.as_ref().map(|filter| filter.parse::<tracing_subscriber::EnvFilter>()) {
        reader.refuse("log.filter", &format!("must be like info,vestibule::http=debug: {error}"));
    }
    Log { format: format.or(base.format), level: level.unwrap_or(base.level), filter: filter.or(base.filter) }
}

fn outbound(reader: &mut Reader, base: OutboundConfig) -> OutboundConfig {
    let mut allow = base.allow;
    if let Some(entries) = reader.list("outbound.allow") {
        allow = Vec::new();
        for entry in entries {
            match entry.parse::<AllowEntry>() {
                Ok(entry) => allow.push(entry),
                Err(error) => reader.refuse("outbound.allow", &error.to_string()),
            }
        }
    }
    let proxy = reader.text("outbound.proxy").filter(|proxy| !proxy.is_empty());
    let proxy = proxy.and_then(|text| match Url::parse(&text) {
        Ok(url) if is_proxy_address(&url) => Some(url),
        _ => {
            reader.refuse("outbound.proxy", "must be an address like http://proxy.internal:3128");
            None
        }
    });
    OutboundConfig {
        allow,
        offline: reader.flag("outbound.offline", base.offline),
        proxy: proxy.or(base.proxy),
        ca_file: reader.text("outbound.ca_file").filter(|path| !path.is_empty()).map(PathBuf::from).or(base.ca_file),
    }
}

/// `inbox:` and no address are one: development instances keep their messages, others have no mail.
fn email(reader: &mut Reader) -> Option<MailConfig> {
    let url = reader.text("email.url").filter(|url| !url.is_empty() && url != "inbox:");
    let (from, reply_to) = (mailbox(reader, "email.from"), mailbox(reader, "email.reply_to"));
    let route = match MailRoute::parse(&url?) {
        Ok(route) => route,
        Err(form) => {
            reader.refuse("email.url", &format!("must be {form}"));
            return None;
        }
    };
    if from.is_none() {
        reader.refuse("email.from", "must be given with email.url");
    }
    Some(MailConfig { route, from: from?, reply_to })
}

fn mailbox(reader: &mut Reader, key: &'static str) -> Option<Mailbox> {
    let text = reader.text(key).filter(|text| !text.is_empty())?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        reader.refuse(key, "must be an address, or a name and an address: Acme <no-reply@acme.example>");
    }
    parsed
}

fn dev(reader: &mut Reader, base: Dev) -> Dev {
    let chosen = reader.text("dev.data_dir").filter(|path| !path.is_empty()).map(PathBuf::from);
    Dev {
        pages: reader.flag("dev.pages", base.pages),
        is_data_dir_chosen: chosen.is_some() || base.is_data_dir_chosen,
        data_dir: chosen.unwrap_or(base.data_dir),
    }
}

/// The key ring's entries, checked as a ring.
fn keys(reader: &mut Reader) -> Vec<RingEntry> {
    let entries = match reader.take("keys").map(|found| found.value) {
        None => return Vec::new(),
        Some(Written::Text(text)) => key_pairs(&text).map_err(|error| error.to_string()),
        Some(Written::Toml(value)) => reader.key_tables(&value),
    };
    let checked = entries.and_then(|entries| match KeyRing::from_entries(&entries) {
        Ok(_) => Ok(entries),
        Err(error) => Err(error.to_string()),
    });
    checked.unwrap_or_else(|problem| {
        reader.refuse("keys", &problem);
        Vec::new()
    })
}

/// `id:base64,id:base64`, the form of `VESTIBULE_KEYS`.
fn key_pairs(text: &str) -> Result<Vec<RingEntry>, RingError> {
    let pair = |(index, entry): (usize, &str)| {
        let (id, secret) = entry.trim().split_once(':').ok_or(RingError::Form { position: index + 1 })?;
        Ok(RingEntry { id: id.to_owned(), secret: secret.to_owned().into() })
    };
    text.split(',').enumerate().map(pair).collect()
}

#[cfg(test)]
mod tests;
