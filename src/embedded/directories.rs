//! Where the private cluster lives, and the modes and owners of its folders.

use super::{Account, EmbeddedError, Options};
use aws_lc_rs::digest;
use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest path of a unix socket (macOS; Linux has 4 more).
const SOCKET_PATH: usize = 103;
/// The socket's name; PostgreSQL derives it from the port.
const SOCKET: &str = ".s.PGSQL.5432";

/// The paths of one private cluster, all absolute and without symlinks.
#[derive(Clone, Debug)]
pub struct Directories {
    /// The folder that holds `pg/`: `dev.data_dir`, or where it moved to.
    pub data_dir: PathBuf,
    /// `pg/`.
    pub pg: PathBuf,
    /// Held with an exclusive lock by the process that owns the server.
    pub lock: PathBuf,
    /// The PostgreSQL data directory.
    pub data: PathBuf,
    /// The folder of the socket.
    pub run: PathBuf,
    /// What the server writes on stderr.
    pub log: PathBuf,
}

impl Directories {
    /// The paths below `data_dir`, which is absolute and without symlinks; `uid` is the database account's.
    fn below(data_dir: &Path, uid: u32) -> Self {
        let pg = data_dir.join("pg");
        let run = socket_folder(&pg.join("run"), uid);
        Self {
            data_dir: data_dir.to_owned(),
            lock: pg.join("lock"),
            data: pg.join("data"),
            log: pg.join("postgres.log"),
            run,
            pg,
        }
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join(SOCKET)
    }

    /// True if a complete data directory is there.
    pub fn has_data(&self) -> bool {
        self.data.join("PG_VERSION").is_file()
    }

    /// Where a cluster exists already (its folder does): in `dev.data_dir`, else where the default moves to.
    pub fn existing(options: &Options, account: &Account) -> Option<Self> {
        let moved = if options.explicit_data_dir { None } else { moved_default() };
        let homes = [Some(options.data_dir.clone()), moved];
        let found = homes
            .into_iter()
            .flatten()
            .find_map(|home| home.canonicalize().ok().filter(|home| home.join("pg").is_dir()))?;
        let account = account.clone().for_data(&found.join("pg/data"));
        Some(Self::below(&found, account.uid()))
    }

    /// Makes the folders; moves the default elsewhere when it cannot hold them.
    pub fn prepare(options: &Options, account: &Account) -> Result<Self, EmbeddedError> {
        let first = match Self::try_below(&options.data_dir, account)? {
            Tried::Made(layout) => return Ok(layout),
            Tried::Unfit(unfit) => unfit,
        };
        // Data that is there is never left behind for an empty database elsewhere.
        if options.explicit_data_dir || options.data_dir.join("pg/data").exists() {
            return Err(first.into());
        }
        let Some(elsewhere) = moved_default() else { return Err(first.into()) };
        tracing::warn!(
            from = %first.path.display(), reason = first.reason, to = %elsewhere.display(),
            "the development data moves to another folder"
        );
        match Self::try_below(&elsewhere, account)? {
            Tried::Made(layout) => Ok(layout),
            Tried::Unfit(unfit) => Err(unfit.into()),
        }
    }

    fn try_below(home: &Path, account: &Account) -> Result<Tried, EmbeddedError> {
        let home = make_home(home, account)?;
        let account = account.clone().for_data(&home.join("pg/data"));
        if let Some(closed) = account.closed_folder(&home) {
            return Ok(Tried::Unfit(Unfit {
                path: home,
                reason: format!("the account PostgreSQL runs as cannot pass {}", closed.display()),
            }));
        }
        let layout = Self::below(&home, account.uid());
        // The account passes through pg/ to its data; no one else has business there.
        let mode = if account.is_other() { 0o711 } else { 0o700 };
        if !holds_mode(&layout.pg, mode)? {
            // Empty, and in the way of finding the cluster where it moves to.
            let _ = fs::remove_dir(&layout.pg);
            return Ok(Tried::Unfit(Unfit {
                path: home,
                reason: "its file system does not keep file modes".to_owned(),
            }));
        }
        Ok(Tried::Made(layout))
    }

