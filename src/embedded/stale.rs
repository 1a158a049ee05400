//! The rule for a `postmaster.pid` that a dead server left behind.
//!
//! PostgreSQL removes the file itself when the process in it is gone. It does not when that process is a zombie that
//! nobody reaps (containers without an init) or when its number was given to another process.

use super::{Account, EmbeddedError, directories::Directories};
use std::fs;
use std::path::Path;

/// What stands in the way of a start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StaleState {
    /// Nothing, or nothing PostgreSQL would not clear itself.
    None,
    /// A server, this process, has the data directory open: it runs, or is still ending.
    Server(i32),
}

/// Looks at `postmaster.pid`; removes it, with the socket and its lock, if the process in it is alive or a zombie and
/// no process has the data directory as its working directory (every PostgreSQL process has). Linux only.
pub(super) fn clear(layout: &Directories, account: &Account) -> Result<StaleState, EmbeddedError> {
    let file = layout.data.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.trim().parse::<i32>().ok())
    else {
        return Ok(StaleState::None);
    };
    if !cfg!(target_os = "linux") || !exists(pid) {
        return Ok(StaleState::None);
    }
    if someone_is_in(&layout.data, account.uid()) {
        return Ok(StaleState::Server(pid));
    }
    let socket = layout.socket();
    for path in [file, socket.with_file_name(".s.PGSQL.5432.lock"), socket] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EmbeddedError::io("cannot remove the stale", &path)(error));
            }
            _ => {}
        }
    }
    Ok(StaleState::None)
}

/// True if the process is there, as a zombie too, or belongs to someone else.
fn exists(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return false };
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// True if a living process has `data` as its working directory. Where we may not look (root without ptrace rights in
/// a container), a process of the database account named `postgres` counts as one: better to refuse than to start a
/// second server on the same files.
fn someone_is_in(data: &Path, uid: u32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .any(|process| match fs::read_link(process.path().join("cwd")) {
            Ok(folder) => folder == data,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
                could_be_postgres(&status, uid)
            }
            Err(_) => false,
        })
}

/// Reads `/proc/<pid>/status`: a living `postgres` of this account.
fn could_be_postgres(status: &str, uid: u32) -> bool {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned()
    };
    field("Name") == "postgres" && field("State") != "Z" && field("Uid") == uid.to_string()
}

#[cfg(test)]
mod tests {
    use super::could_be_postgres;

    #[test]
    fn a_process_we_may_not_look_into_is_judged_by_name_state_and_owner() {
        let status =
            |name, state, uid| format!("Name:\t{name}\nUmask:\t0077\nState:\t{state}\nPid:\t9\nUid:\t{uid}\t1\t1\t1\n");
        assert!(could_be_postgres(&status("postgres", "S (sleeping)", 101), 101));
        assert!(!could_be_postgres(&status("postgres", "Z (zombie)", 101), 101));
        assert!(!could_be_postgres(&status("postgres", "S (sleeping)", 102), 101));
        assert!(!could_be_postgres(&status("ssh-agent", "S (sleeping)", 101), 101));
    }
}
