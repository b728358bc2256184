//! Lock files: package, version, URL, size and sha256 of every file that is ever executed or
//! measured. kernels/lock.toml and images/lock.toml, resolved from the declarations beside them.
//!
//! Resolving trusts nothing but the keys in kernels/keys: a suite's signed Release file vouches for
//! its index, the index for every package. Fetching trusts nothing but the lock.

mod archive;
mod control;
mod declare;
mod dependencies;
mod provide;
mod release;
mod resolve;
mod version;

pub use crate::vocabulary::LockedFile;
pub use declare::{Declarations, DeclaredKernel, Suite, Tools};
pub use provide::{Change, Older, Provided, WhenGone, provide, update};

use crate::{
    error::{Error, Result},
    files,
    suggest::closest,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the lock files' format.
pub const VERSION: u32 = 1;

/// A lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this format.
    pub version: u32,
    /// One per declaration, sorted by name.
    #[serde(rename = "entry", default)]
    pub entries: Vec<LockEntry>,
}

/// What one declaration was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// Name of the kernel or tool set: `6.12`, `vmm`, `guest-tools`, `agent-sysroot`.
    pub name: String,
    /// The kernel's release (uname -r), for kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Its files, sorted by package.
    #[serde(rename = "file")]
    pub files: Vec<LockedFile>,
}

impl Default for Lock {
    fn default() -> Lock {
        Lock {
            version: VERSION,
            entries: Vec::new(),
        }
    }
}

impl LockEntry {
    /// What it is: the kernel's package and version, or the first package of a tool set.
    #[must_use]
    pub fn describe(&self) -> String {
        let main = self
            .files
            .iter()
            .find(|f| f.package.starts_with("linux-") || f.package.starts_with("qemu-system-x86"))
            .or(self.files.first());
        match (main, &self.release) {
            (Some(file), Some(_)) => format!("Debian {} {}", file.package, file.version),
            (Some(file), None) => format!("{} {}", file.package, file.version),
            (None, _) => "nothing".to_owned(),
        }
    }

    /// Bytes to download for it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |all, f| all.saturating_add(f.size))
    }
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// When it cannot be read or is not a lock of this version.
    pub fn load(path: &Path) -> Result<Lock> {
        let text = files::read_text(path, files::LIST).map_err(|e| {
            Error::input(format!("reading the lock {}", path.display()))
                .because(e)
                .hint("create it with `diorama lock`, or run in a clone of the repository")
        })?;
        let lock: Lock = toml::from_str(&text).map_err(|e| {
            Error::input(format!("{} is not a lock file", path.display()))
                .because(e)
                .hint("restore it from the repository, or regenerate it with `diorama lock`")
        })?;
        if lock.version != VERSION {
            return Err(Error::input(format!(
                "{} has format {}, but this diorama knows format {VERSION}",
                path.display(),
                lock.version
            ))
            .hint("use diorama from the same revision of the repository"));
        }
        Ok(lock)
    }

    /// The entry of a name.
    ///
    /// # Errors
    /// When there is none; names that are close are suggested.
    pub fn entry(&self, name: &str) -> Result<&LockEntry> {
        self.entries.iter().find(|e| e.name == name).ok_or_else(|| {
            unknown(
                "lock entry",
                name,
                self.entries.iter().map(|e| e.name.as_str()),
            )
        })
    }

    /// Writes a lock file: complete and flushed, or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self)
            .map_err(|e| Error::internal("writing a lock as TOML").because(e))?;
        let head = "# Made by `diorama lock` from the declarations beside it. Do not edit.\n\n";
        files::write_atomically(path, format!("{head}{text}").as_bytes())
    }
}

/// An unknown name, with the closest known one or the list of all.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<_> = known.collect();
    let close = closest(name, known.iter().copied());
    let error = Error::input(format!("there is no {what} `{name}`"));
    match close {
        Some(close) => error.hint(format!("did you mean `{close}`?")),
        None => error.hint(format!("known: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use std::fs;

    fn lock() -> Lock {
        let entry = |name: &str, release: Option<&str>| LockEntry {
            name: name.into(),
            release: release.map(str::to_owned),
            files: vec![LockedFile {
                package: "linux-image-6.12".into(),
                version: "6.12.117-1".into(),
                archive: "debian".into(),
                path: "pool/l.deb".into(),
                size: 7,
                sha256: Sha256::of(b""),
            }],
        };
        Lock {
            version: VERSION,
            entries: vec![
                entry("6.12", Some("6.12-cloud")),
                entry("guest-tools", None),
            ],
        }
    }

    #[test]
    fn a_lock_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock.toml");
        lock().save(&path).unwrap();
        assert_eq!(Lock::load(&path).unwrap(), lock());
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
        # Made by `diorama lock` from the declarations beside it. Do not edit.

        version = 1

        [[entry]]
        name = "6.12"
        release = "6.12-cloud"

        [[entry.file]]
        package = "linux-image-6.12"
        version = "6.12.117-1"
        archive = "debian"
        path = "pool/l.deb"
        size = 7
        sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

        [[entry]]
        name = "guest-tools"

        [[entry.file]]
        package = "linux-image-6.12"
        version = "6.12.117-1"
        archive = "debian"
        path = "pool/l.deb"
        size = 7
        sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        "#);
    }

    #[test]
    fn an_unknown_name_is_answered_with_a_close_one_or_with_all() {
        insta::assert_snapshot!(lock().entry("guest-tool").unwrap_err().render(), @r"
        error: there is no lock entry `guest-tool`
          help: did you mean `guest-tools`?
        ");
        insta::assert_snapshot!(lock().entry("ubuntu").unwrap_err().render(), @r"
        error: there is no lock entry `ubuntu`
          help: known: 6.12, guest-tools
        ");
    }

    #[test]
    fn a_lock_that_is_none_or_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock.toml");
        let plain = |e: Error| e.render().replace(&dir.path().display().to_string(), "DIR");
        insta::assert_snapshot!(plain(Lock::load(&path).unwrap_err()), @r"
        error: reading the lock DIR/lock.toml
          caused by: No such file or directory (os error 2)
          help: create it with `diorama lock`, or run in a clone of the repository
        ");
        fs::write(&path, "version = 1\nentries = []\n").unwrap();
        insta::assert_snapshot!(plain(Lock::load(&path).unwrap_err()), @r"
        error: DIR/lock.toml is not a lock file
          caused by: TOML parse error at line 2, column 1
          |
        2 | entries = []
          | ^^^^^^^
        unknown field `entries`, expected `version` or `entry`

          help: restore it from the repository, or regenerate it with `diorama lock`
        ");
        fs::write(&path, "version = 9\n").unwrap();
        insta::assert_snapshot!(plain(Lock::load(&path).unwrap_err()), @r"
        error: DIR/lock.toml has format 9, but this diorama knows format 1
          help: use diorama from the same revision of the repository
        ");
    }
}
