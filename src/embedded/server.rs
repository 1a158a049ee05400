//! The server process: its data directory, its settings, and the watchdog that ends it when we end.

use super::directories::Directories;
use super::{Account, EmbeddedError, Programs};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};

/// Runs its arguments as a child and ends that (fast shutdown) when it reads the end of its own stdin: the write end
/// is in our process, so the database ends with us, also after `kill -9`. It has no other state, and nothing to clean.
const WATCHDOG: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & pg=$!
trap 'kill -INT $pg 2>/dev/null' INT TERM HUP
( trap - INT TERM HUP; read -r _ <&3; kill -INT $pg 2>/dev/null ) & w=$!
while :; do wait $pg; rc=$?; kill -0 $pg 2>/dev/null || break; done
kill $w 2>/dev/null; exit $rc"#;

/// How much of the log an error shows, in bytes.
const TAIL: i64 = 2_000;

/// Makes a data directory at `data`, complete or not at all. `data`'s parent must be passable for `account`.
pub fn init_db(programs: &Programs, account: &Account, data: &Path, extra: &[&str]) -> Result<(), EmbeddedError> {
    let unfinished = data.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(EmbeddedError::io("cannot remove", &unfinished))?;
    }
    // The account may not write beside it, so the folder is made here.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&unfinished)
        .map_err(EmbeddedError::io("cannot make the folder", &unfinished))?;
    account.own(&unfinished)?;
    // C locale: the same on every platform and version. Nothing of ours depends on the server's collation.
    let output = account
        .command(programs.bin.join("initdb"))
        .arg("-D")
        .arg(&unfinished)
        .args(["-U", "vestibule", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions"])
        .args(extra)
        .current_dir(&unfinished)
        .stdin(Stdio::null())
        .output()
        .map_err(EmbeddedError::io("cannot run", &programs.bin.join("initdb")))?;
    if !output.status.success() {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(EmbeddedError::InitDb { data: data.to_owned(), output: text.trim().to_owned() });
    }
    fs::rename(&unfinished, data).map_err(EmbeddedError::io("cannot rename to", data))
}

/// The arguments of `postgres` that every private server of ours gets: no TCP at all, one socket in `run`.
pub fn settings(data: &Path, run: &Path) -> Vec<OsString> {
    // The setting is a list: quoted, with quotes doubled, a path may contain what it likes.
    let mut folder = b"unix_socket_directories=\"".to_vec();
    for byte in run.as_os_str().as_bytes() {
        folder.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
    }
    folder.push(b'"');
    let fixed = ["listen_addresses=", "unix_socket_permissions=0700", "port=5432", "logging_collector=off"];
    let mut arguments = vec!["-D".into(), data.as_os_str().to_owned(), "-c".into(), OsString::from_vec(folder)];
    arguments.extend(fixed.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    arguments
}

/// A running server of ours, under its watchdog. Dropping it begins a fast shutdown and does not wait for its end.
#[derive(Debug)]
pub(super) struct Server {
    watchdog: Child,
    log_start: u64,
}

impl Server {
    /// Starts the server; it does not accept connections yet.
    pub(super) fn spawn(programs: &Programs, account: &Account, layout: &Directories) -> Result<Self, EmbeddedError> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&layout.log)
            .map_err(EmbeddedError::io("cannot open", &layout.log))?;
        let log_start = log.metadata().map(|found| found.len()).unwrap_or_default();
        let stdout = log.try_clone().map_err(EmbeddedError::io("cannot open", &layout.log))?;
        let watchdog = account
            .command("/bin/sh")
            .args(["-c", WATCHDOG, "vestibule-postgres"])
            .arg(programs.bin.join("postgres"))
            .args(settings(&layout.data, &layout.run))
            .args(["-c", "max_connections=100"])
            .current_dir(&layout.data)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(log)
            // Own group: Ctrl-C reaches us only, and requests drain with the database still there.
            .process_group(0)
            .spawn()
            .map_err(EmbeddedError::io("cannot run", Path::new("/bin/sh")))?;
        Ok(Self { watchdog, log_start })
    }

    /// `Some` once the server has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.watchdog.try_wait().ok().flatten()
    }

    /// Fast shutdown; returns when the server has ended. Blocking.
    pub(super) fn stop(mut self) {
        // `wait` closes stdin first, which is the watchdog's signal.
        let _ = self.watchdog.wait();
    }

    /// Why it did not start, with what it logged since it was spawned.
    pub(super) fn failure(&self, layout: &Directories, reason: String) -> EmbeddedError {
        let tail = tail(&layout.log, self.log_start).unwrap_or_default();
        EmbeddedError::StartFailed { reason, log: layout.log.clone(), tail }
    }
}

fn tail(log: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let (end, from) = (file.metadata()?.len().cast_signed(), from.cast_signed());
    file.seek(SeekFrom::Start(from.max(end - TAIL).cast_unsigned()))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
