//! Where a checkpoint is written before it gets its place in the store: saving waits for QEMU, and
//! the store's own building does not wait. Also what a single guest boots from, and nobody later.

use super::{Store, flock::Flock, removal::remove_tree};
use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// What the names of these directories begin with.
pub(super) const PREFIX: &str = ".checkpoint-";

/// A directory on the store's file system, removed when dropped. Its owner holds a lock on it, so
/// whoever finds it unlocked knows that its owner died.
#[derive(Debug)]
pub struct Staging {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Staging {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Store {
    /// A new, empty directory. Those that dead processes left are removed first.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn staging(&self) -> Result<Staging> {
        for left in self.abandoned_staging()? {
            // Best effort: what cannot be removed now is removed next time.
            let _ = self.remove_staging(&left);
        }
        let root = self.root();
        let failed = |e| Error::io("making a directory in", root, e);
        let _made_and_locked = self.staging_lock()?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(root)
            .map_err(failed)?;
        let lock = File::open(dir.path()).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        Ok(Staging { dir, _lock: lock })
    }

    /// Directories whose owners died.
    pub(super) fn abandoned_staging(&self) -> Result<Vec<PathBuf>> {
        let root = self.root();
        let mut found = Vec::new();
        let _nobody_makes_one = self.staging_lock()?;
        let entries = fs::read_dir(root).map_err(|e| Error::io("reading", root, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("reading", root, e))?;
            let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if named && is_dir && is_free(&entry.path()) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// Removes one, unless it has an owner by now.
    pub(super) fn remove_staging(&self, path: &Path) -> Result<()> {
        let _nobody_makes_one = self.staging_lock()?;
        if is_free(path) {
            remove_tree(path)?;
        }
        Ok(())
    }

    /// Held while a directory is made and has no lock of its own yet.
    fn staging_lock(&self) -> Result<Flock> {
        Flock::exclusive(&self.lock_path("staging"), |_| ())
    }
}

fn is_free(dir: &Path) -> bool {
    File::open(dir).is_ok_and(|dir| flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Moves a directory's files into another on the same file system.
///
/// # Errors
/// When one cannot be moved.
pub fn move_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).map_err(|e| Error::io("reading", from, e))? {
        let entry = entry.map_err(|e| Error::io("reading", from, e))?;
        let target = to.join(entry.file_name());
        fs::rename(entry.path(), &target).map_err(|e| Error::io("moving to", &target, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_and_what_a_living_one_writes_stays() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path().join("cache")).unwrap();
        let live = store.staging().unwrap();
        fs::write(live.path().join("ram.img"), "x").unwrap();
        let left = store.root().join(".checkpoint-dead00");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("ram.img"), "x").unwrap();

        let other = store.staging().unwrap();
        assert!(!left.exists());
        assert!(live.path().join("ram.img").exists());
        let path = other.path().to_owned();
        drop(other);
        assert!(!path.exists());
    }
}
