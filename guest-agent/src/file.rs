//! The files under test, one for each thread: laid out as the workload wants them, nothing of them
//! cached, every extent accounted for. Where there is no file system, a file is a part of the block
//! device.

mod shared;

use crate::{
    content::{self, Buffer},
    extents::{self, State},
    fail::{Fail, Result},
    format::MOUNT_POINT,
    sys,
};
use diorama_wire::{Layout, Sync, Workload};
use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    ptr,
};

/// Bytes of one transfer when a whole file is written or read, rounded to whole blocks.
const TRANSFER: usize = 1 << 20;

/// A page of x86-64, in bytes.
const PAGE: usize = 4096;

/// What the files under test are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file system at [`MOUNT_POINT`].
    Mounted,
    /// The block device with this node, which has none.
    Device(String),
}

/// One thread's file, open for direct I/O.
pub struct PreparedFile {
    /// The descriptor that the engine uses.
    pub file: File,
    /// Its extents after the preparation.
    pub extents: u32,
    path: String,
    /// Where it begins on the device that it is a part of, in bytes; none of a file.
    part: Option<u64>,
    /// Which of its threads has this descriptor, if it is shared.
    thread: u32,
    /// Where in it this thread's blocks begin, in bytes.
    behind: u64,
    layout: Layout,
    dsync: bool,
    /// Length before a repetition, in bytes.
    size: u64,
    block: usize,
}

/// Makes the files, one for each thread: those of a device one behind the other. Of a file that threads
/// share each has a descriptor.
///
/// # Errors
/// When a step fails, or a file is not as it must be for the measurement to mean anything.
pub fn prepare(workload: &Workload, place: &Place) -> Result<Vec<PreparedFile>> {
    if workload.shares_a_file() {
        return shared::prepare(workload, place);
    }
    let mut files = (0..workload.numjobs)
        .map(|thread| match (place, thread) {
            (Place::Device(node), n) => {
                create(workload, node, Some(u64::from(n) * workload.file_size))
            }
            (Place::Mounted, 0) => create(workload, &format!("{MOUNT_POINT}/file"), None),
            (Place::Mounted, n) => create(workload, &format!("{MOUNT_POINT}/file.{n}"), None),
        })
        .collect::<Result<Vec<_>>>()?;
    settle(&mut files)?;
    Ok(files)
}

/// Makes one file at a path as [`prepare`] does, or, where that is a device's, the part of it that
/// begins there.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_at(workload: &Workload, path: &str, part: Option<u64>) -> Result<PreparedFile> {
    let mut files = [create(workload, path, part)?];
    settle(&mut files)?;
    let [file] = files;
    Ok(file)
}

fn settle(files: &mut [PreparedFile]) -> Result<()> {
    // Flushes what mkfs and mount left dirty, too.
    sync();
    for file in files {
        file.forget_pages()?;
        file.extents = file.audit()?;
    }
    Ok(())
}

fn create(workload: &Workload, path: &str, part: Option<u64>) -> Result<PreparedFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    let opened = options.clone().create_new(part.is_none()).open(path);
    let file = opened.map_err(|e| {
        let verb = if part.is_some() { "open" } else { "create" };
        let doing = format!("{verb} {path} with O_DIRECT");
        // open(2): "The filesystem does not support the O_DIRECT flag."
        if e.raw_os_error() == Some(libc::EINVAL) {
            return Fail::unsupported(format!("{doing}: {e}"), &[]);
        }
        Fail::os(doing, &e)
    })?;
    let mut prepared = PreparedFile {
        file,
        extents: 0,
        path: path.to_owned(),
        part,
        thread: 0,
        behind: 0,
        layout: workload.layout,
        dsync: workload.sync == Sync::Dsync,
        size: workload.file_length(),
        block: workload.block_size as usize,
    };
    // One piece of the device, as far as the file system can. Its blocks are unwritten until they
    // are written.
    if part.is_none() {
        prepared.allocate()?;
    }
    if matches!(workload.layout, Layout::Written | Layout::Append) {
        prepared.write_all()?;
    }
    prepared.fsync()?;
    if prepared.dsync {
        // Only now, or the preparation itself would wait for every write.
        prepared.file = prepared.opened_again()?;
    }
    Ok(prepared)
}

/// sync(2): everything of every file system.
fn sync() {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
}

