//! The I/O of one cell, in fio's terms (fio's HOWTO).

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The I/O engine (`ioengine`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// io_submit(2) / io_getevents(2) by raw system calls.
    Libaio,
    /// io_uring_enter(2) over a ring of one's own.
    IoUring,
    /// pread(2) / pwrite(2), or pwritev2(2) where a flag is asked for; one I/O at a time.
    Psync,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Engine; 3] = [Engine::Libaio, Engine::IoUring, Engine::Psync];

    /// fio's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Engine::Libaio => "libaio",
            Engine::IoUring => "io_uring",
            Engine::Psync => "psync",
        }
    }
}

/// The direction and order of the offsets (`rw`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rw {
    /// Sequential reads.
    Read,
    /// Sequential writes.
    Write,
    /// Random reads.
    Randread,
    /// Random writes.
    Randwrite,
    /// Sequential, reads and writes mixed.
    Rw,
    /// Random, reads and writes mixed.
    Randrw,
}

impl Rw {
    /// Every direction.
    pub const ALL: [Rw; 6] = [
        Rw::Read,
        Rw::Write,
        Rw::Randread,
        Rw::Randwrite,
        Rw::Rw,
        Rw::Randrw,
    ];

    /// fio's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rw::Read => "read",
            Rw::Write => "write",
            Rw::Randread => "randread",
            Rw::Randwrite => "randwrite",
            Rw::Rw => "rw",
            Rw::Randrw => "randrw",
        }
    }

    /// Whether any of its I/Os are reads.
    #[must_use]
    pub fn reads(self) -> bool {
        !matches!(self, Rw::Write | Rw::Randwrite)
    }

    /// Whether any of its I/Os are writes.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Rw::Read | Rw::Randread)
    }

    /// Whether it is both.
    #[must_use]
    pub fn is_mixed(self) -> bool {
        self.reads() && self.writes()
    }

    /// Whether its offsets are random.
    #[must_use]
    pub fn is_random(self) -> bool {
        matches!(self, Rw::Randread | Rw::Randwrite | Rw::Randrw)
    }
}

/// The state of the file that a repetition begins with.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Every block written with direct I/O and synced (`overwrite=1`). Only this one runs on from
    /// one repetition to the next; the others are laid out anew, uncounted, before each.
    #[default]
    Written,
    /// Allocated by fallocate(2) and never written (`fallocate=native`, `overwrite=0`).
    Unwritten,
    /// Empty; every write extends it (`fallocate=none`, `overwrite=0`).
    Extending,
    /// `file_size` bytes written, and the workload's writes go behind them (`file_append=1`).
    Append,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 4] = [
        Layout::Written,
        Layout::Unwritten,
        Layout::Extending,
        Layout::Append,
    ];

    /// The word used on the wire and in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layout::Written => "written",
            Layout::Unwritten => "unwritten",
            Layout::Extending => "extending",
            Layout::Append => "append",
        }
    }

    /// Whether a write makes the file longer.
    #[must_use]
    pub fn grows(self) -> bool {
        matches!(self, Layout::Extending | Layout::Append)
    }
}

/// How each write is made durable.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// It is not.
    #[default]
    None,
    /// The file is open `O_DSYNC` (`sync=dsync`).
    Dsync,
    /// Each write carries `RWF_DSYNC` (pwritev2(2); fio has no such option).
    RwfDsync,
}

impl Sync {
    /// The word used on the wire and in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Sync::None => "none",
            Sync::Dsync => "dsync",
            Sync::RwfDsync => "rwf_dsync",
        }
    }
}

/// How many I/Os are submitted and completed at once. The default is fio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// `iodepth_batch`
    pub submit: u32,
    /// `iodepth_batch_complete_min`
    pub complete_min: u32,
    /// `iodepth_batch_complete_max`
    pub complete_max: u32,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            submit: 1,
            complete_min: 1,
            complete_max: 1,
        }
    }
}

/// The io_uring engine's options, named as fio names them. The default is fio's: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoUring {
    /// The buffers are registered (`IORING_REGISTER_BUFFERS`, `IORING_OP_READ_FIXED`).
    pub fixedbufs: bool,
    /// The files are registered (`IORING_REGISTER_FILES`, `IOSQE_FIXED_FILE`).
    pub registerfiles: bool,
    /// Completions are polled for (`IORING_SETUP_IOPOLL`).
    pub hipri: bool,
}

