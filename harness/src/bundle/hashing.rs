//! Bytes that are hashed and counted while they go by.

use crate::digest::Sha256;
use sha2::Digest as _;
use std::io::{self, Read, Write};

/// A reader or writer whose bytes are hashed and counted.
pub struct Hashing<T> {
    inner: T,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    /// Around one that nothing has gone through yet.
    pub fn new(inner: T) -> Hashing<T> {
        Hashing {
            inner,
            hasher: sha2::Sha256::default(),
            bytes: 0,
        }
    }

    /// Their digest, their number, and what was around.
    pub fn finish(self) -> (Sha256, u64, T) {
        let digest = Sha256::from_bytes(self.hasher.finalize().into());
        (digest, self.bytes, self.inner)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
