//! The file under test: written whole with direct I/O, nothing of it cached, every extent mapped.

use crate::{
    content::{self, Buffer},
    extents,
    fail::{Fail, Result},
    format::MOUNT_POINT,
    schedule::Sequence,
    sys,
};
use diorama_wire::Workload;
use std::{
    fs::{File, OpenOptions},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    ptr,
};

/// Bytes of one transfer when the whole file is written or read, rounded to whole blocks.
const TRANSFER: usize = 1 << 20;

/// The file, open for direct I/O.
pub struct Prepared {
    /// The descriptor that the engine uses.
    pub file: File,
    /// Its extents, none of them unwritten.
    pub extents: u32,
    size: u64,
    block: usize,
}

/// Creates and writes the file.
///
/// # Errors
/// When a step fails, or the file is not as it must be for the measurement to mean anything.
pub fn prepare(workload: &Workload) -> Result<Prepared> {
    let path = format!("{MOUNT_POINT}/file");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .map_err(|e| Fail::os(format_args!("create {path} with O_DIRECT"), &e))?;
    let size = workload.file_size;
    let length = libc::off_t::try_from(size)
        .map_err(|_| Fail::protocol(format!("file_size {size} is too large")))?;
    // One piece of the device, as far as the file system can. Its blocks are unwritten until the
    // loop below has written them.
    // SAFETY: an open descriptor and numbers.
    sys::check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) }.into())
        .map_err(|e| Fail::os(format_args!("fallocate {path} to {size} bytes"), &e))?;
    let mut prepared = Prepared {
        file,
        extents: 0,
        size,
        block: workload.block_size as usize,
    };
    prepared.write_all()?;
    let fd = prepared.file.as_raw_fd();
    prepared
        .file
        .sync_all()
        .map_err(|e| Fail::os(format_args!("fsync {path}"), &e))?;
    // SAFETY: no arguments; flushes what mkfs and mount left dirty.
    unsafe { libc::sync() };
    // SAFETY: an open descriptor and numbers.
    match unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => {}
        e => {
            let e = std::io::Error::from_raw_os_error(e);
            return Err(Fail::os("posix_fadvise POSIX_FADV_DONTNEED", &e));
        }
    }
    prepared.extents = extents::audit(&extents::map(&prepared.file)?, size).map_err(Fail::wrong)?;
    Ok(prepared)
}

impl Prepared {
    /// Whole blocks of one transfer, in bytes.
    fn transfer(&self) -> usize {
        self.block * (TRANSFER / self.block).max(1)
    }

    /// Offset and length of each transfer over the file.
    fn transfers(&self) -> impl Iterator<Item = (u64, usize)> + use<> {
        let (size, step) = (self.size, self.transfer());
        (0..size).step_by(step).map(move |offset| {
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
            (offset, left.min(step))
        })
    }

    fn write_all(&mut self) -> Result<()> {
        let mut buffer = Buffer::new(self.transfer())?;
        content::fill(buffer.bytes_mut(), self.block);
        for (offset, len) in self.transfers() {
            let bytes = &mut buffer.bytes_mut()[..len];
            for (i, block) in (0u64..).zip(bytes.chunks_exact_mut(self.block)) {
                content::stamp(block, offset + i * self.block as u64, 0);
            }
            self.file.write_all_at(bytes, offset).map_err(|e| {
                Fail::os(
                    format_args!("write {len} bytes at offset {offset} of the file"),
                    &e,
                )
            })?;
        }
        Ok(())
    }

    /// Reads the whole file and checks every block; returns their number. `writes` is the
    /// sequence as the workload's writes left it.
    ///
    /// # Errors
    /// A failed read, or the first wrong block.
    pub fn verify(&self, writes: &Sequence) -> Result<u64> {
        let mut buffer = Buffer::new(self.transfer())?;
        let mut template = vec![0; self.block];
        content::fill(&mut template, self.block);
        let mut checked = 0;
        for (offset, len) in self.transfers() {
            let bytes = &mut buffer.bytes_mut()[..len];
            self.file.read_exact_at(bytes, offset).map_err(|e| {
                Fail::os(
                    format_args!("read {len} bytes at offset {offset} of the file"),
                    &e,
                )
            })?;
            checked += content::check_all(bytes, &template, offset, writes)?;
        }
        Ok(checked)
    }

    /// Whether the descriptor is open for direct I/O, as the kernel says.
    ///
    /// # Errors
    /// fcntl(2)'s.
    pub fn is_direct(&self) -> Result<bool> {
        // SAFETY: an open descriptor.
        let flags = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETFL) };
        let flags = sys::check(flags.into()).map_err(|e| Fail::os("fcntl F_GETFL", &e))?;
        Ok(flags & libc::c_long::from(libc::O_DIRECT) != 0)
    }

    /// Pages of the file in the page cache.
    ///
    /// # Errors
    /// As [`cached_pages`].
    pub fn cached_pages(&self) -> Result<u64> {
        cached_pages(&self.file)
    }
}

/// Pages of a file in the page cache (mincore(2) over a mapping of it).
///
/// # Errors
/// fstat(2)'s, mmap(2)'s and mincore(2)'s.
pub fn cached_pages(file: &File) -> Result<u64> {
    let size = file
        .metadata()
        .map_err(|e| Fail::os("fstat the file", &e))?
        .len();
    let len = usize::try_from(size)
        .map_err(|_| Fail::protocol(format!("a file of {size} bytes is too large")))?;
    if len == 0 {
        return Ok(0);
    }
    let mut pages = vec![0u8; len.div_ceil(PAGE)];
    // SAFETY: a new mapping, never accessed.
    let map = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(Fail::os("mmap the file", &std::io::Error::last_os_error()));
    }
    // SAFETY: the mapping above, and one byte for each of its pages.
    let returned = unsafe { libc::mincore(map, len, pages.as_mut_ptr()) };
    let result = sys::check(returned.into());
    // SAFETY: the mapping above, not used again.
    unsafe { libc::munmap(map, len) };
    result.map_err(|e| Fail::os("mincore the file", &e))?;
    Ok(pages.iter().filter(|&&p| p & 1 != 0).count() as u64)
}

/// A page of x86-64, in bytes.
const PAGE: usize = 4096;
