//! What the guest reports of a cell. Every number here is guest-side: under the instruction
//! clock all of it must be equal, digit by digit, whenever the inputs are equal.

use crate::{Conditioned, FioReport};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// A measured cell, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellReport {
    /// [`crate::Job::cell`], echoed.
    pub cell: String,
    /// What the guest found at its start.
    pub boot: BootFacts,
    /// The block device as the kernel describes it.
    pub device: DeviceFacts,
    /// What was done to it first, where anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditioned: Option<Conditioned>,
    /// [`crate::Job::throttle_iops`], which was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_iops: Option<NonZeroU64>,
    /// The file system as made and mounted.
    pub filesystem: FilesystemFacts,
    /// The I/O engine as this kernel offers it.
    pub engine: EngineFacts,
    /// Every counted repetition, in order.
    pub repetitions: Vec<Repetition>,
    /// What fio said, where it was the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fio: Option<FioReport>,
    /// Why one may believe that the I/O was what it claims to be.
    pub evidence: Evidence,
}

/// The guest after its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootFacts {
    /// uname -r
    pub release: String,
    /// uname -v
    pub version: String,
    /// /proc/cmdline
    pub cmdline: String,
    /// Current clocksource.
    pub clocksource: String,
    /// /proc/sys/kernel/tainted (0 is clean; 8192 is an unsigned module).
    pub taint: u64,
    /// Online CPUs.
    pub cpus: u32,
    /// MemTotal in KiB.
    pub mem_total_kib: u64,
    /// The last of the spins that proved the guest quiet; none by the wall clock, where none can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<SpinCheck>,
    /// Loaded modules, in load order.
    pub modules: Vec<String>,
}

/// A spin of known length, timed by the guest's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpinCheck {
    /// Instructions the spin executes; under the instruction clock also its length in ns.
    pub instructions: u64,
    /// How long it took, in nanoseconds of guest time.
    pub took_ns: u64,
    /// How many spins it took until one was quiet.
    pub attempts: u32,
}

/// The block device as the kernel describes it (/sys/block/*/queue and size).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFacts {
    /// Kernel name, for the log only.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// The active scheduler.
    pub scheduler: String,
    /// queue/nr_requests
    pub nr_requests: u32,
    /// queue/logical_block_size
    pub logical_block_size: u32,
    /// queue/write_cache
    pub write_cache: String,
    /// queue/fua, where the kernel has it.
    pub fua: Option<u32>,
    /// queue/max_sectors_kb
    pub max_sectors_kb: u32,
    /// What the controller says of itself, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvme: Option<NvmeFacts>,
}

/// An NVMe controller's own words (/sys/class/nvme/*), without the blanks around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvmeFacts {
    /// Model number.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware revision.
    pub firmware: String,
    /// I/O queues that the driver uses (blk-mq hardware contexts).
    pub queues: u32,
    /// Smallest piece in bytes that the drive can discard (queue/discard_granularity).
    #[serde(default)]
    pub discard_granularity: u64,
    /// Most bytes of one discard (queue/discard_max_bytes); 0: the drive has none.
    #[serde(default)]
    pub discard_max_bytes: u64,
}

/// The file system as made and mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesystemFacts {
    /// ext4 or xfs.
    pub kind: String,
    /// The whole mkfs command line.
    pub mkfs: Vec<String>,
    /// Effective mount options, from /proc/mounts.
    pub mount_options: String,
    /// Extents of the prepared files (FIEMAP), each as [`crate::Layout`] has it.
    pub extents: u32,
}

/// The I/O engine as this kernel offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFacts {
    /// fio's name for it.
    pub name: String,
    /// What was probed, in the kernel's own words without their prefix, and what of it is used:
    /// io_uring's set-up flags (`setup:...`), features (`feature:...`), opcodes (`op:...`) and the
    /// workload's options (`use:...`).
    /// Empty for engines that have nothing to probe.
    pub features: Vec<String>,
}

/// One bucket of a latency histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyBucket {
    /// Highest latency that the bucket holds, in nanoseconds.
    pub up_to_ns: u64,
    /// I/Os in it.
    pub count: u64,
}