/// One fio-like job with direct I/O. Every thread has a file of its own, or all have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// `ioengine`
    pub engine: Engine,
    /// `rw`
    pub rw: Rw,
    /// `rwmixread`: percent of the I/Os that are reads, 0 to 100; used by mixed directions only.
    pub rwmixread: u32,
    /// `randseed`: used by random and mixed directions only.
    pub randseed: u64,
    /// `bs`, in bytes: a multiple of the device's block size, at most [`Workload::MAX_BLOCK`].
    pub block_size: u32,
    /// `iodepth`, per thread.
    pub iodepth: u32,
    /// `iodepth_batch` and its relatives.
    pub batch: Batch,
    /// `numjobs`: threads, each with its own file of `file_size` bytes unless they share one.
    pub numjobs: u32,
    /// `filename`: all threads have the file of this name, each through a descriptor of its own. Empty:
    /// each has a file of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filename: String,
    /// `offset_increment`, in bytes: where in a shared file each thread's part begins behind the
    /// beginning of the one before; a multiple of the block size. 0: all have the same part.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset_increment: u64,
    /// `size` of each thread's file before a repetition, or of its part of a shared one, in bytes; a
    /// multiple of the block size, 0 for [`Layout::Extending`].
    pub file_size: u64,
    /// The file's state before a repetition.
    pub layout: Layout,
    /// How each write is made durable.
    pub sync: Sync,
    /// `fdatasync`: fdatasync(2) after every so many writes of a thread; 0 is never.
    pub fdatasync: u32,
    /// The io_uring engine's options.
    pub io_uring: IoUring,
    /// When a repetition ends.
    pub bound: Bound,
}

impl Workload {
    /// The largest block in bytes: what the agent keeps of it, one for each I/O in flight, must fit
    /// beside the drive's data.
    pub const MAX_BLOCK: u32 = 4 << 20;

    /// `rwmixread` unless said otherwise: fio's default.
    pub const RWMIXREAD: u32 = 50;

    /// `randseed` unless said otherwise.
    pub const RANDSEED: u64 = 0x8988;

    /// Bytes of all blocks in flight, of all threads together.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::from(self.block_size) * u64::from(self.iodepth) * u64::from(self.numjobs)
    }

    /// Whether all threads have one file.
    #[must_use]
    pub fn shares_a_file(&self) -> bool {
        !self.filename.is_empty()
    }

    /// Files that are laid out.
    #[must_use]
    pub fn files(&self) -> u32 {
        if self.shares_a_file() {
            1
        } else {
            self.numjobs
        }
    }

    /// Bytes of each file before a repetition: of a shared one, to where the last thread's part ends.
    #[must_use]
    pub fn file_length(&self) -> u64 {
        if !self.shares_a_file() {
            return self.file_size;
        }
        let before =
            u64::from(self.numjobs.saturating_sub(1)).saturating_mul(self.offset_increment);
        before.saturating_add(self.file_size)
    }

    /// Where in its file a thread's blocks are, in bytes.
    #[must_use]
    pub fn part(&self, thread: u32) -> Range<u64> {
        let start = u64::from(thread).saturating_mul(self.offset_increment);
        start..start.saturating_add(self.file_size)
    }

    /// Whether a block of the file may be another thread's as well.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        self.shares_a_file() && self.numjobs > 1 && self.offset_increment < self.file_size
    }

    /// A workload with every other field at its default: one thread over one file of written
    /// blocks, fio's batches, nothing made durable.
    #[must_use]
    pub fn new(
        engine: Engine,
        rw: Rw,
        block_size: u32,
        iodepth: u32,
        file_size: u64,
        bound: Bound,
    ) -> Workload {
        Workload {
            engine,
            rw,
            rwmixread: Workload::RWMIXREAD,
            randseed: Workload::RANDSEED,
            block_size,
            iodepth,
            batch: Batch::default(),
            numjobs: 1,
            filename: String::new(),
            offset_increment: 0,
            file_size,
            layout: Layout::default(),
            sync: Sync::default(),
            fdatasync: 0,
            io_uring: IoUring::default(),
            bound,
        }
    }
}

/// serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// When a repetition ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// After this many nanoseconds of guest time (`time_based`, `runtime`).
    Runtime(u64),
    /// After this many I/Os of each thread (`number_ios`).
    Ios(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_speaks_fios_words() {
        let spoken = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap();
        for engine in Engine::ALL {
            assert_eq!(spoken(serde_json::to_value(engine).unwrap()), engine.name());
        }
        for rw in Rw::ALL {
            assert_eq!(spoken(serde_json::to_value(rw).unwrap()), rw.name());
        }
        for layout in Layout::ALL {
            assert_eq!(spoken(serde_json::to_value(layout).unwrap()), layout.name());
        }
        for sync in [Sync::None, Sync::Dsync, Sync::RwfDsync] {
            assert_eq!(spoken(serde_json::to_value(sync).unwrap()), sync.name());
        }
    }

    #[test]
    fn a_direction_reads_or_writes_or_both() {
        for rw in Rw::ALL {
            assert!(rw.reads() || rw.writes(), "{rw:?}");
            assert_eq!(rw.is_mixed(), rw.name().ends_with("rw"), "{rw:?}");
            assert_eq!(rw.is_random(), rw.name().starts_with("rand"), "{rw:?}");
        }
    }
}
