//! Scenario x prepared inputs -> plan: checkpoints, and the cells that start from each, with their
//! input digests (pure).

mod cautions;
mod control;
mod cost;
mod turns;

pub use control::THROTTLED;
pub use cost::SessionCost;
pub use turns::Task;
mod patience;

use crate::{
    digest::Sha256,
    filesystem::{DEFAULT_SEED, Format, mkfs_argv},
    record::{KernelRecord, Outcome, VmmRecord},
    scenario::{CellKey, Scenario, SubjectKey, fio_on_device},
    vm::{Spec, Time},
    vocabulary::{CellInputs, KernelVersion, MachineInputs},
};
use diorama_wire::{BootFacts, Filesystem, Job, PROTOCOL, Precondition, StackLayer, StopBy};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario it was made from.
    pub scenario: Scenario,
    /// One per subject, in the scenario's order.
    pub kernels: Vec<KernelPlan>,
    /// The VMM that runs them.
    pub vmm: VmmRecord,
}

/// One subject: its machine and its cells.
#[derive(Clone, Debug)]
pub struct KernelPlan {
    /// Which row it is.
    pub subject: SubjectKey,
    /// What the kernel is, for the record.
    pub record: KernelRecord,
    /// Its machine; absent when the kernel could not be prepared for this scenario.
    pub machine: Option<MachinePlan>,
    /// See [`PreparedKernel::blind`].
    pub blind: bool,
    /// See [`PreparedKernel::unsupported`].
    pub unsupported: Vec<Unsupported>,
    /// Its cells, in the scenario's order.
    pub cells: Vec<CellPlan>,
}

impl KernelPlan {
    /// What is wrong with a guest that was to run this kernel, and says this of itself; nothing where
    /// it is this kernel, as far as the image tells which release and build it is.
    #[must_use]
    pub fn mistaken_for(&self, guest: &BootFacts) -> Option<String> {
        let differs =
            |said: &str, known: &Option<String>| known.as_ref().is_some_and(|known| known != said);
        let record = &self.record;
        (differs(&guest.release, &record.release) || differs(&guest.version, &record.build)).then(
            || {
                format!(
                    "the guest runs {} ({}), but kernel {} is {} ({})",
                    guest.release,
                    guest.version,
                    record.name,
                    record.release.as_deref().unwrap_or("of unknown release"),
                    record.build.as_deref().unwrap_or("of unknown build"),
                )
            },
        )
    }
}

/// A kernel's machine.
#[derive(Clone, Debug)]
pub struct MachinePlan {
    /// What QEMU is told.
    pub spec: Spec,
    /// How the guest hands over.
    pub stop_by: StopBy,
    /// What the digits of its guests depend on.
    pub inputs: MachineInputs,
    /// Its digest: identity of the machine and of its checkpoint.
    pub checkpoint: Sha256,
    /// Where its modules are with their symbols, if it has any: `NAME.ko`.
    pub modules: Option<PathBuf>,
}

impl MachinePlan {
    /// The input digest of a cell of this job, under the VMM that the machine was planned for.
    #[must_use]
    pub fn cell(&self, job: &Job, vmm: &VmmRecord) -> Sha256 {
        let inputs = CellInputs {
            machine: self.checkpoint,
            job,
            plugin: vmm.plugin,
        };
        inputs.digest()
    }

    /// Whether its cells may start from a checkpoint: the guest can stop itself, its time stops with
    /// it, and it has one CPU.
    /// Whose turn it is among several is QEMU's to know, and is not saved: cells that go on from
    /// such a checkpoint differ.
    #[must_use]
    pub fn can_checkpoint(&self) -> bool {
        self.stop_by == StopBy::Pvpanic
            && self.spec.time == Time::Instructions
            && self.spec.smp == 1
    }
}

/// One cell.
#[derive(Clone, Debug)]
pub struct CellPlan {
    /// The cell's key.
    pub key: CellKey,
    /// What it is asked to do.
    pub job: Job,
    /// Identity of its digits; absent when it cannot run.
    pub inputs: Option<Sha256>,
    /// Why it cannot run, known before any boot.
    pub settled: Option<Outcome>,
}

