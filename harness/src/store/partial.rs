//! A download that is not finished.

use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use sha2::Digest as _;
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::Path,
};

/// A growing download and the digest of what is there.
pub struct Partial<'a> {
    path: &'a Path,
    file: File,
    hasher: sha2::Sha256,
    /// Bytes that are there.
    pub have: u64,
}

impl Partial<'_> {
    /// Opens or creates it, and digests what is there; more than `size` bytes are dropped.
    pub fn open(path: &Path, size: u64) -> Result<Partial<'_>> {
        let fail = |e| Error::io("writing", path, e);
        let mut file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(fail)?;
        let mut left = file.metadata().map_err(fail)?.len();
        if left > size {
            file.set_len(0).map_err(fail)?;
            left = 0;
        }
        let mut there = (&mut file).take(left);
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 17];
        let mut have = 0;
        loop {
            match there.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    have += n as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(fail(e)),
            }
        }
        Ok(Partial {
            path,
            file,
            hasher,
            have,
        })
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|e| Error::io("writing", self.path, e))?;
        self.hasher.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    /// Drops all bytes.
    pub fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .map_err(|e| Error::io("writing", self.path, e))?;
        self.hasher = sha2::Sha256::new();
        self.have = 0;
        Ok(())
    }

    /// Digest of the bytes that are there.
    pub fn digest(&self) -> Sha256 {
        Sha256::from_bytes(self.hasher.clone().finalize().into())
    }
}
