//! Where a checkpoint is written before it gets its place in the store: saving waits for QEMU, and
//! the store's own building does not wait.

use crate::{
    error::{Error, Result},
    store::Store,
};
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

const PREFIX: &str = ".checkpoint-";

/// A directory that is older was left by a process that died: saving takes seconds.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// A directory on the store's file system, removed when dropped. Those that dead processes left
/// are removed first.
///
/// # Errors
/// When it cannot be made.
pub(super) fn staging(store: &Store) -> Result<tempfile::TempDir> {
    let root = store.root();
    remove_left(root, SystemTime::now());
    tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(root)
        .map_err(|e| Error::io("making a directory in", root, e))
}

/// Best effort: what cannot be removed now is removed next time.
fn remove_left(root: &Path, now: SystemTime) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let age = entry.metadata().and_then(|m| m.modified());
        let old = age.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > LEFT_AFTER));
        if named && old {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Moves a directory's files into another on the same file system.
///
/// # Errors
/// When one cannot be moved.
pub(super) fn move_files(from: &Path, to: &Path) -> Result<()> {
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
        let live = staging(&store).unwrap();
        fs::write(live.path().join("ram.img"), "x").unwrap();
        let _other = staging(&store).unwrap();
        assert!(live.path().join("ram.img").exists());

        let later = SystemTime::now() + LEFT_AFTER + Duration::from_secs(60);
        remove_left(store.root(), later);
        assert!(!live.path().exists());
        assert!(store.root().join("derived").exists());
    }
}
