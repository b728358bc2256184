//! How much an image may have of anything: all of it is said by a stranger, and checked before
//! memory or disk is given for it (pure).

/// Bytes of a whole image.
pub const IMAGE: u64 = 16 << 30;
/// Entries of the container: `oci-layout`, `index.json`, and the blobs.
pub const ENTRIES: usize = 72;
/// Parts.
pub const PARTS: usize = 64;
/// Rows: kernels, as the scenario is written and with each of its variants.
pub const ROWS: usize = 1000;
/// Bytes of `index.json` and of OCI's manifest.
pub const DOCUMENT: u64 = 1 << 20;
/// Bytes of Diorama's own manifest.
pub const MANIFEST: u64 = 16 << 20;
/// Bytes of a part, compressed or not.
pub const PART: u64 = 4 << 30;
/// Bytes of all parts together, unpacked.
pub const UNPACKED: u64 = 16 << 30;
/// Files, directories and links of a part.
pub const FILES: usize = 20_000;
/// Bytes of a path; more do not fit a ustar header.
pub const PATH: usize = 255;
/// Bytes of `results.json`.
pub const RESULTS: u64 = 256 << 20;
/// Bytes of an initramfs, which is put together in memory.
pub const INITRAMFS: u64 = 512 << 20;
/// Entries of an initramfs.
pub const CPIO_ENTRIES: usize = 4096;
/// Cells of a scenario.
pub const CELLS: usize = 10_000;
/// Bytes of a text of the manifest's, where it is not a path.
pub const TEXT: usize = 4096;
/// Base-two logarithm of the largest window that a part may make the decoder keep.
pub const ZSTD_WINDOW_LOG: u32 = 24;
