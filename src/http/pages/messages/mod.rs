//! The sentences people read, one file per language, compiled in. Keys are dotted: `sign_in.heading`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

const ENGLISH: &str = include_str!("en.toml");

static MESSAGES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| read(ENGLISH));

/// Flattens a message file. A broken file gives no messages, and the tests below fail.
fn read(file: &str) -> BTreeMap<String, String> {
    let table: toml::Table = toml::from_str(file).unwrap_or_default();
    let sections = table.iter().filter_map(|(section, entries)| Some((section, entries.as_table()?)));
    let entries = sections.flat_map(|(section, entries)| entries.iter().map(move |(key, text)| (section, key, text)));
    entries.filter_map(|(section, key, text)| Some((format!("{section}.{key}"), text.as_str()?.to_owned()))).collect()
}

/// The sentence under `key`; the key itself where there is none (a test sees to it that there is).
pub fn text(key: &str) -> &str {
    MESSAGES.get(key).map_or(key, String::as_str)
}

/// The sentence under `key` with its placeholders filled. Values are never read for placeholders again: a person may
/// be called `{provider}`.
pub fn fill(key: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = text(key);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            break;
        };
        filled.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Every quoted text in this folder's sources and templates that looks like a key of the message file.
    fn asked_for(folder: &Path, sections: &BTreeSet<&str>, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                asked_for(&path, sections, found);
                continue;
            }
            let is_source = path.extension().is_some_and(|kind| kind == "rs" || kind == "html");
            if !is_source || path.ends_with("messages/mod.rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for quoted in source.split('"') {
                let Some((section, key)) = quoted.split_once('.') else { continue };
                let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                if is_key && key != "html" && sections.contains(section) {
                    found.insert(quoted.to_owned());
                }
            }
        }
    }

    #[test]
    fn every_key_is_asked_for_and_every_asked_for_key_exists() {
        let sections: BTreeSet<&str> = MESSAGES.keys().filter_map(|key| key.split_once('.')).map(|(s, _)| s).collect();
        let mut found = BTreeSet::new();
        asked_for(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/pages")), &sections, &mut found);
        let known: BTreeSet<String> = MESSAGES.keys().cloned().collect();
        assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "missing in en.toml");
        assert_eq!(known.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new(), "asked for by nobody");
    }

    #[test]
    fn fills_placeholders_once() {
        assert_eq!(
            fill("start.continue_with", &[("provider", "{provider} & <co>")]),
            "Continue with {provider} & <co>"
        );
        assert_eq!(fill("start.continue_with", &[]), "Continue with ");
        assert_eq!(text("no.such"), "no.such");
    }
}
