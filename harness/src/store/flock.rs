//! Advisory locks between harnesses: flock(2) on a file that may be deleted by its last holder.

use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, flock, fstat, stat};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// An exclusive lock; released and its file removed when dropped (the kernel releases it when the
/// process dies, and a file left behind is harmless).
#[derive(Debug)]
pub struct Flock {
    path: PathBuf,
    _file: File,
}

impl Flock {
    /// Waits for the lock; calls `waiting` once if another holds it.
    pub fn exclusive(path: &Path, waiting: impl FnOnce()) -> Result<Flock> {
        if let Some(lock) = Flock::attempt(path, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(lock);
        }
        waiting();
        loop {
            if let Some(lock) = Flock::attempt(path, FlockOperation::LockExclusive)? {
                return Ok(lock);
            }
        }
    }

    /// The lock if it is free at once.
    pub fn try_exclusive(path: &Path) -> Result<Option<Flock>> {
        Flock::attempt(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// `None` when another holds it, or when the file was removed between opening and locking.
    fn attempt(path: &Path, operation: FlockOperation) -> Result<Option<Flock>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|e| Error::io("opening the lock file", path, e))?;
        loop {
            match flock(&file, operation) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(Error::io("locking", path, e.into())),
            }
        }
        let held = fstat(&file).map_err(|e| Error::io("reading", path, e.into()))?;
        let same = stat(path)
            .is_ok_and(|there| (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino));
        Ok(same.then(|| Flock {
            path: path.to_owned(),
            _file: file,
        }))
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        // While it is still held: whoever waits notices that the name is gone and starts over.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn only_one_holds_the_lock_although_its_file_is_removed_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _lock = Flock::exclusive(&path, || ()).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert!(!path.exists());
    }
}
