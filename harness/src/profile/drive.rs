//! The model device's moving of data: what a real drive's DMA does without the CPU.

use super::Stacks;

/// null_blk's module, and how a frame of it ends.
const MODULE: &str = " [null_blk]";

/// null_blk's functions that find and move a request's data, with everything they call
/// (drivers/block/null_blk/main.c, 5.4 to 7.2). Which of them a compiler leaves standing differs.
const MOVERS: [&str; 12] = [
    "null_handle_data_transfer",
    "null_handle_memory_backed",
    "null_handle_rq",
    "null_handle_bio",
    "null_transfer",
    "copy_to_nullb",
    "copy_from_nullb",
    "null_lookup_page",
    "__null_lookup_page",
    "null_insert_page",
    "null_radix_tree_insert",
    "null_flush_cache_page",
];

/// Instructions of the profiled windows that moved data.
#[must_use]
pub fn instructions(stacks: &Stacks) -> u64 {
    let of_drive = |frames: &[String]| frames.iter().any(|f| is_mover(f));
    stacks
        .stacks
        .iter()
        .filter(|s| of_drive(&s.frames))
        .map(|s| s.instructions)
        .sum()
}

/// Whether a frame is one of the functions that move data.
#[must_use]
pub fn is_mover(frame: &str) -> bool {
    let name = frame.strip_suffix(MODULE).unwrap_or(frame);
    MOVERS.contains(&name)
}
