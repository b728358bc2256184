//! Leases: shared locks on what is in use, so that nobody clears it away meanwhile. A lease is an
//! flock(2) on a file of the thing itself, so it ends with the process at the latest.

use rustix::fs::{FlockOperation, OFlags, flock, fstat};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// A shared lock on a file, released when dropped.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

/// What can be removed: nobody holds a lease on it, and nobody gets one while this is held.
#[derive(Debug)]
pub struct LeaseClaim {
    /// None where there is no file: nobody can hold a lease on it.
    _file: Option<File>,
}

impl Lease {
    /// On a file that is there, no link.
    ///
    /// # Errors
    /// `NotFound` when it is not there, or was removed meanwhile.
    pub fn take(path: &Path) -> io::Result<Lease> {
        let file = File::options()
            .read(true)
            .custom_flags(no_follow())
            .open(path)?;
        loop {
            match flock(&file, FlockOperation::LockShared) {
                Err(rustix::io::Errno::INTR) => {}
                done => break done?,
            }
        }
        let lease = Lease { file };
        // Whoever removes it holds it exclusively, and takes its name away first.
        if lease.is_on(path) {
            Ok(lease)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Whether it is this very file that has the name now.
    pub fn is_on(&self, path: &Path) -> bool {
        let there = fs::symlink_metadata(path);
        let held = fstat(&self.file);
        there.is_ok_and(|there| {
            held.is_ok_and(|held| (there.dev(), there.ino()) == (held.st_dev, held.st_ino))
        })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl LeaseClaim {
    /// Nothing when somebody uses it.
    ///
    /// # Errors
    /// When the file is there and cannot be locked.
    pub fn attempt(path: &Path) -> io::Result<Option<LeaseClaim>> {
        // For writing where that is allowed: NFS wants it for an exclusive lock (flock(2)).
        let open = |write| {
            File::options()
                .read(true)
                .write(write)
                .custom_flags(no_follow())
                .open(path)
        };
        let file = match open(true).or_else(|_| open(false)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(LeaseClaim { _file: None }));
            }
            Err(e) => return Err(e),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(LeaseClaim { _file: Some(file) })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

fn no_follow() -> i32 {
    // A FIFO in place of a file must not make anybody wait.
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}
