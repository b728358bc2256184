//! A store that is nobody else's, and gone afterwards: what an image is unpacked into.

use crate::{
    error::{Error, Result},
    store::{Store, remove_tree},
};
use rustix::fs::{FlockOperation, flock};
use std::{
    env,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What the names of these directories begin with.
const PREFIX: &str = "diorama-replay-";

/// A directory for temporary files, with a store in it. Its owner holds a lock on it; who finds it
/// unlocked knows that its owner died.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    /// The store.
    pub store: Store,
    _lock: File,
}

impl Scratch {
    /// A new one in the directory for temporary files (TMPDIR), which must have so many bytes free. What
    /// dead processes left there is removed first.
    ///
    /// # Errors
    /// When it cannot be made, or does not fit.
    pub fn new(bytes: u64) -> Result<Scratch> {
        let parent = env::temp_dir();
        sweep(&parent);
        enough(&parent, bytes)?;
        let failed = |e| Error::io("making a directory in", &parent, e).hint(ELSEWHERE);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)
            .map_err(failed)?;
        let lock = File::open(dir.path()).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        let store = Store::open(dir.path().join("store"))?;
        Ok(Scratch {
            dir: dir.keep(),
            store,
            _lock: lock,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.store.release();
        // What cannot be removed now is removed by the next replay.
        let _ = remove_tree(&self.dir);
    }
}

const ELSEWHERE: &str = "set TMPDIR to a directory with more room";

fn enough(dir: &Path, bytes: u64) -> Result<()> {
    let Ok(room) = rustix::fs::statvfs(dir) else {
        // The first write says what is wrong with it.
        return Ok(());
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    match free >= bytes {
        true => Ok(()),
        false => Err(Error::host(format!(
            "unpacking the image takes {} MiB, but {} has {} MiB free",
            bytes >> 20,
            dir.display(),
            free >> 20
        ))
        .hint(ELSEWHERE)),
    }
}

/// Removes what processes of this user left that are gone. Best effort.
fn sweep(parent: &Path) {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(meta) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if !meta.is_dir() || meta.uid() != me {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = remove_tree(&entry.path());
        }
    }
}
