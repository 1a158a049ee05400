//! The account that PostgreSQL runs as. It refuses root; there it gets `postgres`, else `nobody`.

use super::EmbeddedError;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who runs the database's processes and owns its files.
#[derive(Clone, Debug)]
pub struct Account {
    uid: u32,
    gid: u32,
    is_other: bool,
}

impl Account {
    /// The account for a new data directory: ourselves, or, as root, `postgres` or `nobody` from `/etc/passwd`.
    pub fn current() -> Result<Self, EmbeddedError> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Ok(Self { uid: uid.as_raw(), gid: rustix::process::getegid().as_raw(), is_other: false });
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let (uid, gid) = entry(&passwd, "postgres")
            .or_else(|| entry(&passwd, "nobody"))
            .filter(|(uid, _)| *uid != 0)
            .ok_or(EmbeddedError::NoAccount)?;
        Ok(Self { uid, gid, is_other: true })
    }

    /// The account for an existing data directory: as root its owner, because PostgreSQL insists on that.
    pub fn for_data(self, data: &Path) -> Self {
        match fs::metadata(data) {
            Ok(found) if self.is_other && found.uid() != 0 => {
                Self { uid: found.uid(), gid: found.gid(), is_other: true }
            }
            _ => self,
        }
    }

    /// True if it is not the account of this process (we are root).
    pub fn is_other(&self) -> bool {
        self.is_other
    }

    /// Its numeric user id.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// `program` under this account, without supplementary groups when that is another one (std drops them).
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if self.is_other {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives `path` to this account.
    pub fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        if !self.is_other {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(EmbeddedError::io("cannot change the owner of", path))
    }

    /// The first folder on the way to and including `folder` (absolute, no symlinks) that this account cannot pass.
    pub fn closed_folder(&self, folder: &Path) -> Option<PathBuf> {
        if !self.is_other {
            return None;
        }
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        way.into_iter().find(|folder| !self.can_pass(folder)).map(Path::to_owned)
    }

    fn can_pass(&self, folder: &Path) -> bool {
        let Ok(found) = fs::metadata(folder) else { return false };
        let bit = match (found.uid() == self.uid, found.gid() == self.gid) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        found.mode() & bit != 0
    }
}

/// Uid and gid of `name` in the text of `/etc/passwd`.
fn entry(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_password_file() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres-old:x:7:7::/:/bin/sh\npostgres:x:101:104:,,,:/var:/bin/bash\nbad:x\n";
        assert_eq!(entry(passwd, "postgres"), Some((101, 104)));
        assert_eq!(entry(passwd, "nobody"), None);
        assert_eq!(entry(passwd, "bad"), None);
    }

    #[test]
    fn finds_the_folder_that_is_closed() {
        use std::os::unix::fs::PermissionsExt;
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().canonicalize().unwrap().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let account = Account { uid: 4_000_000, gid: 4_000_000, is_other: true };
        let open = |mode| fs::set_permissions(top.path(), fs::Permissions::from_mode(mode)).unwrap();
        open(0o700);
        assert_eq!(account.closed_folder(&inner), Some(top.path().canonicalize().unwrap()));
        open(0o711);
        assert_eq!(account.closed_folder(&inner), None);
        assert_eq!(Account { is_other: false, ..account }.closed_folder(&inner), None);
    }
}
