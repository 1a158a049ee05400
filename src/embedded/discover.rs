//! Finds the programs `postgres` and `initdb`: named, installed, or fetched earlier.

use super::{Account, EmbeddedError, fetch};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest major version that works.
const OLDEST: u32 = 14;
/// The newest major version that was tried.
const NEWEST: u32 = 18;

/// Where distributions put the programs: parent folder, what the next folder's name begins with, and the rest.
const INSTALLED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ("/usr/local", "pgsql", "bin"),
];

/// A folder with working `postgres` and `initdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The folder.
    pub bin: PathBuf,
    /// The version as `postgres -V` says it: `15.18`.
    pub version: String,
    /// Its major part: 15.
    pub major: u32,
}

impl Programs {
    /// Asks the programs in `bin` for their version, as `account`. The error is half a sentence.
    pub fn probe(bin: &Path, account: &Account) -> Result<Self, String> {
        let (postgres, initdb) = (bin.join("postgres"), bin.join("initdb"));
        if !postgres.is_file() || !initdb.is_file() {
            return Err("it has no `postgres` and `initdb`".to_owned());
        }
        let answer = account
            .command(&postgres)
            .arg("-V")
            .current_dir("/")
            .output()
            .map_err(|error| format!("`postgres -V`: {error}"))?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let Some((version, major)) = version(&text) else {
            let complaint = String::from_utf8_lossy(&answer.stderr);
            return Err(format!("`postgres -V` answers {:?}", format!("{text}{complaint}").trim()));
        };
        if major < OLDEST {
            return Err(format!("it is version {version}, older than {OLDEST}"));
        }
        Ok(Self { bin: bin.to_owned(), version, major })
    }
}

/// `15.18` and 15 from `postgres (PostgreSQL) 15.18 (Debian …)`.
fn version(answer: &str) -> Option<(String, u32)> {
    let version = answer.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((version.to_owned(), digits.parse().ok()?))
}

/// Which programs will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionWanted {
    /// Any supported version, the newest first: there is no data yet.
    Any,
    /// This major version: there is data.
    Major(u32),
}

impl VersionWanted {
    /// What the data directory asks for.
    pub fn by(data: &Path) -> Self {
        let text = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        text.trim().parse().map_or(Self::Any, Self::Major)
    }
}

/// What a search for programs came to.
#[derive(Debug)]
pub enum Found {
    /// Programs that will do.
    Programs(Programs),
    /// Only these, or none, which are of other versions.
    Only(Vec<Programs>),
}

/// The folders to look into.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `VESTIBULE_PG_BIN`: the only candidate when it is set.
    pub bin: Option<PathBuf>,
    /// Installed programs.
    pub installed: Vec<PathBuf>,
    /// The folder of our caches; earlier fetches are in `postgres/<version>/` below it.
    pub cache: Option<PathBuf>,
}

impl Places {
    /// The places of this machine.
    pub fn of_this_machine(bin: Option<PathBuf>) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut installed: Vec<PathBuf> = env::split_paths(&path).flat_map(|folder| on_path(&folder)).collect();
        installed.extend(INSTALLED.iter().flat_map(|(parent, prefix, rest)| below(Path::new(parent), prefix, rest)));
        Self { bin, installed, cache: cache_folder() }
    }

    /// Looks for the best programs for `wanted`.
    pub fn find(&self, wanted: VersionWanted, account: &Account) -> Result<Found, EmbeddedError> {
        if let Some(bin) = &self.bin {
            let programs =
                Programs::probe(bin, account).map_err(|reason| EmbeddedError::BadBin { path: bin.clone(), reason })?;
            return Ok(best(vec![programs], wanted));
        }
        let mut seen = Vec::new();
        for folders in [self.installed.clone(), self.cached()] {
            match best(probe_all(&folders, account), wanted) {
                Found::Programs(programs) => return Ok(Found::Programs(programs)),
                Found::Only(others) => seen.extend(others),
            }
        }
        Ok(Found::Only(seen))
    }

    fn cached(&self) -> Vec<PathBuf> {
        self.cache.iter().flat_map(|cache| below(&cache.join("postgres"), "", fetch::BIN)).collect()
    }
}

/// The folder of a `postgres` in `folder`: first where its symlinks lead, because `initdb` may be only there.
fn on_path(folder: &Path) -> Vec<PathBuf> {
    let postgres = folder.join("postgres");
    let Ok(resolved) = postgres.canonicalize() else { return Vec::new() };
    let real = resolved.parent().map(Path::to_owned);
    real.into_iter().chain([folder.to_owned()]).collect()
}

/// `parent/<prefix…>/rest`, each that exists; names that begin with a dot are unfinished fetches.
fn below(parent: &Path, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(prefix) && !name.starts_with('.')
        })
        .map(|entry| entry.path().join(rest))
        .filter(|folder| folder.is_dir())
        .collect()
}

/// Each folder once, those that work.
fn probe_all(folders: &[PathBuf], account: &Account) -> Vec<Programs> {
    let mut asked = Vec::new();
    let mut found = Vec::new();
    for folder in folders {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        if asked.contains(&real) {
            continue;
        }
        found.extend(Programs::probe(folder, account).ok());
        asked.push(real);
    }
    found
}

/// For new data the highest tried version, or a newer one if there is no other; for existing data its major only.
fn best(mut found: Vec<Programs>, wanted: VersionWanted) -> Found {
    let fits = |programs: &Programs| match wanted {
        VersionWanted::Any => true,
        VersionWanted::Major(major) => programs.major == major,
    };
    // Stable: of two with the same version the earlier place wins.
    found.sort_by_key(|programs| (programs.major > NEWEST, std::cmp::Reverse(programs.major)));
    let Some(programs) = found.iter().find(|programs| fits(programs)).cloned() else { return Found::Only(found) };
    if programs.major > NEWEST {
        tracing::warn!(version = programs.version, "PostgreSQL is newer than any version tried (14 to 18)");
    }
    Found::Programs(programs)
}

/// Our cache folder; as root one that the database's account can read.
fn cache_folder() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/vestibule"));
    }
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = || {
        let folder = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        Some(PathBuf::from(env::var_os("HOME")?).join(folder))
    };
    Some(named.or_else(of_home)?.join("vestibule"))
}