/// What was made ready for one subject of the scenario.
#[derive(Clone, Debug)]
pub struct PreparedKernel {
    /// Which row it is.
    pub subject: SubjectKey,
    /// What the kernel is.
    pub record: KernelRecord,
    /// Its release as (major, minor), if known: decides the file systems' features.
    pub version: Option<KernelVersion>,
    /// Whether nothing told what the kernel has: no configuration, no modules. What it then turns out
    /// to lack may be in modules that were not given.
    pub blind: bool,
    /// Its machine, or why the kernel cannot be used at all.
    pub machine: Result<(Spec, StopBy), Outcome>,
    /// Where its modules are with their symbols, if it has any.
    pub modules: Option<PathBuf>,
    /// Why some cells cannot run on this kernel, if so.
    pub unsupported: Vec<Unsupported>,
}

/// Cells of a kernel that cannot run, known before any boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsupported {
    /// Those with this part.
    pub part: Part,
    /// The outcome its cells get.
    pub why: Outcome,
}

/// A part of a scenario, by the name it has there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// All cells on a file system.
    Filesystem(String),
    /// All cells of a workload.
    Workload(String),
}

impl PreparedKernel {
    /// Its machine, to be finished; none if the kernel cannot be used.
    pub fn spec_mut(&mut self) -> Option<&mut Spec> {
        self.machine.as_mut().ok().map(|(spec, _)| spec)
    }

    /// Why a cell of these parts cannot run: for the kernel's own sake first.
    fn settled(&self, parts: &[Part]) -> Option<Outcome> {
        let mut unsupported = self.unsupported.iter();
        let part = || {
            unsupported
                .find(|u| parts.contains(&u.part))
                .map(|u| &u.why)
        };
        self.machine.as_ref().err().or_else(part).cloned()
    }
}

/// The oldest kernel, whose features file systems get. A kernel whose version nobody knows gets
/// what the oldest supported kernel knows.
#[must_use]
pub fn oldest(prepared: &[PreparedKernel]) -> KernelVersion {
    prepared
        .iter()
        .map(|p| p.version.unwrap_or(KernelVersion::OLDEST))
        .min()
        .unwrap_or(KernelVersion::OLDEST)
}

/// What a scenario's file systems are made for.
#[must_use]
pub fn format(scenario: &Scenario, oldest: KernelVersion) -> Format {
    let stack = scenario
        .device
        .model()
        .map_or(&[][..], |model| &model.stack);
    Format {
        oldest,
        zeroed: scenario.device.is_zeroed()
            // Zeros on the drive are noise above a cipher.
            && !stack.contains(&StackLayer::Crypt)
            && scenario.conditioning.precondition == Precondition::None,
        seed: DEFAULT_SEED,
    }
}

impl Plan {
    /// What a reader must know of the figures of this plan, if anything.
    #[must_use]
    pub fn cautions(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (variant, scenario) in self.scenario.all() {
            let own = cautions::of(&scenario).into_iter();
            for text in own.chain(patience::filling(&scenario)) {
                // What holds for all is said once.
                if !all.contains(&text) {
                    all.push(match variant {
                        Some(variant) => format!("{}: {text}", variant.name),
                        None => text,
                    });
                }
            }
        }
        all
    }

    /// Whose checkpoint each subject's cells start from, by index: the first one's whose machine is the
    /// same, its own where there is none before it.
    #[must_use]
    pub fn boots(&self) -> Vec<usize> {
        let checkpoint = |k: &KernelPlan| k.machine.as_ref().map(|machine| machine.checkpoint);
        let of = |(k, kernel): (usize, &KernelPlan)| {
            let mut before = self.kernels[..k].iter();
            let same = |other: &KernelPlan| {
                checkpoint(other).is_some() && checkpoint(other) == checkpoint(kernel)
            };
            before.position(same).unwrap_or(k)
        };
        self.kernels.iter().enumerate().map(of).collect()
    }

    /// Expands the matrix.
    #[must_use]
    pub fn new(scenario: Scenario, prepared: Vec<PreparedKernel>, vmm: VmmRecord) -> Plan {
        let oldest = oldest(&prepared);
        let kernels = prepared
            .into_iter()
            .map(|p| KernelPlan::new(&scenario.of(&p.subject), p, oldest, &vmm))
            .collect();
        Plan {
            scenario,
            kernels,
            vmm,
        }
    }

    /// All cells in plan order.
    pub fn cells(&self) -> impl Iterator<Item = (&KernelPlan, &CellPlan)> {
        self.kernels
            .iter()
            .flat_map(|k| k.cells.iter().map(move |c| (k, c)))
    }
}