impl PreparedFile {
    /// A descriptor as the engine uses it, for a file that is there.
    fn opened_again(&self) -> Result<File> {
        let (flags, words) = match self.dsync {
            true => (libc::O_DIRECT | libc::O_DSYNC, "O_DIRECT and O_DSYNC"),
            false => (libc::O_DIRECT, "O_DIRECT"),
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(flags);
        let path = &self.path;
        let opened = options.open(path);
        opened.map_err(|e| Fail::os(format_args!("open {path} with {words}"), &e))
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its bytes, by their offsets.
    fn span(&self) -> Range<u64> {
        let start = self.begin();
        start..start + self.size
    }

    /// The offset of its first byte.
    pub fn begin(&self) -> u64 {
        self.part.unwrap_or(0)
    }

    /// The offset of its thread's first byte.
    pub fn start(&self) -> u64 {
        self.begin() + self.behind
    }

    /// Which of the threads that share it has this descriptor; 0 if it is one thread's.
    pub fn thread(&self) -> u32 {
        self.thread
    }

    fn allocate(&self) -> Result<()> {
        if self.size == 0 {
            return Ok(());
        }
        let length = self.length(self.size)?;
        // SAFETY: an open descriptor and numbers.
        sys::check(unsafe { libc::fallocate(self.file.as_raw_fd(), 0, 0, length) }.into())
            .map(drop)
            .map_err(|e| {
                let doing = format!("fallocate {} to {} bytes", self.path, self.size);
                Fail::os(doing, &e)
            })
    }

    fn length(&self, bytes: u64) -> Result<libc::off_t> {
        libc::off_t::try_from(bytes)
            .map_err(|_| Fail::protocol(format!("file_size {bytes} is too large")))
    }

    fn fsync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|e| Fail::os(format_args!("fsync {}", self.path), &e))
    }

