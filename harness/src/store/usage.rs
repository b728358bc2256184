//! What the store holds, and getting rid of it.

use super::{Store, flock::Flock};
use crate::error::{Error, Result};
use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// One kind of things in the store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// `files`, `partial`, `quarantine`, or the kind of a derived directory.
    pub kind: String,
    /// How many.
    pub entries: u64,
    /// Bytes they occupy on the disk (sparse files count what they hold).
    pub bytes: u64,
}

struct Entry {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl Store {
    /// What the store holds, by kind.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn usage(&self) -> Result<Vec<Usage>> {
        let mut kinds = vec!["files".to_owned(), "partial".into(), "quarantine".into()];
        let mut derived: Vec<_> = list(&self.root.join("derived"))?
            .into_iter()
            .filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()))
            .collect();
        derived.sort();
        kinds.extend(derived);
        let mut usage = Vec::new();
        for kind in kinds {
            let entries = self.entries(&kind)?;
            usage.push(Usage {
                kind,
                entries: entries.len() as u64,
                bytes: entries.iter().map(|e| e.bytes).sum(),
            });
        }
        Ok(usage)
    }

    /// Removes entries of a kind, least recently used first, until at most `max_bytes` remain, and
    /// returns the bytes freed. An entry that another process works on stays.
    ///
    /// # Errors
    /// When an entry cannot be read or removed.
    pub fn shrink(&self, kind: &str, max_bytes: u64) -> Result<u64> {
        let mut entries = self.entries(kind)?;
        entries.sort_by_key(|e| e.used);
        let mut total: u64 = entries.iter().map(|e| e.bytes).sum();
        let mut freed = 0;
        for entry in entries {
            if total <= max_bytes {
                break;
            }
            let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
            // A leftover shares the lock of the entry that it was to become.
            let key = [".building-", ".removing-"]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))
                .unwrap_or(&name);
            let lock = if is_flat(kind) {
                self.lock_path(key)
            } else {
                self.derived_lock(kind, key)
            };
            let Some(_lock) = Flock::try_exclusive(&lock)? else {
                continue;
            };
            if name.starts_with('.') || is_flat(kind) {
                remove_tree(&entry.path)?;
            } else {
                self.remove_entry(&entry.path)?;
            }
            total -= entry.bytes;
            freed += entry.bytes;
        }
        Ok(freed)
    }

    /// Removes everything that no other process works on, and returns the bytes freed.
    ///
    /// # Errors
    /// When something cannot be read or removed.
    pub fn clear(&self) -> Result<u64> {
        let mut freed = 0;
        for usage in self.usage()? {
            freed += self.shrink(&usage.kind, 0)?;
        }
        Ok(freed)
    }

    fn entries(&self, kind: &str) -> Result<Vec<Entry>> {
        let dir = if is_flat(kind) {
            self.root.join(kind)
        } else {
            self.kind_dir(kind)
        };
        let mut entries = Vec::new();
        for path in list(&dir)? {
            match fs::symlink_metadata(&path) {
                Ok(meta) => entries.push(Entry {
                    used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    bytes: size(&path)?,
                    path,
                }),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("reading", &path, e)),
            }
        }
        Ok(entries)
    }
}

fn is_flat(kind: &str) -> bool {
    matches!(kind, "files" | "partial" | "quarantine")
}

/// Paths in a directory; none when it does not exist (any more).
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("reading", dir, e)),
    };
    entries
        .map(|entry| {
            entry
                .map(|e| e.path())
                .map_err(|e| Error::io("reading", dir, e))
        })
        .collect()
}

/// Bytes that a file or directory occupies; what vanishes meanwhile counts nothing.
fn size(path: &Path) -> Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => list(path)?.iter().map(|p| size(p)).sum(),
        // st_blocks counts units of 512 bytes whatever the file system's block is (stat(3type)).
        Ok(meta) => Ok(meta.blocks() * 512),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io("reading", path, e)),
    }
}

/// Removes a file or a directory, read-only directories too; nothing there is no error.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    let fail = |e| Error::io("removing", path, e);
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            if meta.permissions().mode() & 0o700 != 0o700 {
                fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(fail)?;
            }
            for entry in list(path)? {
                remove_tree(&entry)?;
            }
            fs::remove_dir(path)
        }
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    }
    .or_else(|e| {
        if e.kind() == ErrorKind::NotFound {
            Ok(())
        } else {
            Err(fail(e))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn the_least_recently_used_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("cache")).unwrap();
        let keys = [b"a", b"b", b"c"].map(|k| Sha256::of(k));
        for (age, key) in (1..).zip(&keys) {
            let path = store
                .derive("cell", key, |d| {
                    fs::write(d.join("x"), vec![1; 8192]).map_err(|e| Error::io("writing", d, e))
                })
                .unwrap();
            let old = SystemTime::now() - std::time::Duration::from_secs(1000 - age);
            fs::File::open(path).unwrap().set_modified(old).unwrap();
        }
        assert!(
            store.derived("cell", &keys[0]).is_some(),
            "used: now the youngest"
        );
        assert_eq!(store.shrink("cell", 2 * 8192).unwrap(), 8192);
        let left = keys.map(|k| store.derived("cell", &k).is_some());
        assert_eq!(left, [true, false, true]);
        let cells = store.usage().unwrap().pop().unwrap();
        assert_eq!(
            (cells.kind.as_str(), cells.entries, cells.bytes),
            ("cell", 2, 2 * 8192)
        );
        assert_eq!(store.clear().unwrap(), 2 * 8192);
    }

    #[test]
    fn read_only_trees_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("t");
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/f"), "x").unwrap();
        fs::set_permissions(tree.join("sub"), Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(&tree, Permissions::from_mode(0o555)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
