//! The layer that turns an event into a line.

use std::fmt::{Debug, Write};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::repeats::Repeats;
use super::sink::Sink;
use crate::config::LogFormat;
use crate::model::time::Timestamp;

/// In milliseconds.
const TIME: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes lines.
pub(super) struct Lines {
    sink: Sink,
    format: LogFormat,
    repeats: Repeats,
}

/// The fields of a span or an event, in the order in which they were given.
#[derive(Clone, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    /// Removes the message.
    fn take_message(&mut self) -> String {
        let Some(at) = self.0.iter().position(|(name, _)| *name == "message") else { return String::new() };
        match self.0.remove(at).1 {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // An absent member is shorter than an empty one.
        if !value.is_empty() {
            self.put(field.name(), value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field.name(), value.to_string().into());
    }
}

impl Lines {
    pub(super) fn new(sink: Sink, format: LogFormat) -> Self {
        Self { sink, format, repeats: Repeats::default() }
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        // Other crates' details hold headers and bodies: no filter lets them out.
        if *metadata.level() > Level::INFO && !is_ours(metadata.target()) {
            return;
        }
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (name, value) in &of_span.0 {
                    fields.put(name, value.clone());
                }
            }
        }
        event.record(&mut fields);
        let message = fields.take_message();
        if *metadata.level() <= Level::WARN {
            let Some(suppressed) = self.repeats.admit(metadata.target(), &message) else { return };
            if suppressed > 0 {
                fields.put("suppressed", suppressed.into());
            }
        }
        let line = match self.format {
            LogFormat::Json => json(*metadata.level(), metadata.target(), &message, &fields.0),
            LogFormat::Text => text(*metadata.level(), metadata.target(), &message, &fields.0),
        };
        self.sink.write(line);
    }
}

fn is_ours(target: &str) -> bool {
    target == "vestibule" || target.starts_with("vestibule::")
}

fn json(level: Level, target: &str, message: &str, fields: &[(&'static str, Value)]) -> String {
    let mut line = String::with_capacity(256);
    let level = level.as_str().to_ascii_lowercase();
    let _ = write!(line, "{{\"ts\":\"{}\",\"level\":\"{level}\",\"msg\":{}", timestamp(), quoted(message));
    let _ = write!(line, ",\"target\":{}", quoted(target));
    for (name, value) in fields {
        let _ = match value {
            Value::String(value) => write!(line, ",{}:{}", quoted(name), quoted(value)),
            value => write!(line, ",{}:{value}", quoted(name)),
        };
    }
    line.push_str("}\n");
    line
}

fn text(level: Level, target: &str, message: &str, fields: &[(&'static str, Value)]) -> String {
    let time = timestamp();
    let time = time.get(11..23).unwrap_or_default();
    let mut line = format!("{time} {level:5} ");
    escape_into(&mut line, message);
    for (name, value) in fields {
        let _ = write!(line, " {name}=");
        match value {
            Value::String(value) => escape_into(&mut line, value),
            value => {
                let _ = write!(line, "{value}");
            }
        }
    }
    let _ = writeln!(line, " ({target})");
    line
}

/// Nothing that a client sends can begin a line of its own or move the cursor of a terminal.
fn escape_into(line: &mut String, value: &str) {
    for letter in value.chars() {
        if is_hostile(letter) {
            line.extend(letter.escape_unicode());
        } else {
            line.push(letter);
        }
    }
}

/// Ends a line, or moves the cursor of a terminal, or turns the direction of what follows.
fn is_hostile(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A JSON string, with every hostile letter escaped.
fn quoted(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    if !quoted.chars().any(is_hostile) {
        return quoted;
    }
    let mut escaped = String::with_capacity(quoted.len() + 16);
    for letter in quoted.chars() {
        if is_hostile(letter) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

#[expect(clippy::disallowed_methods, reason = "a log line carries the machine's own time, as all of its logs do")]
fn timestamp() -> String {
    Timestamp::now_utc().format(&TIME).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn lines(format: LogFormat, say: impl FnOnce()) -> Vec<String> {
        let (sink, buffered) = Sink::buffered();
        let subscriber = tracing_subscriber::registry().with(Lines::new(sink, format));
        tracing::subscriber::with_default(subscriber, say);
        buffered.lines()
    }

    #[test]
    fn a_line_is_one_object_with_the_fields_of_its_spans() {
        let lines = lines(LogFormat::Json, || {
            let _span = tracing::info_span!("request", request_id = "req_1", status = tracing::field::Empty).entered();
            tracing::info!(status = 200, ms = 3_u64, instance = "", is_new = true, "request");
        });
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "info");
        assert_eq!(line["msg"], "request");
        assert_eq!(line["target"], "vestibule::telemetry::format::tests");
        assert_eq!((&line["request_id"], &line["status"], &line["ms"]), (&"req_1".into(), &200.into(), &3.into()));
        assert_eq!(line["is_new"], true);
        assert_eq!(line.get("instance"), None, "empty texts are left out");
        let ts = line["ts"].as_str().unwrap();
        assert!(ts.len() == 24 && ts.ends_with('Z') && ts.as_bytes()[10] == b'T', "{ts}");
    }

    #[test]
    fn nobody_can_forge_a_line() {
        let hostile = "x\n{\"level\":\"info\"}\r\u{1b}[2J\u{2028}\u{9b}\u{202e}";
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = lines(format, || tracing::info!(agent = hostile, "said {hostile}"));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].chars().any(is_hostile), "{lines:?}");
        }
    }

    #[test]
    fn details_of_other_crates_are_never_written() {
        let lines = lines(LogFormat::Json, || {
            tracing::debug!(target: "hyper::proto", "cookie: __client=secret");
            tracing::trace!(target: "vestibules", "secret");
            tracing::info!(target: "hyper", "fine");
            tracing::trace!("ours");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(!lines.concat().contains("secret"));
    }

    #[test]
    fn errors_are_reported_with_their_texts() {
        let error = std::io::Error::other("the disk is full");
        let lines = lines(LogFormat::Text, || {
            tracing::warn!(error = &error as &(dyn std::error::Error + 'static), "cannot write");
        });
        assert!(lines[0].contains("WARN  cannot write error=the disk is full"), "{lines:?}");
    }
}
