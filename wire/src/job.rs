//! What the host asks of the guest.

use crate::{Clock, Conditioning, Device, Driver, Filesystem, Fio, Workload};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// What every cell of one kernel shares; read once, before the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// [`crate::PROTOCOL`] of the writer.
    pub protocol: u32,
    /// Modules to load before the checkpoint, dependencies first.
    pub modules: Vec<Module>,
    /// Modules that drive a host-backed device (vsock and what it needs): loaded only
    /// after a cell is measured, dependencies first.
    pub late_modules: Vec<Module>,
    /// How the guest hands over at the checkpoint and after the measurement.
    pub stop_by: StopBy,
    /// What drives the block devices of its cells.
    pub driver: Driver,
    /// What the guest's time is.
    pub clock: Clock,
    /// Directories of the host's to mount before anything is measured; none under the instruction
    /// clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
}

/// A directory of the host's in the guest, by virtio-fs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The device's tag.
    pub tag: String,
    /// Where it is mounted: absolute.
    pub at: String,
    /// Whether the guest may only read there.
    pub read_only: bool,
}

/// A kernel module in the initramfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Name as in /proc/modules (underscores).
    pub name: String,
    /// Absolute path in the initramfs, uncompressed.
    pub path: String,
    /// Parameters as finit_module(2) takes them; may be empty.
    pub params: String,
}

/// How a guest stops its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopBy {
    /// A write to the pvpanic port: exact to the instruction; makes checkpoints possible.
    Pvpanic,
    /// It does not, because its kernel does not let it or its time is the wall clock's: the job is in
    /// the initramfs, progress is on the console, and the guest runs through once, without port I/O.
    None,
}

/// One cell: what to build, run and report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// [`crate::PROTOCOL`] of the writer.
    pub protocol: u32,
    /// The cell's name, for progress and messages.
    pub cell: String,
    /// The block device.
    pub device: Device,
    /// How it is made ready, before there is a file system on it.
    #[serde(default, skip_serializing_if = "Conditioning::is_none")]
    pub conditioning: Conditioning,
    /// The file system on it.
    pub filesystem: Filesystem,
    /// The I/O to run. Where fio runs it: what that amounts to, for those who need to know its
    /// engine, directions and size.
    pub workload: Workload,
    /// fio runs it, and not the agent's own engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fio: Option<Fio>,
    /// How often, and at which phases.
    pub measure: Measure,
    /// No more than so many I/Os a second of all threads together, from the warm-up on: the slower arm
    /// of a positive control. Where fio runs the workload it is fio's `rate_iops`, which bounds reads
    /// and writes each. Absent, nothing is bounded, and nothing done for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_iops: Option<NonZeroU64>,
    /// Whether to prepare all of this, measure nothing, and give a shell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shell: bool,
}

/// How often a cell is measured, and at which phases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Counted repetitions.
    pub repetitions: u32,
    /// I/Os of the uncounted warm-up. 0 means one whole repetition, uncounted.
    pub warmup_ios: u64,
    /// Nanoseconds of the uncounted warm-up instead (fio's `ramp_time`, but once for all repetitions).
    /// 0: `warmup_ios` bounds it. Only where the file's layout lasts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ramp_time_ns: u64,
    /// Repetition `i` begins `i * phase_step_ns` into the bandwidth period of 20 ms of guest time,
    /// modulo that period, so that each meets the guest's timer tick elsewhere.
    pub phase_step_ns: u64,
}

/// serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
