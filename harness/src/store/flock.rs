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
    /// Waits for the lock; calls `waiting` once, with words for who holds it, if another does.
    pub fn exclusive(path: &Path, waiting: impl FnOnce(&str)) -> Result<Flock> {
        if let Some(lock) = Flock::attempt(path, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(lock);
        }
        waiting(&holder(path));
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

/// Who holds the lock: "process 4711 (diorama)", or as much as the kernel tells us.
pub(crate) fn holder(path: &Path) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = stat(path).ok().and_then(|file| pid_of(&locks, file.st_ino));
    match pid {
        None => "another process".to_owned(),
        Some(pid) => match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => format!("process {pid} ({})", name.trim_end()),
            Err(_) => format!("process {pid}"),
        },
    }
}

/// The process that holds a flock(2) on this inode, out of proc_locks(5). Device numbers are not
/// compared: layered file systems show another one there. A process of another PID namespace has
/// none that we could use.
fn pid_of(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else {
            return None;
        };
        let this = file.rsplit(':').next()?.parse() == Ok(inode);
        pid.parse().ok().filter(|pid| this && *pid > 0)
    })
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
                        let _lock = Flock::exclusive(&path, |_| ()).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert!(!path.exists());
    }

    #[test]
    fn whoever_waits_is_told_for_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Flock::exclusive(&path, |_| panic!("nobody holds it")).unwrap();
        let (told, words) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                Flock::exclusive(&path, |holder| told.send(holder.to_owned()).unwrap()).unwrap()
            });
            let words = words.recv().unwrap();
            assert!(
                words.starts_with(&format!("process {} (", std::process::id())),
                "{words}"
            );
            drop(held);
            waiter.join().unwrap();
        });
    }

    #[test]
    fn the_holder_is_read_off_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  READ 5433 08:01:7864448 128 128\n\
                     2: FLOCK  ADVISORY  WRITE 2001 00:2a:7864554 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 2002 00:2a:7864554 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 00:2a:7864555 0 EOF\n";
        assert_eq!(pid_of(locks, 7_864_554), Some(2001));
        assert_eq!(pid_of(locks, 7_864_555), None, "another PID namespace's");
        assert_eq!(pid_of(locks, 7_864_448), None, "another kind of lock");
    }
}
