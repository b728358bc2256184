//! What the file's blocks hold, and how one is recognised.
//!
//! A block (the workload's `bs`) begins with a header of 16 bytes: its offset in the file and its
//! generation, both little-endian u64. The generation is the number of the pass over the file that
//! wrote it: 0 for the preparation, then 1, 2, ... for each round of the workload's writes; in a file
//! that threads share its upper bits are the thread. The rest is the same in every block of the cell: 64-bit words of SplitMix64 of their index. So a
//! buffer is made once and then stamped with two stores, and a block that is misplaced, torn,
//! stale or never written is told apart.

use crate::fail::{Fail, Result};
use std::alloc::{self, Layout};

/// Length of a block's header in bytes.
pub const HEADER: usize = 16;

/// Alignment of every buffer in bytes: a page, which satisfies any device's `O_DIRECT`.
pub const ALIGNMENT: usize = 4096;

/// Above this bit a generation has the number of the thread that wrote it, where threads share a file:
/// none makes as many passes.
const THREAD_BIT: u32 = 48;

/// The generation of a thread's first pass over a file that it shares with others.
pub fn first_generation(thread: u32) -> u64 {
    (u64::from(thread) << THREAD_BIT) + 1
}

/// Which thread's write a generation is of, in a file that threads share; none of the preparation's.
pub fn writer(generation: u64) -> Option<u32> {
    let pass = generation & ((1 << THREAD_BIT) - 1);
    let thread = u32::try_from(generation >> THREAD_BIT).ok()?;
    (pass > 0).then_some(thread)
}

