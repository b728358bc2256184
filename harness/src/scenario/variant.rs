//! What a variant is: values of the scenario that are other ones for some of its rows (pure).

use super::{Device, FilesystemSpec, Scenario, SubjectKey, WorkloadSpec};
use diorama_wire::{Conditioning, Measure};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What claims and the command line call the scenario without a variant. No variant has this name.
pub const AS_WRITTEN: &str = "as-written";

/// With what else kernels are measured: the scenario, with other values of some keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Unique in the scenario: `mq-deadline`.
    pub name: String,
    /// The keys and their values, in the order in which they were written.
    pub overrides: Vec<Override>,
    /// The parts of the scenario that these make different, resolved and checked.
    #[serde(flatten)]
    pub parts: Parts,
}

/// One key of a scenario, with a variant's value of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// As scenarios write it: `model.scheduler`, `workloads.*.iodepth`.
    pub key: String,
    /// Its value; a string without its quotes.
    pub value: String,
}

/// Parts of a scenario, where they are not the scenario's own. Their fields are the scenario's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Of the same kind as the scenario's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// How the drive is made ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditioning: Option<Conditioning>,
    /// Guest RAM in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// The guest's CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smp: Option<u32>,
    /// Words added to the guest's kernel command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<Vec<String>>,
    /// Repetitions and phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// All file systems, under the scenario's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystems: Option<Vec<FilesystemSpec>>,
    /// All workloads, under the scenario's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<Vec<WorkloadSpec>>,
}

impl Parts {
    /// What `varied` has that `scenario` has not.
    pub(super) fn between(scenario: &Scenario, varied: &Scenario) -> Parts {
        fn other<T: PartialEq + Clone>(own: &T, varied: &T) -> Option<T> {
            (own != varied).then(|| varied.clone())
        }
        Parts {
            device: other(&scenario.device, &varied.device),
            conditioning: other(&scenario.conditioning, &varied.conditioning),
            memory_mib: other(&scenario.memory_mib, &varied.memory_mib),
            smp: other(&scenario.smp, &varied.smp),
            cmdline: other(&scenario.cmdline, &varied.cmdline),
            measure: other(&scenario.measure, &varied.measure),
            filesystems: other(&scenario.filesystems, &varied.filesystems),
            workloads: other(&scenario.workloads, &varied.workloads),
        }
    }

    fn put_into(&self, scenario: &mut Scenario) {
        fn put<T: Clone>(part: &Option<T>, into: &mut T) {
            if let Some(part) = part {
                into.clone_from(part);
            }
        }
        put(&self.device, &mut scenario.device);
        put(&self.conditioning, &mut scenario.conditioning);
        put(&self.memory_mib, &mut scenario.memory_mib);
        put(&self.smp, &mut scenario.smp);
        put(&self.cmdline, &mut scenario.cmdline);
        put(&self.measure, &mut scenario.measure);
        put(&self.filesystems, &mut scenario.filesystems);
        put(&self.workloads, &mut scenario.workloads);
    }
}

impl Scenario {
    /// What a subject is measured with: the scenario, with its variant's values where it has one.
    #[must_use]
    pub fn of(&self, subject: &SubjectKey) -> Cow<'_, Scenario> {
        let named = |variant: &&Variant| Some(&variant.name) == subject.variant.as_ref();
        match self.variants.iter().find(named) {
            None => Cow::Borrowed(self),
            Some(variant) => {
                let mut scenario = self.clone();
                variant.parts.put_into(&mut scenario);
                Cow::Owned(scenario)
            }
        }
    }

    /// What its subjects are measured with, each once: as it is written, then with its variants, those
    /// that some subject has.
    pub fn all(&self) -> impl Iterator<Item = (Option<&Variant>, Cow<'_, Scenario>)> {
        let plain = self.subjects.iter().find(|s| s.variant.is_none());
        let plain = plain.map(|_| (None, Cow::Borrowed(self)));
        let varied = self.variants.iter().filter_map(|variant| {
            let named = |s: &&SubjectKey| s.variant.as_ref() == Some(&variant.name);
            let subject = self.subjects.iter().find(named)?;
            Some((Some(variant), self.of(subject)))
        });
        plain.into_iter().chain(varied)
    }

    /// What the largest guest has of memory, in MiB.
    #[must_use]
    pub fn most_memory_mib(&self) -> u32 {
        let all = self.all().map(|(_, scenario)| scenario.memory_mib);
        all.max().unwrap_or(self.memory_mib)
    }

    /// The keys that its subjects differ in, each once, in the order of the variants.
    #[must_use]
    pub fn varies(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        let used = self.all().filter_map(|(variant, _)| variant);
        for change in used.flat_map(|variant| &variant.overrides) {
            if !keys.contains(&change.key.as_str()) {
                keys.push(&change.key);
            }
        }
        keys
    }
}
