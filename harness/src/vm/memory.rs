//! The guest's RAM as a memfd of the harness: QEMU maps it (`-object
//! memory-backend-file,id=mem,size=..,mem-path=/proc/self/fd/N,share=on`), a checkpoint copies
//! its data to a sparse file and back, and verification digests it.
//!
//! Only what was ever written is read: a fresh gigabyte costs nothing, and a page of zeros counts
//! as one that was never written, everywhere. The guest must not run meanwhile.

use crate::{
    error::{Error, Result},
    pages::{self, PAGE},
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

/// A guest's RAM. Its last descriptor's end, here or in QEMU, frees it.
#[derive(Debug)]
pub struct GuestRam {
    memfd: File,
    /// In bytes; a multiple of [`PAGE`].
    size: u64,
}

impl GuestRam {
    /// RAM of this many bytes, all zero. The descriptor is close-on-exec; whoever starts QEMU
    /// lets it through.
    ///
    /// # Errors
    /// When the size is not a whole number of pages, or the host has no memfd.
    pub fn create(size: u64) -> Result<GuestRam> {
        if size == 0 || !size.is_multiple_of(PAGE as u64) {
            return Err(Error::internal(format!(
                "a guest's RAM of {size} bytes is not a whole number of {PAGE}-byte pages"
            )));
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memfd = memfd_create("diorama-guest-ram", flags)
            .and_then(|fd| {
                ftruncate(&fd, size)?;
                // Its length is fixed: nobody who shares it can make a mapping of it fault.
                fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW)?;
                Ok(File::from(fd))
            })
            .map_err(|e| {
                Error::host(format!("allocating {size} bytes of guest RAM"))
                    .because(io::Error::from(e))
            })?;
        Ok(GuestRam { memfd, size })
    }

    /// RAM with the contents and size of a file that [`GuestRam::save_sparse`] wrote, and the digest
    /// of what was copied, as [`GuestRam::digest`] would give it: whoever knows what it must be need
    /// not read it again.
    ///
    /// # Errors
    /// When the file cannot be read or memory runs out.
    pub fn load_sparse(path: &Path) -> Result<(GuestRam, String)> {
        let failed = |e: io::Error| Error::io("reading guest RAM from", path, e);
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let ram = GuestRam::create(size)?;
        let mut hasher = pages::Hasher::default();
        pages::for_each_chunk(&file, size, |at, chunk| {
            hasher.add(at, chunk);
            ram.memfd.write_all_at(chunk, at)
        })
        .map_err(failed)?;
        Ok((ram, hasher.finish()))
    }

    /// Writes the contents to a new sparse file of the RAM's size: no page of zeros takes space.
    /// Neither atomic nor synced; that is for the one who owns the directory.
    ///
    /// # Errors
    /// When the file exists already or cannot be written; a full disk says so.
    pub fn save_sparse(&self, path: &Path) -> Result<()> {
        let failed = |e: io::Error| Error::io("writing guest RAM to", path, e);
        let file = File::create_new(path).map_err(failed)?;
        file.set_len(self.size).map_err(failed)?;
        pages::for_each_chunk(&self.memfd, self.size, |at, chunk| {
            for run in pages::runs_of_data(chunk) {
                let start = at + run.start as u64;
                file.write_all_at(&chunk[run], start)?;
            }
            Ok(())
        })
        .map_err(failed)
    }

    /// The digest of the contents, in hex: BLAKE3 over the number (le64) and the bytes of every
    /// page that is not all zero, in order. Two RAMs of different sizes with equal pages digest
    /// alike; the size is an input of its own.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn digest(&self) -> Result<String> {
        pages::digest(&self.memfd, self.size)
            .map_err(|e| Error::host("reading the guest's RAM").because(e))
    }

    /// The size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl AsFd for GuestRam {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const SIZE: u64 = 64 << 20;

    fn filled() -> GuestRam {
        let ram = GuestRam::create(SIZE).unwrap();
        for (page, byte) in [(0, 1), (1, 2), (70, 3), (5000, 4), (SIZE / 4096 - 1, 5)] {
            ram.memfd
                .write_all_at(&[byte; PAGE], page * PAGE as u64)
                .unwrap();
        }
        ram
    }

    #[test]
    fn a_hole_and_a_page_of_zeros_digest_alike() {
        let ram = filled();
        let digest = ram.digest().unwrap();
        ram.memfd.write_all_at(&[0; 3 * PAGE], 100 << 12).unwrap();
        assert_eq!(ram.digest().unwrap(), digest);
    }

    #[test]
    fn a_byte_or_a_page_in_another_place_changes_the_digest() {
        let digest = filled().digest().unwrap();
        for at in [0, 4095, 6000, SIZE - 1] {
            let ram = filled();
            ram.memfd.write_all_at(&[9], at).unwrap();
            assert_ne!(ram.digest().unwrap(), digest, "byte {at}");
        }
        let [one, other] = [3u64, 4].map(|page| {
            let ram = GuestRam::create(SIZE).unwrap();
            ram.memfd.write_all_at(&[1], page << 12).unwrap();
            ram.digest().unwrap()
        });
        assert_ne!(one, other);
    }

    /// The stream that is hashed is part of the records' format: another tool must agree.
    #[test]
    fn the_digest_is_over_numbers_and_pages() {
        let mut stream = Vec::new();
        for (page, byte) in [(0u64, 1), (1, 2), (70, 3), (5000, 4), (16383, 5)] {
            stream.extend(page.to_le_bytes());
            stream.extend([byte; PAGE]);
        }
        let expected = blake3::hash(&stream).to_hex().to_string();
        assert_eq!(filled().digest().unwrap(), expected);
    }

    #[test]
    fn saved_and_loaded_it_is_the_same_and_sparse() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ram");
        let ram = filled();
        // Zeros that were written take no space in the file.
        ram.memfd.write_all_at(&[0; 1 << 20], 1 << 21).unwrap();
        ram.save_sparse(&path).unwrap();
        let file = path.metadata().unwrap();
        assert_eq!(file.len(), SIZE);
        assert!(file.blocks() * 512 < 1 << 20, "{} blocks", file.blocks());

        let (loaded, digest) = GuestRam::load_sparse(&path).unwrap();
        assert_eq!(digest, ram.digest().unwrap());
        assert_eq!(loaded.size(), SIZE);
        assert_eq!(loaded.digest().unwrap(), ram.digest().unwrap());
        let resident = loaded.memfd.metadata().unwrap().blocks() * 512;
        assert!(resident < 1 << 20, "{resident} bytes resident");
    }

    #[test]
    fn nothing_written_is_nothing_read() {
        let ram = GuestRam::create(1 << 40).unwrap();
        let empty = blake3::hash(b"").to_hex().to_string();
        assert_eq!(ram.digest().unwrap(), empty);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let odd = GuestRam::create(4097).unwrap_err();
        assert_eq!(
            odd.to_string(),
            "a guest's RAM of 4097 bytes is not a whole number of 4096-byte pages"
        );
        assert!(GuestRam::create(0).is_err());
        let directory = tempfile::tempdir().unwrap();
        assert!(GuestRam::load_sparse(&directory.path().join("none")).is_err());
        let path = directory.path().join("ram");
        filled().save_sparse(&path).unwrap();
        assert!(filled().save_sparse(&path).is_err(), "never overwritten");
    }
}
