//! The file's extents, by FIEMAP (Documentation/filesystems/fiemap.rst).

use crate::{
    fail::{Fail, Result},
    sys,
};
use std::{fs::File, os::fd::AsRawFd};

/// `struct fiemap_extent`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// First byte in the file.
    pub logical: u64,
    /// First byte on the device.
    pub physical: u64,
    /// Length in bytes.
    pub length: u64,
    reserved64: [u64; 2],
    /// `FIEMAP_EXTENT_*`
    pub flags: u32,
    reserved: [u32; 3],
}

/// Extents asked for at once. A file in more pieces is refused: it is not the file we meant.
const MAX_EXTENTS: usize = 256;

/// `struct fiemap` with room for its extents.
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [Extent; MAX_EXTENTS],
}

/// `_IOWR('f', 11, struct fiemap)`
const FS_IOC_FIEMAP: libc::Ioctl = 0xc020_660b;
/// `FIEMAP_FLAG_SYNC`
const FLAG_SYNC: u32 = 1;

/// `FIEMAP_EXTENT_UNWRITTEN`
const UNWRITTEN: u32 = 0x800;

/// `FIEMAP_EXTENT_*` that a private, block-aligned extent must not have.
const BAD: [(u32, &str); 8] = [
    (0x2, "UNKNOWN"),
    (0x4, "DELALLOC"),
    (0x8, "ENCODED"),
    (0x80, "DATA_ENCRYPTED"),
    (0x100, "NOT_ALIGNED"),
    (0x200, "DATA_INLINE"),
    (0x400, "DATA_TAIL"),
    (0x2000, "SHARED"),
];

/// Asks the kernel for the file's extents.
///
/// # Errors
/// The ioctl's.
pub fn map(file: &File) -> Result<Vec<Extent>> {
    let mut request = Box::new(Fiemap {
        start: 0,
        length: u64::MAX,
        flags: FLAG_SYNC,
        mapped_extents: 0,
        extent_count: u32::try_from(MAX_EXTENTS).unwrap_or(u32::MAX),
        reserved: 0,
        extents: [Extent::default(); MAX_EXTENTS],
    });
    // SAFETY: a valid request with room for as many extents as it says.
    let returned = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, &raw mut *request) };
    sys::check(returned.into()).map_err(|e| Fail::os("ioctl FS_IOC_FIEMAP", &e))?;
    let mapped = (request.mapped_extents as usize).min(MAX_EXTENTS);
    Ok(request.extents[..mapped].to_vec())
}

/// Whether extents hold data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They do.
    Written,
    /// They are allocated only.
    Unwritten,
}

/// Checks that the extents cover `size` bytes without a hole, that there are none for a size of 0,
/// and that each is plainly in this state; returns their number. Anything else hides the effect
/// that is measured.
///
/// # Errors
/// Says which extent is wrong and how.
pub fn audit(extents: &[Extent], size: u64, state: State) -> Result<u32, String> {
    let mut covered = 0;
    for extent in extents {
        if extent.logical != covered {
            return Err(format!(
                "the file has a hole at {covered}: its next extent begins at {}",
                extent.logical
            ));
        }
        if let Some((_, name)) = BAD.iter().find(|(bit, _)| extent.flags & bit != 0) {
            return Err(format!(
                "the file's extent at {covered} ({} bytes) is {name}",
                extent.length
            ));
        }
        if (extent.flags & UNWRITTEN != 0) != (state == State::Unwritten) {
            let is = match state {
                State::Written => "UNWRITTEN",
                State::Unwritten => "not UNWRITTEN",
            };
            return Err(format!(
                "the file's extent at {covered} ({} bytes) is {is}",
                extent.length
            ));
        }
        covered += extent.length;
    }
    if size == 0 && covered > 0 {
        return Err(format!("the empty file has {covered} bytes allocated"));
    }
    if covered < size {
        return Err(format!(
            "the file's {} extents cover {covered} of {size} bytes",
            extents.len()
        ));
    }
    u32::try_from(extents.len()).map_err(|_| format!("{} extents", extents.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(logical: u64, length: u64, flags: u32) -> Extent {
        Extent {
            logical,
            length,
            flags,
            ..Extent::default()
        }
    }

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<Extent>(), 56);
        assert_eq!(size_of::<Fiemap>(), 32 + MAX_EXTENTS * 56);
    }

    #[test]
    fn a_whole_written_file_passes() {
        // 1 is FIEMAP_EXTENT_LAST, 0x1000 FIEMAP_EXTENT_MERGED.
        assert_eq!(
            audit(&[extent(0, 8, 0x1000), extent(8, 8, 1)], 16, State::Written),
            Ok(2)
        );
    }

    #[test]
    fn unwritten_extents_holes_and_short_maps_are_refused() {
        let refused = |e: &[Extent]| audit(e, 16, State::Written).unwrap_err();
        insta::assert_snapshot!(refused(&[extent(0, 16, 0x801)]), @"the file's extent at 0 (16 bytes) is UNWRITTEN");
        insta::assert_snapshot!(refused(&[extent(0, 4, 0), extent(8, 8, 1)]), @"the file has a hole at 4: its next extent begins at 8");
        insta::assert_snapshot!(refused(&[extent(0, 8, 1)]), @"the file's 1 extents cover 8 of 16 bytes");
        insta::assert_snapshot!(refused(&[]), @"the file's 0 extents cover 0 of 16 bytes");
    }
    #[test]
    fn an_allocated_file_must_be_unwritten_throughout_and_an_empty_one_hold_nothing() {
        let whole = [extent(0, 16, 0x801)];
        assert_eq!(audit(&whole, 16, State::Unwritten), Ok(1));
        let mixed = [extent(0, 8, 0x800), extent(8, 8, 1)];
        insta::assert_snapshot!(audit(&mixed, 16, State::Unwritten).unwrap_err(), @"the file's extent at 8 (8 bytes) is not UNWRITTEN");
        assert_eq!(audit(&[], 0, State::Written), Ok(0));
        insta::assert_snapshot!(audit(&[extent(0, 8, 1)], 0, State::Written).unwrap_err(), @"the empty file has 8 bytes allocated");
    }
}
