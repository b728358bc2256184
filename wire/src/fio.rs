//! fio itself as a cell's engine: what it is told, and what it said (fio's HOWTO, "JSON output").

use crate::Layout;
use serde::{Deserialize, Serialize};

/// Where the initramfs of a scenario that asks for fio holds it: `fio`, its loader `ld.so` and its
/// libraries.
pub const FIO_DIR: &str = "/opt/fio";

/// A run of fio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fio {
    /// The job file, whole, as fio reads it; its files are those below.
    pub jobs: String,
    /// The files it uses, in the file system's top directory.
    pub files: Vec<FioFile>,
}

/// A file that fio's jobs use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FioFile {
    /// Its name, without a directory.
    pub name: String,
    /// Bytes that a run of fio begins with; written by the agent, with direct I/O. Not used for
    /// layouts that begin without a file.
    pub size: u64,
    /// [`Layout::Written`] is written once and stays; [`Layout::Append`] is shortened and
    /// [`Layout::Unwritten`] allocated anew before each run of fio; [`Layout::Extending`] is removed
    /// before each, and fio makes it.
    pub layout: Layout,
    /// Whether fio only reads it: then its content is checked at the end.
    pub read_only: bool,
    /// Where it begins on the device, in bytes, where there is no file system: the file is a part of
    /// the device, and its name a link to that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: u64,
}

/// serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What fio said of a cell, beside the repetitions' own figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FioReport {
    /// fio's own version.
    pub version: String,
    /// What a run of the same jobs with one I/O each cost, all of it: fio's start, end and reports.
    /// Subtracted from the counters of every repetition.
    pub overhead: FioOverhead,
    /// One element per repetition: its jobs, in fio's order.
    pub repetitions: Vec<Vec<FioJob>>,
}

/// What fio costs besides its I/Os, in the whole guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FioOverhead {
    /// Guest time from its start to its end, ns.
    pub elapsed_ns: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Interrupts.
    pub interrupts: u64,
    /// Time in which the CPUs were not idle, ns.
    pub busy_ns: Option<u64>,
    /// kworker runs.
    pub kworker_runs: Option<u64>,
}

/// One job of one run, as fio's json+ has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FioJob {
    /// `jobname`
    pub name: String,
    /// `read.total_ios`
    pub reads: u64,
    /// `write.total_ios`
    pub writes: u64,
    /// `read.io_bytes` and `write.io_bytes`
    pub bytes: u64,
    /// The longer `runtime` of both directions, in milliseconds: fio's own resolution.
    pub runtime_ms: u64,
    /// `job_runtime`, in milliseconds.
    pub job_runtime_ms: u64,
    /// `usr_cpu`, percent of `job_runtime`.
    pub usr_cpu: f64,
    /// `sys_cpu`, percent of `job_runtime`.
    pub sys_cpu: f64,
    /// `ctx`: the job's own context switches (getrusage(2)).
    pub ctx: u64,
}