    /// Makes the socket's folder for `account`.
    pub fn make_run(&self, account: &Account) -> Result<(), EmbeddedError> {
        let run = &self.run;
        match DirBuilder::new().mode(0o700).create(run) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(EmbeddedError::io("cannot make the folder", run)(error));
            }
            _ => {}
        }
        // In /tmp anyone may have made it, as a symlink too: whoever owns the folder decides who gets at the database.
        let found = fs::symlink_metadata(run).map_err(EmbeddedError::io("cannot read", run))?;
        let ours = found.uid() == account.uid() || found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !ours || found.mode() & 0o777 != 0o700 {
            let reason = "it is there already with another owner or mode; remove it".to_owned();
            return Err(EmbeddedError::UnfitFolder { path: run.clone(), reason });
        }
        account.own(run)
    }

    /// Removes the data directory. Renamed first: half-removed data must not look like data.
    pub fn remove_data(&self) -> Result<(), EmbeddedError> {
        let doomed = self.data.with_extension("old");
        let remove = || match fs::remove_dir_all(&doomed) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(EmbeddedError::io("cannot remove", &doomed)(error))
            }
            _ => Ok(()),
        };
        remove()?;
        if self.data.exists() {
            fs::rename(&self.data, &doomed).map_err(EmbeddedError::io("cannot rename", &self.data))?;
        }
        remove()
    }
}

/// What became of a place for the folders.
enum Tried {
    /// They are there.
    Made(Directories),
    /// It cannot hold them.
    Unfit(Unfit),
}

/// A place that cannot hold the folders, and why.
struct Unfit {
    path: PathBuf,
    reason: String,
}

impl From<Unfit> for EmbeddedError {
    fn from(Unfit { path, reason }: Unfit) -> Self {
        Self::UnfitFolder { path, reason }
    }
}

/// `run`, or, where the socket's path would be too long, a short folder in /tmp whose name follows from it.
fn socket_folder(run: &Path, uid: u32) -> PathBuf {
    if run.join(SOCKET).as_os_str().len() <= SOCKET_PATH {
        return run.to_owned();
    }
    let hash = digest::digest(&digest::SHA256, run.as_os_str().as_encoded_bytes());
    let hex: String = hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    PathBuf::from(format!("/tmp/vst-{uid}-{hex}"))
}

/// `home`, made with mode 0700 (0711 where another account must pass). A folder that was there keeps its mode, except
/// that the account is let through.
fn make_home(home: &Path, account: &Account) -> Result<PathBuf, EmbeddedError> {
    let is_new = !home.exists();
    fs::create_dir_all(home).map_err(EmbeddedError::io("cannot make the folder", home))?;
    let home = home.canonicalize().map_err(EmbeddedError::io("cannot read", home))?;
    let mode = fs::metadata(&home).map_err(EmbeddedError::io("cannot read", &home))?.mode() & 0o777;
    let wanted = match (is_new, account.is_other()) {
        (true, false) => 0o700,
        (true, true) => 0o711,
        (false, false) => mode,
        (false, true) => mode | 0o011,
    };
    if mode != wanted {
        // Where this is refused or has no effect, the checks that follow say so.
        let _ = fs::set_permissions(&home, fs::Permissions::from_mode(wanted));
    }
    Ok(home)
}

/// Makes `folder` with `mode`; false if the file system does not keep it (Windows drives, some mounts).
fn holds_mode(folder: &Path, mode: u32) -> Result<bool, EmbeddedError> {
    // Recursive, because then a folder that another process makes at this moment is no error.
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(EmbeddedError::io("cannot make the folder", folder))?;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(mode));
    let found = fs::metadata(folder).map_err(EmbeddedError::io("cannot read", folder))?;
    Ok(found.mode() & 0o777 == mode)
}

/// Where the default `dev.data_dir` moves to.
fn moved_default() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/vestibule"));
    }
    let named = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = || Some(PathBuf::from(env::var_os("HOME")?).join(".local/share"));
    Some(named.or_else(of_home)?.join("vestibule"))
}
