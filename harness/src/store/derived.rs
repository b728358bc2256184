//! Directories derived from hashed inputs: built beside their place, described by a manifest, flushed,
//! renamed; checked before they are used, and made anew in doubt.

use super::{
    Store,
    flock::Flock,
    lease::Lease,
    manifest::{Doubt, MANIFEST, Manifest},
    marker::{BUILDING, REMOVING, real_directory},
    removal::remove_tree,
    sync, touch,
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use std::{
    fs::{self, File},
    io::ErrorKind,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Kinds of derived directories.
pub const KINDS: [&str; 12] = [
    "tree",
    "contents",
    "fio",
    "kernel",
    "initramfs",
    // Earlier versions kept these.
    "initramfs-with-job",
    "checkpoint",
    "symbols",
    "cell",
    "carried",
    "compiler",
    "image",
];

/// So many files and directories are flushed one by one.
const FEW: usize = 16;

/// A derived directory that was checked. While this is held, nobody clears it away.
#[derive(Clone, Debug)]
pub struct Derived {
    path: PathBuf,
    lease: Arc<Lease>,
    manifest: Arc<Manifest>,
}

impl Deref for Derived {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Derived {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

enum Found {
    Absent,
    Sound(Derived),
    Doubtful(Doubt),
}

impl Store {
    /// The directory of this kind and key: as it is there, or built now. `build` fills a new, empty
    /// directory; what it leaves there becomes visible all at once, and not at all if it fails or
    /// is killed. One that is there is checked against its manifest first, once per process; in
    /// doubt it is built anew, and [`Store::take_notes`] says so. It stays in use until
    /// [`Store::release`].
    ///
    /// # Errors
    /// Those of `build`, and of the disk.
    pub fn derive(
        &self,
        kind: &str,
        key: &Sha256,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let entry = self.derive_held(kind, key, build)?;
        self.hold(&entry);
        Ok(entry.path)
    }

    /// [`Store::derive`], in use only as long as what is returned is held.
    ///
    /// # Errors
    /// Those of `build`, and of the disk.
    pub fn derive_held(
        &self,
        kind: &str,
        key: &Sha256,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Derived> {
        if let Found::Sound(entry) = self.look(kind, key)? {
            return Ok(entry);
        }
        let _lock = self.locked(kind, key)?;
        let doubt = match self.look(kind, key)? {
            Found::Sound(entry) => return Ok(entry),
            Found::Absent => None,
            Found::Doubtful(doubt) => Some(doubt),
        };
        let Some(doubt) = doubt else {
            return self.make(kind, key, build);
        };
        let doubt = format!("the cached {kind} {} is in doubt: {doubt}", key.short());
        match self.make(kind, key, build) {
            Ok(entry) => {
                self.note(format!("{doubt}; it was removed and rebuilt"));
                Ok(entry)
            }
            Err(error) => {
                self.remove_entry(&self.entry_path(kind, key))?;
                Err(error.while_(format!("{doubt}; it was removed; rebuilding it")))
            }
        }
    }

    /// Builds the directory, in place of what is there.
    ///
    /// # Errors
    /// Those of `build`, and of the disk.
    pub fn replace(
        &self,
        kind: &str,
        key: &Sha256,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Derived> {
        self.kind_dir(kind)?;
        let _lock = self.locked(kind, key)?;
        self.make(kind, key, build)
    }

    /// The directory if it is there, checked; marks it as used.
    ///
    /// # Errors
    /// When it is not what its manifest says: then it must be made anew. Says why.
    pub fn find(&self, kind: &str, key: &Sha256) -> Result<Option<Derived>> {
        let mut found = self.look(kind, key)?;
        if let Found::Doubtful(_) = found {
            // Another harness may just have been replacing it.
            let _lock = self.locked(kind, key)?;
            found = self.look(kind, key)?;
        }
        match found {
            Found::Absent => Ok(None),
            Found::Sound(entry) => Ok(Some(entry)),
            Found::Doubtful(doubt) => Err(Error::fetch(format!(
                "the cached {kind} {} is in doubt: {doubt}",
                key.short()
            ))),
        }
    }

    /// The directory if it is there and sound; in use until [`Store::release`].
    #[must_use]
    pub fn derived(&self, kind: &str, key: &Sha256) -> Option<PathBuf> {
        let entry = self.find(kind, key).ok().flatten()?;
        self.hold(&entry);
        Some(entry.path)
    }

    /// Compares a file of a directory in use with its manifest once more: what the disk did to it since
    /// must not become a figure. An altered one goes, with its directory.
    ///
    /// # Errors
    /// When it was altered, or cannot be read.
    pub fn check_again(&self, path: &Path) -> Result<()> {
        let entry = self.in_use(path)?;
        let inner = path.strip_prefix(&entry.path).ok().and_then(Path::to_str);
        let inner = inner.ok_or_else(|| not_derived(path))?;
        let Err(doubt) = entry.manifest.check_file(&entry.path, inner) else {
            return Ok(());
        };
        let error = Error::fetch(format!("{}: {doubt}", entry.path.display()));
        self.held().remove(&entry.path);
        Err(match self.remove_entry(&entry.path) {
            Ok(()) => error.hint("it was removed: run the same command again to rebuild it"),
            Err(_) => error.hint("remove the directory and run the same command again"),
        })
    }

    /// The manifest of a directory in use.
    ///
    /// # Errors
    /// When it is not in use.
    pub(super) fn manifest_of(&self, dir: &Path) -> Result<Arc<Manifest>> {
        self.in_use(dir).map(|entry| entry.manifest)
    }

    /// The directory in use that this is, or is below.
    fn in_use(&self, path: &Path) -> Result<Derived> {
        let held = self.held();
        let entry = held.values().find(|entry| path.starts_with(&entry.path));
        entry.cloned().ok_or_else(|| not_derived(path))
    }

    /// Removes a derived directory, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, kind: &str, key: &Sha256) -> Result<()> {
        let path = self.kind_dir(kind)?.join(key.to_string());
        let _lock = self.locked(kind, key)?;
        self.held().remove(&path);
        self.remove_entry(&path)
    }

    /// Whether another process is at work on this entry: whoever wants it now would have to wait.
    #[must_use]
    pub fn is_busy(&self, kind: &str, key: &Sha256) -> bool {
        matches!(
            Flock::try_exclusive(&self.derived_lock(kind, key)),
            Ok(None)
        )
    }

    /// The entry's lock; waiting for it is said.
    fn locked(&self, kind: &str, key: &Sha256) -> Result<Flock> {
        Flock::exclusive(&self.derived_lock(kind, key), |holder| {
            self.say(&format!(
                "waiting for {holder}, which is working on {kind} {} in the cache",
                key.short()
            ));
        })
    }

    /// Says that nothing this process derived is in use any more.
    pub fn release(&self) {
        self.held().clear();
    }

    /// What was in doubt and made anew since this was last asked.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes())
    }

    /// Keeps a directory in use until [`Store::release`].
    pub fn hold(&self, entry: &Derived) {
        self.held().insert(entry.path.clone(), entry.clone());
    }

    pub(super) fn entry_path(&self, kind: &str, key: &Sha256) -> PathBuf {
        self.root().join("derived").join(kind).join(key.to_string())
    }

    /// Where entries of a kind are; made if need be.
    pub(super) fn kind_dir(&self, kind: &str) -> Result<PathBuf> {
        if !KINDS.contains(&kind) {
            return Err(Error::internal(format!("the store has no kind `{kind}`")));
        }
        let dir = self.root().join("derived").join(kind);
        real_directory(&dir)?;
        Ok(dir)
    }

    pub(super) fn derived_lock(&self, kind: &str, key: impl std::fmt::Display) -> PathBuf {
        self.lock_path(&format!("{kind}-{key}"))
    }

    /// What is there, checked; once per process as long as it is in use.
    fn look(&self, kind: &str, key: &Sha256) -> Result<Found> {
        let path = self.kind_dir(kind)?.join(key.to_string());
        let manifest = path.join(MANIFEST);
        if let Some(entry) = self.held().get(&path)
            && entry.lease.is_on(&manifest)
        {
            touch(&path);
            return Ok(Found::Sound(entry.clone()));
        }
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(Found::Doubtful("it is not a directory".to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Absent),
            Err(e) => return Err(Error::io("reading", &path, e)),
        }
        let lease = match Lease::take(&manifest) {
            Ok(lease) => lease,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                // Cleared away just now, or never described.
                return Ok(if path.is_dir() {
                    Found::Doubtful("it has no manifest (earlier versions wrote none)".to_owned())
                } else {
                    Found::Absent
                });
            }
            Err(e) => {
                return Ok(Found::Doubtful(format!(
                    "its manifest cannot be read ({e})"
                )));
            }
        };
        let checked = Manifest::read(lease.file()).and_then(|manifest| {
            manifest.check(&path, kind, key)?;
            Ok(manifest)
        });
        Ok(match checked {
            Ok(manifest) => {
                touch(&path);
                Found::Sound(Derived {
                    path,
                    lease: Arc::new(lease),
                    manifest: Arc::new(manifest),
                })
            }
            Err(doubt) => Found::Doubtful(doubt),
        })
    }

    /// Builds an entry and puts it into its place. The caller holds the entry's lock. What was there
    /// stays until the new one is whole: another harness may be using it.
    fn make(
        &self,
        kind: &str,
        key: &Sha256,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Derived> {
        let parent = self.kind_dir(kind)?;
        let building = parent.join(format!("{BUILDING}{key}"));
        // Left by a process that died: the lock is ours, so nobody works in it.
        remove_tree(&building)?;
        fs::create_dir(&building).map_err(|e| Error::io("creating", &building, e))?;
        let built = build(&building)
            .and_then(|()| Manifest::write(&building, kind, key))
            .and_then(|manifest| {
                flush(&building, &manifest)?;
                let path = building.join(MANIFEST);
                let lease = Lease::take(&path).map_err(|e| Error::io("locking", &path, e))?;
                Ok((manifest, lease))
            });
        let (manifest, lease) = match built {
            Ok(built) => built,
            Err(error) => {
                // The first error is the one to report; what cannot be removed now is removed next time.
                let _ = remove_tree(&building);
                return Err(error);
            }
        };
        let path = parent.join(key.to_string());
        let doomed = set_aside(&path)?;
        fs::rename(&building, &path).map_err(|e| Error::io("renaming", &building, e))?;
        sync(&parent)?;
        remove_tree(&doomed)?;
        Ok(Derived {
            path,
            lease: Arc::new(lease),
            manifest: Arc::new(manifest),
        })
    }

    /// Takes the final name away first, so that no half-removed directory ever has it.
    pub(super) fn remove_entry(&self, path: &Path) -> Result<()> {
        remove_tree(&set_aside(path)?)
    }
}

fn not_derived(path: &Path) -> Error {
    Error::internal(format!("{} was not derived for this run", path.display()))
}

/// Gives an entry, if it is there, a name that says it is about to be removed.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    let doomed = path.with_file_name(format!("{REMOVING}{}", name.display()));
    remove_tree(&doomed)?;
    match fs::rename(path, &doomed) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("removing", path, e)),
        _ => Ok(doomed),
    }
}

/// Flushes everything below a directory. Few files (a measured cell's, a checkpoint's) are flushed by
/// themselves: syncfs(2) would wait for all that anybody is writing on that file system. Some thousand
/// would take longer so.
fn flush(dir: &Path, manifest: &Manifest) -> Result<()> {
    let failed = |e| Error::io("flushing", dir, e);
    let Some(few) = manifest.at_most(FEW) else {
        let handle = File::open(dir).map_err(failed)?;
        return rustix::fs::syncfs(&handle).map_err(|e| failed(e.into()));
    };
    for path in few {
        sync(&dir.join(path))?;
    }
    sync(&dir.join(MANIFEST))?;
    sync(dir)
}

#[cfg(test)]
mod tests;
