//! The store: content-addressed, read-only files and directories derived from them, in the user's
//! cache directory.
//!
//! ```text
//! <root>/CACHEDIR.TAG            says that this is a cache, and Diorama's
//! <root>/files/<sha256>          a file as fetched, verified, mode 0444
//! <root>/partial/<sha256>        a download that is not finished; resumed by the next one
//! <root>/derived/<kind>/<key>/   a directory built from other inputs, complete once it is there, with
//!                                a manifest of its contents' digests
//! <root>/quarantine/<sha256>     the last corrupt copy of a file, for whoever wants to know why
//! <root>/locks/                  flock(2) files while they are held
//! <root>/.checkpoint-*           a checkpoint that is being saved
//! <root>/bound/                  host devices that have to be given back ([`JOURNAL`])
//! ```
//!
//! Whatever stands under its final name is complete: everything is written beside it, flushed and
//! renamed. So a kill at any moment, a full disk or a second harness leave at most rubbish with a
//! temporary name, which the next owner of the same lock removes. Nothing but names of these forms
//! is ever removed, and nothing is reached through a link.

pub mod contents;
pub(crate) mod deb;
mod derived;
pub mod elf;
mod fetch;
mod flock;
pub mod hermetic;
pub(crate) mod http;
mod lease;
mod manifest;
mod marker;
mod partial;
mod progress;
mod reasons;
mod removal;
mod snapshot;
mod sources;
pub(crate) mod staging;
mod tree;
mod usage;

#[cfg(test)]
pub(crate) mod testing;

pub use derived::{Derived, KINDS};
pub(crate) use fetch::check_there;
pub(crate) use flock::holder as lock_holder;
pub(crate) use lease::Lease;
pub(crate) use manifest::MANIFEST;
pub(crate) use marker::real_directory;
pub use progress::{FetchProgress, NoProgress};
pub(crate) use reasons::MissingFile;
pub(crate) use removal::remove_tree;
pub use sources::Sources;
pub use tree::tree_key;
pub use usage::{LEFTOVER, Usage};

use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where it is written down, in the store's directory, which devices of the host have to be given back to
/// their drivers. Not of the store's: never shrunk nor cleared.
pub const JOURNAL: &str = "bound";

/// The store. Cheap to clone; all of it may be used from several threads and processes at once.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
    tell: Tell,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// What this process derived or found, checked and in use, by path.
    held: Mutex<BTreeMap<PathBuf, Derived>>,
    /// What was in doubt and made anew.
    notes: Mutex<Vec<String>>,
}

/// Where the store says what it waits for. Without one it is silent.
#[derive(Clone, Default)]
struct Tell(Option<Arc<Words>>);

type Words = dyn Fn(&str) + Send + Sync;

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Tell" } else { "Silent" })
    }
}

impl Store {
    /// Opens the store at a directory, which is created if need be.
    ///
    /// # Errors
    /// When the directory cannot be made or written, or is somebody else's.
    pub fn open(root: PathBuf) -> Result<Store> {
        marker::claim(&root)?;
        marker::make_parts(&root)?;
        Ok(Store {
            inner: Arc::new(Inner {
                root,
                held: Mutex::default(),
                notes: Mutex::default(),
            }),
            tell: Tell::default(),
        })
    }

    /// The same store, which says on `tell` what it waits for. Called from any thread.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&str) + Send + Sync + 'static) -> Store {
        let tell = Tell(Some(Arc::new(tell)));
        Store { tell, ..self }
    }

    fn say(&self, text: &str) {
        if let Some(tell) = &self.tell.0 {
            tell(text);
        }
    }

    /// `$DIORAMA_CACHE`, else `diorama` in the user's cache directory (XDG).
    ///
    /// # Errors
    /// When neither is known.
    pub fn default_root(env: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
        use etcetera::BaseStrategy as _;
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        if let Some(root) = set("DIORAMA_CACHE") {
            return std::path::absolute(&root)
                .map_err(|e| Error::io("resolving", Path::new(&root), e));
        }
        // Relative paths in XDG variables are to be ignored (XDG Base Directory Specification).
        if let Some(cache) = set("XDG_CACHE_HOME").map(PathBuf::from)
            && cache.is_absolute()
        {
            return Ok(cache.join("diorama"));
        }
        if let Some(home) = set("HOME") {
            return Ok(Path::new(&home).join(".cache/diorama"));
        }
        etcetera::base_strategy::Xdg::new()
            .map(|dirs| dirs.cache_dir().join("diorama"))
            .map_err(|e| {
                Error::host("finding a directory for the cache")
                    .because(e)
                    .hint("set DIORAMA_CACHE or HOME")
            })
    }

    /// The store's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Derived>> {
        let held = self.inner.held.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    fn notes(&self) -> MutexGuard<'_, Vec<String>> {
        let notes = self.inner.notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, text: String) {
        self.notes().push(text);
    }

    pub(crate) fn file_path(&self, digest: &Sha256) -> PathBuf {
        self.root().join("files").join(digest.to_string())
    }

    pub(crate) fn partial_path(&self, digest: &Sha256) -> PathBuf {
        self.root().join("partial").join(digest.to_string())
    }

    fn quarantine_path(&self, digest: &Sha256) -> PathBuf {
        self.root().join("quarantine").join(digest.to_string())
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root().join("locks").join(name)
    }
}

/// Makes a file, or the renames in a directory, durable.
fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|e| Error::io("flushing", path, e))
}

/// Marks a file or directory as just used, for [`Store::shrink`]. Best effort: the entry may be
/// gone by now, and its use does not depend on it.
fn touch(path: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: at(UTIME_OMIT),
        last_modification: at(UTIME_NOW),
    };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_variable_or_the_xdg_cache() {
        let root = |name: &'static str, value: &'static str| {
            Store::default_root(move |n| match n {
                "HOME" => Some("/home/u".to_owned()),
                n => (n == name).then(|| value.to_owned()),
            })
            .unwrap()
        };
        assert_eq!(root("DIORAMA_CACHE", "/c"), Path::new("/c"));
        assert_eq!(root("XDG_CACHE_HOME", "/x"), Path::new("/x/diorama"));
        assert_eq!(
            root("XDG_CACHE_HOME", "x"),
            Path::new("/home/u/.cache/diorama")
        );
        assert_eq!(
            root("DIORAMA_CACHE", ""),
            Path::new("/home/u/.cache/diorama")
        );
    }

    #[test]
    fn a_root_that_cannot_be_made_says_how_to_choose_another() {
        let error = Store::open(PathBuf::from("/proc/no/such")).unwrap_err();
        insta::assert_snapshot!(error.render(), @r"
        error: creating /proc/no/such
          caused by: No such file or directory (os error 2)
          help: set DIORAMA_CACHE to a directory that you can write to
        ");
    }
}
