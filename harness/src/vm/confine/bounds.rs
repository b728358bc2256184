//! What a program may reach by a path (pure data).

use crate::store::hermetic::Hermetic;
use std::{
    os::fd::RawFd,
    path::{Path, PathBuf},
};

/// What a program may reach besides the descriptors that it inherits: by paths, each with what lies below it.
/// A path that does not exist is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// May be started, or loaded as the loader of what is started.
    pub(super) executed: Vec<PathBuf>,
    /// May be read.
    pub(super) read: Vec<PathBuf>,
    /// May be read, written and asked by ioctl(2): device nodes.
    pub(super) used: Vec<PathBuf>,
    /// Open files that may be opened again for reading and writing, which memfds always may.
    pub(super) reopened: Vec<RawFd>,
}

impl Bounds {
    /// What a program of the store's needs to start.
    #[must_use]
    pub fn of(program: &Hermetic) -> Bounds {
        (Bounds::default().executing(program.started())).reading(&program.tree)
    }

    /// And this may be started.
    #[must_use]
    pub fn executing(mut self, path: &Path) -> Bounds {
        self.executed.push(path.to_owned());
        self
    }

    /// And this may be read.
    #[must_use]
    pub fn reading(mut self, path: impl AsRef<Path>) -> Bounds {
        self.read.push(path.as_ref().to_owned());
        self
    }

    /// And this device may be used.
    #[must_use]
    pub fn using(mut self, path: impl AsRef<Path>) -> Bounds {
        self.used.push(path.as_ref().to_owned());
        self
    }

    /// And this open file may be opened again through /proc/self/fd.
    #[must_use]
    pub fn reopening(mut self, fd: RawFd) -> Bounds {
        self.reopened.push(fd);
        self
    }
}