    fn forget_pages(&self) -> Result<()> {
        let fd = self.file.as_raw_fd();
        // SAFETY: an open descriptor and numbers.
        match unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 => Ok(()),
            e => {
                let e = io::Error::from_raw_os_error(e);
                Err(Fail::os("posix_fadvise POSIX_FADV_DONTNEED", &e))
            }
        }
    }

    /// Checks the extents against the layout; returns their number. A device has none.
    fn audit(&self) -> Result<u32> {
        if self.part.is_some() {
            return Ok(0);
        }
        let state = match self.layout {
            Layout::Unwritten => State::Unwritten,
            Layout::Written | Layout::Append | Layout::Extending => State::Written,
        };
        extents::audit(&extents::map(&self.file)?, self.size, state).map_err(Fail::wrong)
    }

    /// Lays the file out again as it was before the first repetition, if a stretch uses its layout
    /// up; returns whether it did.
    ///
    /// # Errors
    /// A failed step, or extents that are not as the layout has them.
    pub fn lay_again(&self) -> Result<bool> {
        let keep = match self.layout {
            Layout::Written => return Ok(false),
            Layout::Unwritten | Layout::Extending => 0,
            Layout::Append => self.size,
        };
        self.file
            .set_len(keep)
            .map_err(|e| Fail::os(format_args!("truncate {} to {keep} bytes", self.path), &e))?;
        if self.layout == Layout::Unwritten {
            self.allocate()?;
        }
        self.fsync()?;
        sync();
        self.audit()?;
        Ok(true)
    }

    /// Whether the file at its path is still this one, as long as it must be before a run, and as
    /// long or, if a run extends it, longer after one. Its inode is not reused while it is open.
    ///
    /// # Errors
    /// Says what is there instead, and when.
    pub fn refuse_replaced(&self, when: &str) -> Result<()> {
        let path = &self.path;
        let here = self
            .file
            .metadata()
            .map_err(|e| Fail::os(format_args!("fstat {path}"), &e))?;
        if self.part.is_some() {
            let there = fs::metadata(path).map(|there| there.rdev()).ok();
            return match there == Some(here.rdev()) {
                true => Ok(()),
                false => Err(Fail::wrong(format!(
                    "{when} {path} is no longer the device"
                ))),
            };
        }
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Fail::wrong(format!(
                    "{when} the file that was laid out is gone from {path}"
                )));
            }
            Err(e) => return Err(Fail::os(format_args!("stat {path}"), &e)),
        };
        if (here.dev(), here.ino()) != (there.dev(), there.ino()) {
            return Err(Fail::wrong(format!(
                "{when} another file is at {path} than the one that was laid out and checked (inode \
                 {}, not {}), of {} bytes, not {}",
                there.ino(),
                here.ino(),
                there.len(),
                self.size
            )));
        }
        let grown = self.layout.grows() && there.len() > self.size;
        if there.len() == self.size || grown {
            return Ok(());
        }
        Err(Fail::wrong(format!(
            "{when} {path} is {} bytes long, not {}",
            there.len(),
            self.size
        )))
    }

    /// An open file as it is, for tests of what runs over it.
    #[cfg(test)]
    pub fn as_it_is(file: File, workload: &Workload) -> PreparedFile {
        PreparedFile {
            file,
            extents: 0,
            path: "a file of a test".into(),
            part: None,
            thread: 0,
            behind: 0,
            layout: workload.layout,
            dsync: false,
            size: workload.file_size,
            block: workload.block_size as usize,
        }
    }

    /// Whole blocks of one transfer, in bytes.
    fn transfer(&self) -> usize {
        self.block * (TRANSFER / self.block).max(1)
    }

    /// Offset and length of each transfer over a span.
    fn transfers(&self, span: Range<u64>) -> impl Iterator<Item = (u64, usize)> + use<> {
        let (step, end) = (self.transfer(), span.end);
        span.step_by(step).map(move |offset| {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            (offset, left.min(step))
        })
    }

    fn write_all(&mut self) -> Result<()> {
        let mut buffer = Buffer::new(self.transfer())?;
        content::fill(buffer.bytes_mut(), self.block);
        for (offset, len) in self.transfers(self.span()) {
            let bytes = &mut buffer.bytes_mut()[..len];
            for (i, block) in (0u64..).zip(bytes.chunks_exact_mut(self.block)) {
                content::stamp(block, offset + i * self.block as u64, 0);
            }
            self.file.write_all_at(bytes, offset).map_err(|e| {
                let doing = format!("write {len} bytes at offset {offset} of {}", self.path);
                Fail::os(doing, &e)
            })?;
        }
        Ok(())
    }

    /// The file's length now, in bytes.
    fn len(&self) -> Result<u64> {
        let meta = self.file.metadata();
        meta.map(|m| m.len())
            .map_err(|e| Fail::os(format_args!("fstat {}", self.path), &e))
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// When it is longer or shorter than what was written.
    fn whole(&self, written: &impl Fn(u64) -> Option<u64>) -> Result<Range<u64>> {
        let size = self.len()?;
        if size < self.size || !size.is_multiple_of(self.block as u64) || written(size).is_some() {
            return Err(Fail::wrong(format!(
                "{} is {size} bytes long, not as long as what was written",
                self.path
            )));
        }
        Ok(0..size)
    }

    /// Reads the whole file and checks every block; returns their number. `written` is the
    /// generation of the workload's last write of the block at an offset, if it wrote it.
    ///
    /// # Errors
    /// A failed read, the first wrong block, or a file that is longer or shorter than what was
    /// written.
    pub fn verify(&self, written: impl Fn(u64) -> Option<u64>) -> Result<u64> {
        let mut buffer = Buffer::new(self.transfer())?;
        let mut template = vec![0; self.block];
        content::fill(&mut template, self.block);
        let mut blocks = 0;
        let span = match self.part {
            Some(_) => self.span(),
            None => self.whole(&written)?,
        };
        for (offset, len) in self.transfers(span) {
            let bytes = &mut buffer.bytes_mut()[..len];
            self.file.read_exact_at(bytes, offset).map_err(|e| {
                let doing = format!("read {len} bytes at offset {offset} of {}", self.path);
                Fail::os(doing, &e)
            })?;
            let mut at = offset;
            for block in bytes.chunks_exact(self.block) {
                match (written(at), self.layout) {
                    (Some(generation), _) => content::check(block, &template, at, generation)?,
                    (None, Layout::Unwritten) => content::check_zero(block, at)?,
                    // As the preparation left it.
                    (None, _) if at < self.span().end => content::check(block, &template, at, 0)?,
                    (None, _) => {
                        let what = format!("the file has a block at {at} that no one wrote");
                        return Err(Fail::wrong(what));
                    }
                }
                at += self.block as u64;
                blocks += 1;
            }
        }
        Ok(blocks)
    }

    /// What of the way in which the file is open is not as the workload wants it, as the kernel
    /// says; nothing if all is.
    ///
    /// # Errors
    /// fcntl(2)'s.
    pub fn wrong_flag(&self) -> Result<Option<&'static str>> {
        // SAFETY: an open descriptor.
        let flags = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETFL) };
        sys::check(flags.into()).map_err(|e| Fail::os("fcntl F_GETFL", &e))?;
        Ok(wrong_flag(flags, self.dsync))
    }

    /// Pages of the file in the page cache; of a device, those of this part of it.
    ///
    /// # Errors
    /// As [`cached_pages`].
    pub fn cached_pages(&self) -> Result<u64> {
        match self.part {
            Some(_) => cached_within(&self.file, self.span()),
            None => cached_pages(&self.file),
        }
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
    cached_within(file, 0..size)
}