/// The body's word at `index` (SplitMix64's output function; Steele, Lea, Flood 2014).
fn body_word(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes every block's body; headers are left alone.
pub fn fill(buffer: &mut [u8], block: usize) {
    for block in buffer.chunks_exact_mut(block) {
        for (i, word) in (0u64..).zip(block[HEADER..].chunks_mut(8)) {
            word.copy_from_slice(&body_word(i).to_le_bytes()[..word.len()]);
        }
    }
}

/// Writes a block's header.
pub fn stamp(block: &mut [u8], offset: u64, generation: u64) {
    block[..8].copy_from_slice(&offset.to_le_bytes());
    block[8..HEADER].copy_from_slice(&generation.to_le_bytes());
}

/// Checks one block against what it must hold; `template` is a filled block of equal length.
///
/// # Errors
/// Says what differs, where, and what was expected.
pub fn check(block: &[u8], template: &[u8], offset: u64, generation: u64) -> Result<()> {
    let (found_offset, found_generation) = header(block);
    if (found_offset, found_generation) != (offset, generation) {
        return Err(mismatch(offset, generation, found_offset, found_generation));
    }
    if block[HEADER..] == template[HEADER..] {
        return Ok(());
    }
    let at = (HEADER..block.len())
        .find(|&i| block[i] != template[i])
        .unwrap_or(HEADER);
    Err(Fail::wrong(format!(
        "the block at offset {offset} holds {:#04x} instead of {:#04x} at its byte {at}",
        block[at], template[at]
    )))
}

/// The failure for a block with another header than expected.
pub fn mismatch(
    offset: u64,
    generation: u64,
    found_offset: u64,
    found_generation: u64,
) -> Box<Fail> {
    Fail::wrong(format!(
        "the block at offset {offset} must carry offset {offset}, generation {generation}, but \
         carries offset {found_offset}, generation {found_generation}"
    ))
}

/// The offset and the generation that a block carries.
pub fn header(block: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&block[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (word(0), word(8))
}

/// Checks that a block reads as zeros: allocated, and never written.
///
/// # Errors
/// Says where it does not.
pub fn check_zero(block: &[u8], offset: u64) -> Result<()> {
    match block.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => Err(Fail::wrong(format!(
            "the block at offset {offset} was never written, but holds {:#04x} at its byte {at}",
            block[at]
        ))),
    }
}

/// A zeroed buffer whose address is a multiple of [`ALIGNMENT`]. Its pages are touched when it
/// is made, so that no page fault falls into a measurement.
pub struct Buffer {
    start: *mut u8,
    layout: Layout,
}

impl Buffer {
    /// A buffer of `len` bytes (more than 0).
    ///
    /// # Errors
    /// When the guest has no memory for it.
    pub fn new(len: usize) -> Result<Buffer> {
        let none = || Fail::step(format!("allocate {len} bytes for a buffer"));
        let layout = Layout::from_size_align(len, ALIGNMENT).map_err(|_| none())?;
        if len == 0 {
            return Err(none());
        }
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc::alloc(layout) };
        if start.is_null() {
            return Err(none());
        }
        // SAFETY: just allocated with this length. It touches every page.
        unsafe { start.write_bytes(0, len) };
        Ok(Buffer { start, layout })
    }

    /// Its first byte, for the kernel.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    /// Its bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: allocated, initialised and owned for as long as `self`, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.layout.size()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.start, self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 512;

    fn prepared() -> (Vec<u8>, Vec<u8>) {
        let mut template = vec![0; BLOCK];
        fill(&mut template, BLOCK);
        let mut block = template.clone();
        stamp(&mut block, 8192, 3);
        (block, template)
    }

    #[test]
    fn a_block_as_written_passes() {
        let (block, template) = prepared();
        check(&block, &template, 8192, 3).unwrap();
    }

    #[test]
    fn a_stale_a_misplaced_and_a_corrupt_block_are_refused_with_their_difference() {
        let (mut block, template) = prepared();
        insta::assert_snapshot!(check(&block, &template, 8192, 4).unwrap_err(), @"the block at offset 8192 must carry offset 8192, generation 4, but carries offset 8192, generation 3");
        insta::assert_snapshot!(check(&block, &template, 4096, 3).unwrap_err(), @"the block at offset 4096 must carry offset 4096, generation 3, but carries offset 8192, generation 3");
        block[BLOCK - 1] ^= 1;
        let torn = check(&block, &template, 8192, 3).unwrap_err().to_string();
        assert!(torn.ends_with("at its byte 511"), "{torn}");
    }

    #[test]
    fn every_single_flipped_bit_of_a_block_is_found() {
        let (block, template) = prepared();
        for bit in 0..BLOCK * 8 {
            let mut broken = block.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&broken, &template, 8192, 3).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_block_that_was_never_written_holds_zeros() {
        let mut block = vec![0; BLOCK];
        check_zero(&block, 4096).unwrap();
        block[7] = 1;
        insta::assert_snapshot!(check_zero(&block, 4096).unwrap_err(), @"the block at offset 4096 was never written, but holds 0x01 at its byte 7");
    }

    #[test]
    fn bodies_are_equal_in_every_block_and_never_zero() {
        let mut two = vec![0; 2 * BLOCK];
        fill(&mut two, BLOCK);
        assert_eq!(two[HEADER..BLOCK], two[BLOCK + HEADER..]);
        assert!(two[HEADER..BLOCK].chunks_exact(8).all(|w| w != [0; 8]));
    }

    #[test]
    fn a_block_of_any_length_has_a_whole_body() {
        for block in [1536, 12 << 10, (4 << 20) - 512] {
            let mut template = vec![0; block];
            fill(&mut template, block);
            stamp(&mut template, 0, 1);
            let mut torn = template.clone();
            *torn.last_mut().unwrap() ^= 1;
            check(&template, &template, 0, 1).unwrap();
            assert!(check(&torn, &template, 0, 1).is_err(), "{block}");
        }
    }

    #[test]
    fn a_buffer_is_aligned_and_zeroed() {
        let mut buffer = Buffer::new(3 * BLOCK).unwrap();
        assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
        assert_eq!(buffer.bytes_mut(), vec![0; 3 * BLOCK]);
    }
}
