//! A scenario: kernels, file systems, workloads, a baseline, a device and a clock (pure).
//!
//! The types here are what a scenario *means*, resolved and checked; they are stored whole in
//! every record.

mod conditioning;
pub mod defaults;
mod device;
mod expect;
mod filesystems;
mod fio;
mod kernels;
mod load;
mod machine;
mod model;
mod nvme;
mod on_drive;
mod overrides;
mod parse;
mod problems;
mod resolve;
mod rules;
mod section;
mod selection;
mod session;
mod source;
mod values;
mod variant;
mod vary;
mod workload;
mod write_cache;

pub use device::{Device, EmulatedNvme, HostDisk, PassedThrough};
pub use expect::METRICS;
pub use fio::source::is_command as is_fio_command;
pub use fio::words::jobs as in_fios_words;
pub use fio::{jobs_at_once as fio_jobs_at_once, on_device as fio_on_device};
pub use load::{
    FioRun, GALLERY, available, gallery, is_listed, is_path, load, load_checked, load_fio, locate,
    look_for,
};
pub use machine::MOST_REPETITIONS;
pub use nvme::safe_serial;
pub use on_drive::OnDrive;
pub use overrides::{
    ChosenDevice, ControllerFacts, DiskFacts, FioChoices, Overrides, parse_kernel,
};
pub use resolve::resolve;
pub use session::{MOST_BLOCKS, SessionSpec};
pub use source::{Known, Source};
pub use values::{Difference, differences};
pub use variant::{AS_WRITTEN, Override, Parts, Variant};
pub use vary::{Vary, parse_vary};
pub use workload::MAX_RUNTIME_NS;

pub use crate::vocabulary::{CellKey, Clock, DeviceKind, Lane, Metric, SubjectKey};

use diorama_wire::{Conditioning, Fio, FsKind, Workload};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A checked scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Short name, also of the results' directory: `iomap-dio`.
    pub name: String,
    /// One line for a report's heading.
    pub title: String,
    /// A paragraph: what was reported, where, and what to look for. May be empty.
    pub description: String,
    /// The published report that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Name of the subject that every other one is compared with: `7.2`, `6.12+mq-deadline`.
    pub baseline: String,
    /// In the order in which they are shown.
    pub kernels: Vec<KernelRef>,
    /// With what kernels are measured besides the scenario as it is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// The rows of every table, in their order: kernels as the scenario is written, and with its
    /// variants. Records of earlier versions have none: [`Scenario::complete`].
    #[serde(default)]
    pub subjects: Vec<SubjectKey>,
    /// In the order in which they are shown.
    pub filesystems: Vec<FilesystemSpec>,
    /// In the order in which they are shown.
    pub workloads: Vec<WorkloadSpec>,
    /// What the cells run on.
    pub device: Device,
    /// What time is.
    pub clock: Clock,
    /// How the drive is made ready for every cell.
    #[serde(default, skip_serializing_if = "Conditioning::is_none")]
    pub conditioning: Conditioning,
    /// Guest RAM in MiB.
    pub memory_mib: u32,
    /// The guest's CPUs.
    pub smp: u32,
    /// Words added to the guest's kernel command line.
    pub cmdline: Vec<String>,
    /// Repetitions and phases.
    pub measure: diorama_wire::Measure,
    /// How often every kernel is booted and measured; none in the exact lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSpec>,
    /// What a reproduction must show; empty when the scenario only measures.
    pub expect: Vec<Expect>,
    /// Claims of the scenario that the command line's choices took the ground from: this run does
    /// not test them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Variables that job files took from the environment, names and values. In a record they are in
    /// the workloads' notes and in the command that repeats the run.
    #[serde(skip)]
    pub environment: Vec<(String, String)>,
}

/// A claim that a run does not test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// As the scenario makes it.
    pub claim: Expect,
    /// The baseline that it was made about.
    pub baseline: String,
    /// Why it is not tested.
    pub why: String,
}

impl Expect {
    /// Whether it is about a ratio to the baseline row, of which that row itself says nothing.
    #[must_use]
    pub fn is_to_baseline(&self) -> bool {
        self.relative && self.baseline_filesystem.is_none()
    }