/// Pages of some of a file's or device's bytes in the page cache.
fn cached_within(file: &File, span: Range<u64>) -> Result<u64> {
    // A mapping begins at a page.
    let start = span.start / PAGE as u64 * PAGE as u64;
    let (Ok(len), Ok(offset)) = (usize::try_from(span.end - start), start.try_into()) else {
        return Err(Fail::protocol(format!("bytes {span:?} are too many")));
    };
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
            offset,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(Fail::os("mmap the file", &io::Error::last_os_error()));
    }
    // SAFETY: the mapping above, and one byte for each of its pages.
    let returned = unsafe { libc::mincore(map, len, pages.as_mut_ptr()) };
    let result = sys::check(returned.into());
    // SAFETY: the mapping above, not used again.
    unsafe { libc::munmap(map, len) };
    result.map_err(|e| Fail::os("mincore the file", &e))?;
    Ok(pages.iter().filter(|&&p| p & 1 != 0).count() as u64)
}

/// What is wrong with the flags of an open file.
fn wrong_flag(flags: libc::c_int, dsync: bool) -> Option<&'static str> {
    let is = |flag| flags & flag == flag;
    match (is(libc::O_DIRECT), is(libc::O_DSYNC)) {
        (false, _) => Some("is not open O_DIRECT"),
        (true, false) if dsync => Some("is not open O_DSYNC"),
        (true, true) if !dsync => Some("is open O_DSYNC"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_at_the_path_is_found_and_so_is_another_length() {
        let dir = std::env::temp_dir().join(format!("diorama-agent-file-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("data");
        fs::write(&path, [0; 8192]).unwrap();
        let prepared = |layout| PreparedFile {
            file: File::open(&path).unwrap(),
            extents: 0,
            path: path.to_str().unwrap().into(),
            part: None,
            thread: 0,
            behind: 0,
            layout,
            dsync: false,
            size: 8192,
            block: 4096,
        };
        let (written, append) = (prepared(Layout::Written), prepared(Layout::Append));
        let said = |file: &PreparedFile| {
            file.refuse_replaced("after a run")
                .map_err(|f| f.to_string())
        };
        assert_eq!(said(&written), Ok(()));

        fs::write(&path, [0; 12288]).unwrap();
        assert!(
            said(&written)
                .unwrap_err()
                .contains("12288 bytes long, not 8192")
        );
        assert_eq!(said(&append), Ok(()));
        fs::write(&path, [0; 4096]).unwrap();
        assert!(said(&append).unwrap_err().contains("4096 bytes long"));

        // What fio does with a file that it finds too short.
        fs::remove_file(&path).unwrap();
        assert!(said(&written).unwrap_err().contains("is gone"));
        fs::write(&path, [0; 8192]).unwrap();
        assert!(said(&written).unwrap_err().contains("another file is at"));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_file_that_is_open_another_way_is_found() {
        let (direct, dsync) = (libc::O_RDWR | libc::O_DIRECT, libc::O_DSYNC);
        assert_eq!(wrong_flag(direct, false), None);
        assert_eq!(wrong_flag(direct | dsync, true), None);
        assert_eq!(
            wrong_flag(libc::O_RDWR, false),
            Some("is not open O_DIRECT")
        );
        assert_eq!(wrong_flag(direct, true), Some("is not open O_DSYNC"));
        assert_eq!(wrong_flag(direct | dsync, false), Some("is open O_DSYNC"));
    }
}