/// One repetition.
///
/// The *window* is what the rate is taken over, the *span* what the counters are taken over.
///
/// * Where the device's bandwidth bounds the rate, the window reaches from one refill of the
///   bandwidth to another, at least as long as was asked for, and holds the I/Os reaped in it; the
///   span reaches on until the last I/O submitted in it was reaped.
/// * Elsewhere window and span are the same: from an empty queue until the last I/O that was
///   submitted in the time asked for was reaped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repetition {
    /// Where in the device's bandwidth period (20 ms, whole ticks of the kernel's) the window opened,
    /// in nanoseconds of guest time; 0 where it opened at a refill.
    pub phase_ns: u64,
    /// Length of the window, in nanoseconds of guest time.
    pub window_ns: u64,
    /// I/Os reaped in the window.
    pub ios: u64,
    /// Bytes moved by those I/Os.
    pub bytes: u64,
    /// How many of those I/Os were reads.
    pub reads: u64,
    /// How many of them were writes; with `reads` it makes `ios`.
    pub writes: u64,
    /// Calls of fdatasync(2) in the span, all threads.
    pub fsyncs: u64,
    /// Length of the span, in nanoseconds of guest time.
    pub span_ns: u64,
    /// I/Os completed in the span (never fewer than `ios`).
    pub span_ios: u64,
    /// Completion latency (submission to reaping) of every I/O of the span; empty buckets left out.
    pub latency: Vec<LatencyBucket>,
    /// Context switches in the span, of the whole guest (`ctxt` in /proc/stat).
    pub context_switches: u64,
    /// Interrupts in the span, of the whole guest (`intr` in /proc/stat, its first figure).
    pub interrupts: u64,
    /// Nanoseconds of the span in which the CPU was not idle; counts instructions under the
    /// instruction clock. From the kernel's idle time (/proc/timer_list) or, from 7.1 on, from the
    /// time that tasks were on the CPU (/proc/schedstat); absent where the kernel has neither, with
    /// several CPUs and with several threads.
    pub busy_ns: Option<u64>,
    /// Nanoseconds of the span spent in the engine's own user-space code between its system calls,
    /// summed over its threads: with several on one CPU, whatever else ran there meanwhile is in it.
    pub user_ns: u64,
    /// Times a kworker thread was put on the CPU in the span (third field of
    /// /proc/PID/schedstat), absent where the kernel has none.
    pub kworker_runs: Option<u64>,
    /// Requests the block device completed in the span, in the workload's direction or directions
    /// (/sys/block/*/stat).
    pub device_ios: u64,
    /// 512-byte sectors of those requests.
    pub device_sectors: u64,
    /// Flush requests that the block device completed in the span (the 16th figure of
    /// /sys/block/*/stat), absent where the kernel does not count them (before 5.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_flushes: Option<u64>,
    /// I/Os reaped in each whole second since the window opened, all threads; by the wall clock alone, and
    /// not of fio, whose output has no such figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_second: Vec<u64>,
}

/// Why one may believe that the I/O was what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// O_DIRECT as fcntl(F_GETFL) shows it on the file the engine used.
    pub o_direct: bool,
    /// Pages of the file in the page cache before the warm-up (mincore), must be 0.
    pub cached_pages_before: u64,
    /// The same after the last repetition, must be 0.
    pub cached_pages_after: u64,
    /// Blocks whose content was checked after the run.
    pub verified_blocks: u64,
    /// Alignment of the engine's buffers in bytes.
    pub buffer_alignment: u32,
}

/// What kind of failure the guest met; each maps onto one outcome of the harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The kernel lacks something the cell needs.
    Unsupported,
    /// What the scenario asks for is refused: by mkfs, of this drive.
    Refused,
    /// A step failed: a system call, a program.
    Step,
    /// The run gave a wrong answer: bytes, pattern, evidence.
    WrongResult,
    /// The guest did not become quiet.
    NotQuiet,
    /// The harness sent something this agent cannot read.
    Protocol,
}

/// A failure in the guest's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// The phase, by [`crate::Phase::name`].
    pub phase: String,
    /// What was being done, with which value, and what came back.
    pub what: String,
    /// CONFIG_ options whose absence explains it, if any (`CONFIG_BLK_DEV_NULL_BLK`).
    pub config: Vec<String>,
    /// Last lines of a program's output, if a program failed.
    pub output: String,
}
