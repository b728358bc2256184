//! Directories derived from hashed inputs: built beside their place, flushed, renamed.

use super::{Store, flock::Flock, sync_dir, touch, usage::remove_tree};
use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

impl Store {
    /// The directory of this kind and key: as it is there, or built now. `build` fills a new, empty
    /// directory; what it leaves there becomes visible all at once, and not at all if it fails or
    /// is killed. Kinds: `kernel`, `initramfs`, `tree`, `checkpoint`, `cell`.
    ///
    /// # Errors
    /// Those of `build`, and of the disk.
    pub fn derive(
        &self,
        kind: &str,
        key: &Sha256,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(path) = self.derived(kind, key) {
            return Ok(path);
        }
        let parent = self.kind_dir(kind);
        fs::create_dir_all(&parent).map_err(|e| Error::io("creating", &parent, e))?;
        let _lock = Flock::exclusive(&self.derived_lock(kind, key), || ())?;
        if let Some(path) = self.derived(kind, key) {
            return Ok(path);
        }
        let building = parent.join(format!(".building-{key}"));
        // Left by a process that died: the lock is ours, so nobody works in it.
        remove_tree(&building)?;
        fs::create_dir(&building).map_err(|e| Error::io("creating", &building, e))?;
        let built = build(&building).and_then(|()| flush(&building));
        if let Err(error) = built {
            // The first error is the one to report; what cannot be removed now is removed next time.
            let _ = remove_tree(&building);
            return Err(error);
        }
        let path = parent.join(key.to_string());
        fs::rename(&building, &path).map_err(|e| Error::io("renaming", &building, e))?;
        sync_dir(&parent)?;
        Ok(path)
    }

    /// The directory if it is there; marks it as used.
    #[must_use]
    pub fn derived(&self, kind: &str, key: &Sha256) -> Option<PathBuf> {
        let path = self.kind_dir(kind).join(key.to_string());
        path.is_dir().then(|| {
            touch(&path);
            path
        })
    }

    /// Removes a derived directory, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, kind: &str, key: &Sha256) -> Result<()> {
        let _lock = Flock::exclusive(&self.derived_lock(kind, key), || ())?;
        self.remove_entry(&self.kind_dir(kind).join(key.to_string()))
    }

    pub(super) fn kind_dir(&self, kind: &str) -> PathBuf {
        self.root.join("derived").join(kind)
    }

    pub(super) fn derived_lock(&self, kind: &str, key: impl std::fmt::Display) -> PathBuf {
        self.lock_path(&format!("{kind}-{key}"))
    }

    /// Takes the final name away first, so that no half-removed directory ever has it.
    pub(crate) fn remove_entry(&self, path: &Path) -> Result<()> {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Ok(());
        };
        let doomed = path.with_file_name(format!(".removing-{name}"));
        remove_tree(&doomed)?;
        match fs::rename(path, &doomed) {
            Ok(()) => remove_tree(&doomed),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("removing", path, e)),
        }
    }
}

/// Flushes everything below a directory: one syncfs(2) instead of an fsync for each of some
/// thousand files.
fn flush(dir: &Path) -> Result<()> {
    let handle = File::open(dir).map_err(|e| Error::io("flushing", dir, e))?;
    rustix::fs::syncfs(&handle).map_err(|e| Error::io("flushing", dir, e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("cache")).unwrap();
        (dir, store)
    }

    #[test]
    fn a_directory_is_built_once_and_found_again() {
        let (_dir, store) = store();
        let key = Sha256::of(b"k");
        let builds = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let path = store
                        .derive("cell", &key, |dir| {
                            builds.fetch_add(1, Ordering::SeqCst);
                            fs::write(dir.join("a"), "b").map_err(|e| Error::io("writing", dir, e))
                        })
                        .unwrap();
                    assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "b");
                });
            }
        });
        assert_eq!(builds.load(Ordering::SeqCst), 1);
        store.forget("cell", &key).unwrap();
        assert_eq!(store.derived("cell", &key), None);
        store.forget("cell", &key).unwrap();
    }

    #[test]
    fn a_build_that_fails_or_died_leaves_nothing_that_looks_good() {
        let (_dir, store) = store();
        let key = Sha256::of(b"k");
        let failed = store.derive("cell", &key, |dir| {
            fs::write(dir.join("half"), "x").map_err(|e| Error::io("writing", dir, e))?;
            Err(Error::host("no"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(store.derived("cell", &key), None);

        let left = store.kind_dir("cell").join(format!(".building-{key}"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "x").unwrap();
        let path = store.derive("cell", &key, |_| Ok(())).unwrap();
        assert_eq!(
            fs::read_dir(path).unwrap().count(),
            0,
            "what a dead process left is not adopted"
        );
    }
}
