//! What QEMU writes and the harness reads while both run.

use super::child::own_path;
use crate::error::{Error, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::fs::FileExt as _,
    },
    sync::Arc,
};

/// A guest that writes more than this to its console is broken; in bytes.
pub const CONSOLE_LIMIT: u64 = 64 << 20;

/// A memfd that QEMU and the harness share: it can never block the guest, and nothing of it is
/// left behind.
#[derive(Clone, Debug)]
pub struct Stream {
    file: Arc<File>,
}

impl Stream {
    /// An empty one; the name is for those who look into /proc.
    pub(crate) fn new(name: &str) -> io::Result<Stream> {
        let fd: OwnedFd = memfd_create(name, MemfdFlags::CLOEXEC)?;
        Ok(Stream {
            file: Arc::new(fd.into()),
        })
    }

    /// Writes at its end, as QEMU does.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.len())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written from `offset` on.
    #[must_use]
    pub fn bytes_from(&self, offset: u64) -> Vec<u8> {
        let wanted = usize::try_from(self.len().saturating_sub(offset).min(CONSOLE_LIMIT));
        let mut bytes = vec![0; wanted.unwrap_or(0)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self
                .file
                .read_at(&mut bytes[filled..], offset + filled as u64)
            {
                Ok(n) if n > 0 => filled += n,
                _ => break,
            }
        }
        bytes.truncate(filled);
        bytes
    }

    /// All of it, which must not exceed `limit` bytes.
    ///
    /// # Errors
    /// When it does: a part of it would be taken for the whole.
    pub fn whole(&self, limit: u64) -> Result<Vec<u8>> {
        let length = self.len();
        let bytes = self.bytes_from(0);
        if length > limit || bytes.len() as u64 != length {
            return Err(Error::host(format!(
                "QEMU wrote {length} bytes; at most {limit} are accepted"
            )));
        }
        Ok(bytes)
    }

    /// Its number, in this process and in those that inherit it.
    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The same, open once more.
    pub(super) fn duplicate(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// A name under which QEMU, which inherits it, opens it again.
    #[must_use]
    pub fn inherited_path(&self) -> String {
        own_path(self.descriptor())
    }

    /// All of it, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes_from(0)).into_owned()
    }

    /// All of it in a sentence about what was said.
    pub(super) fn text_or_nothing(&self) -> String {
        match self.text().trim() {
            "" => "nothing".into(),
            said => said.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_beyond_its_limit_is_an_error_and_never_a_part() {
        let stream = Stream::new("devices").unwrap();
        stream.append(b"12345").unwrap();
        assert_eq!(stream.whole(5).unwrap(), b"12345");
        let error = stream.whole(4).unwrap_err().to_string();
        assert_eq!(error, "QEMU wrote 5 bytes; at most 4 are accepted");
    }
}
