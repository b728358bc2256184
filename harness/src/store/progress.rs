//! How a fetch tells what it is doing.

use crate::vocabulary::LockedFile;

/// Receives the progress of a fetch, from several threads at once. A file that is already in the
/// store causes no call at all.
pub trait FetchProgress: Sync {
    /// A download begins (or another process's download of the same file is awaited).
    fn started(&self, file: &LockedFile);
    /// `bytes` of the file are on disk now, in total; may fall back when a download starts over.
    fn advanced(&self, file: &LockedFile, bytes: u64);
    /// The file is in the store, verified.
    fn finished(&self, file: &LockedFile);
    /// Something a person should know: a mirror that failed, a corrupt file replaced.
    fn note(&self, text: &str);
}

/// Progress that is not shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl FetchProgress for NoProgress {
    fn started(&self, _file: &LockedFile) {}
    fn advanced(&self, _file: &LockedFile, _bytes: u64) {}
    fn finished(&self, _file: &LockedFile) {}
    fn note(&self, _text: &str) {}
}
