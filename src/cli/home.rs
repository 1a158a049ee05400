//! The folder of `vestibule dev` (`.vestibule`): the key ring and the plain secret key, which the database holds only
//! as a hash. Files are for their owner only; git never sees the folder.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};
use crate::crypto::{ExposeSecret, RingEntry, Secret};
use crate::model::random::{Rng, base62};

const KEYS: &str = "keys.toml";
const ENVIRONMENT: &str = "dev.env";

/// The folder.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// The key ring of the folder `data_dir`, if there is one.
pub fn read_keys(data_dir: &Path) -> Result<Option<Vec<RingEntry>>, Failure> {
    let path = data_dir.join(KEYS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_failure("read", &path, &error)),
    };
    let broken = || Failure::new(Exit::Configuration, format!("{} is not a key ring any more", path.display()));
    let table: toml::Table = text.parse().map_err(|_| broken())?;
    let keys = table.get("keys").and_then(toml::Value::as_array).ok_or_else(broken)?;
    let entry = |key: &toml::Value| {
        let text = |name: &str| Some(key.get(name)?.as_str()?.to_owned());
        Some(RingEntry { id: text("id")?, secret: text("secret")?.into() })
    };
    keys.iter().map(entry).collect::<Option<Vec<_>>>().map(Some).ok_or_else(broken)
}

impl Home {
    /// The folder, made where it is missing.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) => return Err(io_failure("make", path, &error)),
        }
        let home = Self { path: path.to_owned() };
        let ignore = path.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|error| io_failure("write", &ignore, &error))?;
        }
        Ok(home)
    }

    /// Its key ring; made once. Of two processes that make it at the same time, both get the same one.
    pub fn keys(&self, rng: &dyn Rng) -> Result<Vec<RingEntry>, Failure> {
        if let Some(keys) = read_keys(&self.path)? {
            return Ok(keys);
        }
        let text = ring_file(std::slice::from_ref(&RingEntry::generate(rng)));
        let unfinished = self.path.join(format!("{KEYS}.{}", base62(rng, 8)));
        let path = self.path.join(KEYS);
        write_private(&unfinished, &text)?;
        // A link, unlike a rename, never replaces what another process has just put there.
        let linked = fs::hard_link(&unfinished, &path);
        let _ = fs::remove_file(&unfinished);
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_failure("write", &path, &error)),
        }
        read_keys(&self.path)?.ok_or_else(|| Failure::failed(format!("{} has just gone", path.display())))
    }

    /// Where the environment lines are stored.
    pub fn environment_path(&self) -> PathBuf {
        self.path.join(ENVIRONMENT)
    }

    /// The stored environment lines; empty where there are none.
    pub fn environment(&self) -> BTreeMap<String, String> {
        read_environment(&self.path)
    }

    /// The stored secret key.
    pub fn secret_key(&self) -> Option<Secret> {
        self.environment().remove("CLERK_SECRET_KEY").map(Secret::from)
    }

    /// Keeps environment lines.
    pub fn keep_environment(&self, lines: &[(String, String)]) -> Result<(), Failure> {
        let mut text = "# Written by `vestibule dev`: the development instance's keys.\n".to_owned();
        for (name, value) in lines {
            text.push_str(&format!("{name}={value}\n"));
        }
        let path = self.environment_path();
        let unfinished = self.path.join(format!("{ENVIRONMENT}.new"));
        write_private(&unfinished, &text)?;
        fs::rename(&unfinished, &path).map_err(|error| io_failure("write", &path, &error))
    }
}

/// Puts a new key in front of the folder's ring; gives the file. Servers read it when they start.
pub fn add_key(data_dir: &Path, entry: &RingEntry) -> Result<PathBuf, Failure> {
    let path = data_dir.join(KEYS);
    let older = read_keys(data_dir)?.unwrap_or_default();
    let keys: Vec<RingEntry> = std::iter::once(entry.clone()).chain(older).collect();
    let unfinished = data_dir.join(format!("{KEYS}.new"));
    write_private(&unfinished, &ring_file(&keys))?;
    fs::rename(&unfinished, &path).map_err(|error| io_failure("write", &path, &error))?;
    Ok(path)
}

fn ring_file(keys: &[RingEntry]) -> String {
    let line =
        |key: &RingEntry| format!("    {{ id = \"{}\", secret = \"{}\" }},\n", key.id, key.secret.expose_secret());
    format!(
        "# The key ring of this folder's database. Without it nobody can read what the database holds sealed.\n\
         keys = [\n{}]\n",
        keys.iter().map(line).collect::<String>()
    )
}

/// `dev.env` of the folder `data_dir`.
pub fn read_environment(data_dir: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(data_dir.join(ENVIRONMENT)).unwrap_or_default();
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Writes a file for its owner only; one that is there is replaced.
fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).and_then(|mut file: File| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| io_failure("write", path, &error))
}

fn io_failure(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyRing, SystemRng};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_ring_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("a/b")).unwrap();
        let first = home.keys(&SystemRng).unwrap();
        let again = Home::open(&folder.path().join("a/b")).unwrap().keys(&SystemRng).unwrap();
        assert_eq!(first[0].to_setting().expose_secret(), again[0].to_setting().expose_secret());
        KeyRing::from_entries(&first).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home.path.join(KEYS)), mode(&home.path)), (0o600, 0o700));
        assert_eq!(fs::read_to_string(home.path.join(".gitignore")).unwrap(), "*\n");
        assert_eq!(fs::read_dir(&home.path).unwrap().count(), 2, "nothing unfinished stays");
    }

    #[test]
    fn a_broken_ring_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        fs::write(folder.path().join(KEYS), "keys = 7").unwrap();
        assert_eq!(home.keys(&SystemRng).unwrap_err().exit, Exit::Configuration);
        assert_eq!(fs::read_to_string(folder.path().join(KEYS)).unwrap(), "keys = 7");
    }

    #[test]
    fn environment_lines_survive() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert!(home.secret_key().is_none());
        home.keep_environment(&[("CLERK_SECRET_KEY".to_owned(), "sk_live_a=b".to_owned())]).unwrap();
        assert_eq!(home.secret_key().unwrap().expose_secret(), "sk_live_a=b");
        let mode = fs::metadata(home.environment_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