    /// Whether it names this subject, by its kernel and its variant.
    #[must_use]
    pub fn names(&self, subject: &SubjectKey) -> bool {
        let variant = subject.variant.as_deref().unwrap_or(AS_WRITTEN);
        let among =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        among(&self.kernels, &subject.kernel) && among(&self.variants, variant)
    }
}

impl Scenario {
    /// Device and clock of every cell.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane {
            device: self.device.kind(),
            clock: self.clock,
        }
    }

    /// Compares with another kernel. Claims about ratios were made about the one before, and are
    /// left out.
    pub fn rebase(&mut self, baseline: &str) {
        if self.baseline == baseline {
            return;
        }
        let why = format!("the baseline is {baseline}, not {}", self.baseline);
        for claim in self.expect.extract_if(.., |claim| claim.is_to_baseline()) {
            self.left_out.push(LeftOut {
                claim,
                baseline: self.baseline.clone(),
                why: why.clone(),
            });
        }
        baseline.clone_into(&mut self.baseline);
    }

    /// Adds what records of earlier versions do not say: that every kernel is a row.
    pub fn complete(&mut self) {
        if self.subjects.is_empty() {
            let names = self.kernels.iter().map(|kernel| kernel.name.as_str());
            self.subjects = names.map(SubjectKey::of_kernel).collect();
        }
    }

    /// Whether this is the subject that every other one is compared with.
    #[must_use]
    pub fn is_baseline(&self, subject: &SubjectKey) -> bool {
        subject.is(&self.baseline)
    }

    /// Names of the subjects, in the order of the tables.
    #[must_use]
    pub fn subject_names(&self) -> Vec<String> {
        self.subjects.iter().map(SubjectKey::to_string).collect()
    }

    /// Whether any of its workloads is run by fio.
    #[must_use]
    pub fn needs_fio(&self) -> bool {
        let mut all = self.all();
        all.any(|(_, scenario)| scenario.workloads.iter().any(|w| w.fio.is_some()))
    }
}

/// A kernel of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRef {
    /// Unique in the scenario, and what tables show.
    pub name: String,
    /// Where it comes from.
    pub source: KernelSource,
}

/// Where a kernel comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelSource {
    /// An entry of kernels/lock.toml with the kernel's name.
    Locked,
    /// A build of one's own.
    Local {
        /// bzImage or vmlinux.
        path: PathBuf,
        /// A directory that holds its modules (searched for `*.ko*`), if it has any.
        modules: Option<PathBuf>,
    },
}

/// A file system of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemSpec {
    /// Unique in the scenario, and what tables show.
    pub name: String,
    /// The family.
    pub kind: FsKind,
    /// Options of mkfs that the scenario sets itself; empty means those that the oldest kernel of
    /// the scenario knows, chosen by the harness and recorded.
    pub mkfs: Vec<String>,
    /// Data of mount(2), comma separated.
    pub mount_options: String,
}

/// A workload of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// Unique in the scenario, and what tables show: `write-4k`.
    pub name: String,
    /// The job; where fio runs it, what that amounts to.
    pub job: Workload,
    /// fio's job file, where fio runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fio: Option<Fio>,
    /// What was changed about a job file, and what a reader of its figures must know; one sentence
    /// each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One claim of an `[[expect]]` section: a bound on a figure, or on its ratio to the baseline, for
/// every cell that the selectors name (an empty selector names all).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// What it is about.
    pub metric: Metric,
    /// Whether the bounds are on the ratio to the baseline or on the value itself.
    pub relative: bool,
    /// The file system whose figure, of the same row and workload, the ratio is to; none where that is
    /// the baseline row's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_filesystem: Option<String>,
    /// Kernel names.
    pub kernels: Vec<String>,
    /// Variant names, [`AS_WRITTEN`] among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<String>,
    /// File-system names.
    pub filesystems: Vec<String>,
    /// Workload names.
    pub workloads: Vec<String>,
    /// Smallest value allowed.
    pub at_least: Option<f64>,
    /// Largest value allowed.
    pub at_most: Option<f64>,
    /// Why; shown with the verdict.
    pub because: String,
    /// Whether it makes the scenario's point: without it nothing is reproduced. Where no claim is
    /// marked so, all are.
    #[serde(default)]
    pub point: bool,
    /// Names that the command line left out of what it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

#[cfg(test)]
mod readme_tests;
#[cfg(test)]
mod tests;