impl KernelPlan {
    /// What a guest of this kernel said it lacks, with what a person can do about it.
    #[must_use]
    pub fn explain(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Unsupported { why, config } if self.blind && !config.is_empty() => {
                let name = &self.record.name;
                Outcome::Unsupported {
                    why: format!(
                        "{why}; no modules were given: if it was built as a module, add them (--kernel {name}=IMAGE,modules=DIR)"
                    ),
                    config,
                }
            }
            other => other,
        }
    }

    fn new(
        scenario: &Scenario,
        prepared: PreparedKernel,
        oldest: KernelVersion,
        vmm: &VmmRecord,
    ) -> KernelPlan {
        let machine = prepared.machine.as_ref().ok().map(|(spec, stop_by)| {
            let inputs = spec.inputs(vmm.digest);
            MachinePlan {
                spec: spec.clone(),
                stop_by: *stop_by,
                checkpoint: inputs.digest(),
                inputs,
                modules: prepared.modules.clone(),
            }
        });
        let format = format(scenario, oldest);
        let mut cells = Vec::new();
        for filesystem in &scenario.filesystems {
            for workload in &scenario.workloads {
                let parts = [
                    Part::Filesystem(filesystem.name.clone()),
                    Part::Workload(workload.name.clone()),
                ];
                let settled = prepared.settled(&parts);
                let key = CellKey {
                    subject: prepared.subject.clone(),
                    filesystem: filesystem.name.clone(),
                    workload: workload.name.clone(),
                    lane: scenario.lane(),
                };
                let (fio, settled) = match (&workload.fio, filesystem.kind.is_none()) {
                    (Some(fio), true) => match fio_on_device(fio) {
                        Ok(fio) => (Some(fio), settled),
                        Err(why) => {
                            let config = Vec::new();
                            let why = Outcome::Unsupported { why, config };
                            (None, settled.or(Some(why)))
                        }
                    },
                    (fio, _) => (fio.clone(), settled),
                };
                let job = Job {
                    protocol: PROTOCOL,
                    // Not the kernel's name: the same build under two names is the same cell.
                    cell: format!("{}/{}", filesystem.name, workload.name),
                    device: scenario.device.in_guest(),
                    filesystem: Filesystem {
                        kind: filesystem.kind,
                        mkfs: mkfs_argv(filesystem.kind, &filesystem.mkfs, &format),
                        mount_options: filesystem.mount_options.clone(),
                        own_options: !filesystem.mkfs.is_empty(),
                    },
                    workload: workload.job.clone(),
                    fio,
                    measure: scenario.measure.clone(),
                    conditioning: scenario.conditioning,
                    throttle_iops: None,
                    shell: false,
                };
                let inputs = if settled.is_some() {
                    None
                } else {
                    machine.as_ref().map(|machine| machine.cell(&job, vmm))
                };
                cells.push(CellPlan {
                    key,
                    job,
                    inputs,
                    settled,
                });
            }
        }
        KernelPlan {
            subject: prepared.subject,
            record: prepared.record,
            blind: prepared.blind,
            unsupported: prepared.unsupported,
            machine,
            cells,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    #[test]
    fn a_guest_of_another_release_or_build_is_not_taken_for_the_kernel() {
        let results = fixture::results();
        let boot = &results.cells[0].outcome.measured().unwrap().guest.boot;
        let mistaken = |release: Option<&str>, build: Option<&str>| {
            let record = KernelRecord {
                release: release.map(str::to_owned),
                build: build.map(str::to_owned),
                ..results.kernels[0].clone()
            };
            let plan = KernelPlan {
                subject: record.subject(),
                record,
                machine: None,
                cells: Vec::new(),
                blind: false,
                unsupported: Vec::new(),
            };
            plan.mistaken_for(boot)
        };
        let (release, build) = (boot.release.as_str(), boot.version.as_str());
        assert_eq!(mistaken(Some(release), Some(build)), None);
        // A kernel whose image does not tell is taken at its word.
        assert_eq!(mistaken(None, None), None);
        let why = mistaken(Some("7.2.12"), Some(build)).unwrap();
        assert!(
            why.contains(&format!("the guest runs {release} (")),
            "{why}"
        );
        assert!(why.contains("is 7.2.12 ("), "{why}");
        // The same release, built again.
        assert!(mistaken(Some(release), Some("#2 SMP")).is_some());
    }
}
