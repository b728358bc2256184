//! What the store holds, and getting rid of it: only what has a name of the store's own form, and what
//! nobody uses.

use super::{
    Store,
    derived::KINDS,
    flock::Flock,
    lease::LeaseClaim,
    manifest::MANIFEST,
    marker::{BUILDING, REMOVING, is_digest, key_of},
    removal::remove_tree,
};
use crate::error::{Error, Result};
use std::{
    fs::{self, FileType},
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// One kind of things in the store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// `files`, `partial`, `quarantine`, [`LEFTOVER`], or the kind of a derived directory.
    pub kind: String,
    /// Number of entries.
    pub entries: u64,
    /// Bytes they occupy on the disk (sparse files count what they hold).
    pub bytes: u64,
}

/// Kind of what processes left that died while they built, saved or removed something.
pub const LEFTOVER: &str = "leftover";

/// Kinds that are files, named by their digest.
const FLAT: [&str; 3] = ["files", "partial", "quarantine"];

struct Stored {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl Store {
    /// What the store holds, by kind; of derived kinds those that are there.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn usage(&self) -> Result<Vec<Usage>> {
        let there = |kind: &&str| self.root().join("derived").join(kind).is_dir();
        let mut derived: Vec<&str> = KINDS.into_iter().filter(there).collect();
        derived.sort_unstable();
        let mut usage = Vec::new();
        for kind in FLAT.into_iter().chain([LEFTOVER]).chain(derived) {
            let entries = self.entries(kind)?;
            usage.push(Usage {
                kind: kind.to_owned(),
                entries: entries.len() as u64,
                bytes: entries.iter().map(|e| e.bytes).sum(),
            });
        }
        Ok(usage)
    }

    /// Removes entries of a kind, least recently used first, until at most `max_bytes` remain, and
    /// returns the bytes freed. An entry that is in use, by this process or another, stays.
    ///
    /// # Errors
    /// When an entry cannot be read or removed.
    pub fn shrink(&self, kind: &str, max_bytes: u64) -> Result<u64> {
        let mut entries = self.entries(kind)?;
        entries.sort_by_key(|e| e.used);
        let mut total: u64 = entries.iter().map(|e| e.bytes).sum();
        let mut freed = 0;
        for entry in entries {
            // With no bytes allowed everything goes, what occupies none too.
            if total <= max_bytes && max_bytes > 0 {
                break;
            }
            if self.remove_unused(kind, &entry.path)? {
                total -= entry.bytes;
                freed += entry.bytes;
            }
        }
        Ok(freed)
    }

    /// Removes everything that nobody uses, and returns the bytes freed.
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

    /// Whether it was removed.
    fn remove_unused(&self, kind: &str, path: &Path) -> Result<bool> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(key) = key_of(&name) else {
            self.remove_staging(path)?;
            return Ok(!path.exists());
        };
        let flat = FLAT.contains(&kind);
        // A leftover shares the lock of the entry that it was to become.
        let lock = if flat {
            self.lock_path(key)
        } else {
            let kind = path.parent().and_then(Path::file_name).unwrap_or_default();
            self.derived_lock(&kind.to_string_lossy(), key)
        };
        let Some(_lock) = Flock::try_exclusive(&lock)? else {
            return Ok(false);
        };
        let leased = if flat {
            path.to_owned()
        } else {
            path.join(MANIFEST)
        };
        if name.starts_with('.') {
            remove_tree(path)?;
            return Ok(true);
        }
        // What cannot even be asked for leases (a link, a missing manifest) has none.
        if let Ok(None) = LeaseClaim::attempt(&leased) {
            return Ok(false);
        }
        if flat {
            remove_tree(path)?;
        } else {
            self.remove_entry(path)?;
        }
        Ok(true)
    }

    fn entries(&self, kind: &str) -> Result<Vec<Stored>> {
        let mut paths = Vec::new();
        if FLAT.contains(&kind) {
            let file = |name: &str, kind: FileType| kind.is_file() && is_digest(name);
            list(&self.root().join(kind), file, &mut paths)?;
        } else if kind == LEFTOVER {
            paths = self.abandoned_staging()?;
            let left = |name: &str, _: FileType| {
                [BUILDING, REMOVING].iter().any(|p| name.starts_with(p)) && key_of(name).is_some()
            };
            for kind in KINDS {
                list(&self.root().join("derived").join(kind), left, &mut paths)?;
            }
        } else if KINDS.contains(&kind) {
            let entry = |name: &str, kind: FileType| kind.is_dir() && is_digest(name);
            list(&self.root().join("derived").join(kind), entry, &mut paths)?;
        }
        let mut entries = Vec::new();
        for path in paths {
            match fs::symlink_metadata(&path) {
                Ok(meta) => entries.push(Stored {
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

/// Paths in a directory whose name and type are as wanted; none when it does not exist (any more), or
/// is a link.
fn list(
    dir: &Path,
    wanted: impl Fn(&str, FileType) -> bool,
    found: &mut Vec<PathBuf>,
) -> Result<()> {
    let failed = |e| Error::io("reading", dir, e);
    if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if wanted(&entry.file_name().to_string_lossy(), kind) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Bytes that a file or directory occupies; what vanishes meanwhile counts nothing.
fn size(path: &Path) -> Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let mut inner = Vec::new();
            list(path, |_, _| true, &mut inner)?;
            inner.iter().map(|p| size(p)).sum()
        }
        // st_blocks counts units of 512 bytes whatever the file system's block is (stat(3type)).
        Ok(meta) => Ok(meta.blocks() * 512),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io("reading", path, e)),
    }
}

#[cfg(test)]
mod tests;
