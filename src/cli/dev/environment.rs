//! The variables that an app needs, as the official SDKs read them, and writing them into
//! a file.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::super::failure::Failure;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::instance::Instance;

/// Names and values, in the order in which they are shown. Without the secret key where it is not known any more.
pub fn lines(instance: &Instance, secret_key: Option<&Secret>) -> Vec<(String, String)> {
    let mut lines = instance.app_variables();
    let secret = secret_key.map(|key| ("CLERK_SECRET_KEY", key.expose_secret().to_owned()));
    lines.splice(1..1, secret);
    lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What to do with a variable that the file has with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave the file alone and fail.
    Keep,
    /// Replace the value.
    Replace,
}

/// Puts the lines into a dotenv file; everything else in it stays.
pub fn write_into(path: &Path, lines: &[(String, String)], existing: Existing) -> Result<(), Failure> {
    let cannot =
        |what: &str, error: &std::io::Error| Failure::failed(format!("cannot {what} {}: {error}", path.display()));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot("read", &error)),
    };
    let merged = merge(&text, lines, existing).map_err(|names| {
        let names = names.join(", ");
        Failure::failed(format!("{} has other values for {names}; --force replaces them", path.display()))
    })?;
    if merged == text {
        return Ok(());
    }
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, merged.as_bytes()));
    written.map_err(|error| cannot("write", &error))
}

/// The file's new text, or the names that stand in the way.
fn merge(text: &str, lines: &[(String, String)], existing: Existing) -> Result<String, Vec<String>> {
    let mut conflicts = Vec::new();
    let mut left: Vec<&(String, String)> = lines.iter().collect();
    let mut merged = String::with_capacity(text.len() + 512);
    for line in text.lines() {
        let name = assigned(line);
        let ours = name.and_then(|name| left.iter().position(|(ours, _)| ours == name));
        let Some((name, value)) = ours.map(|at| left.remove(at)) else {
            merged.push_str(line);
            merged.push('\n');
            continue;
        };
        let is_same = line.split_once('=').is_some_and(|(_, found)| unquoted(found) == value);
        if !is_same && existing == Existing::Keep {
            conflicts.push(name.clone());
        }
        merged.push_str(&if is_same { format!("{line}\n") } else { format!("{name}={value}\n") });
    }
    for (name, value) in left {
        merged.push_str(&format!("{name}={value}\n"));
    }
    if conflicts.is_empty() { Ok(merged) } else { Err(conflicts) }
}

/// The variable that a line sets.
fn assigned(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    Some(line.split_once('=')?.0.trim_end())
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Vec<(String, String)> {
        [("A", "1"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn new_variables_come_last_and_equal_ones_stay_as_they_are() {
        let text = "# mine\nexport A=\"1\"\nC=3\n";
        assert_eq!(merge(text, &ours(), Existing::Keep).unwrap(), "# mine\nexport A=\"1\"\nC=3\nB=2\n");
        assert_eq!(merge("", &ours(), Existing::Keep).unwrap(), "A=1\nB=2\n");
        assert_eq!(merge("C=3", &ours(), Existing::Keep).unwrap(), "C=3\nA=1\nB=2\n");
    }

    #[test]
    fn another_value_is_replaced_only_when_asked() {
        let text = "A=0\nB = 2\n#A=9\n";
        assert_eq!(merge(text, &ours(), Existing::Keep).unwrap_err(), ["A"]);
        assert_eq!(merge(text, &ours(), Existing::Replace).unwrap(), "A=1\nB = 2\n#A=9\n");
    }
}
