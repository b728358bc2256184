//! The positive control: a scenario's baseline against itself, and against itself made slower.

use super::Plan;
use crate::{
    record::Outcome,
    scenario::{KernelRef, KernelSource},
};
use std::{collections::BTreeMap, num::NonZeroU64};

/// Name of the kernel that is the baseline throttled.
pub const THROTTLED: &str = "throttled";

impl Plan {
    /// The baseline alone: a session of it is A against A'.
    #[must_use]
    pub fn baseline_alone(&self) -> Plan {
        let mut plan = self.clone();
        let baseline = plan.scenario.baseline.clone();
        plan.kernels.retain(|kernel| kernel.subject.is(&baseline));
        plan.scenario
            .subjects
            .retain(|subject| subject.is(&baseline));
        let left = &plan.scenario.subjects;
        plan.scenario
            .kernels
            .retain(|kernel| left.iter().any(|subject| subject.kernel == kernel.name));
        // Claims are about kernels; here there are none to compare.
        plan.scenario.expect.clear();
        plan.scenario.left_out.clear();
        plan
    }

    /// The baseline, and the same once more with its I/O bounded to so many a second, by file system and
    /// workload. A cell for which no rate is known is not run.
    #[must_use]
    pub fn with_throttled(&self, bounds: &BTreeMap<(String, String), NonZeroU64>) -> Plan {
        let mut plan = self.baseline_alone();
        let Some(mut throttled) = plan.kernels.first().cloned() else {
            return plan;
        };
        THROTTLED.clone_into(&mut throttled.record.name);
        THROTTLED.clone_into(&mut throttled.subject.kernel);
        for cell in &mut throttled.cells {
            THROTTLED.clone_into(&mut cell.key.subject.kernel);
            let at = (cell.key.filesystem.clone(), cell.key.workload.clone());
            cell.job.throttle_iops = bounds.get(&at).copied();
            if cell.job.throttle_iops.is_none() && cell.settled.is_none() {
                let why = "the pilot measured no rate to throttle".to_owned();
                (cell.settled, cell.inputs) = (Some(Outcome::NotRun { why }), None);
            }
            // Another job, another identity.
            let machine = throttled.machine.as_ref().filter(|_| cell.inputs.is_some());
            cell.inputs = machine.map(|machine| machine.cell(&cell.job, &plan.vmm));
        }
        let source = plan
            .scenario
            .kernels
            .first()
            .map(|kernel| kernel.source.clone());
        plan.scenario.kernels.push(KernelRef {
            name: THROTTLED.to_owned(),
            source: source.unwrap_or(KernelSource::Locked),
        });
        plan.scenario.subjects.push(throttled.subject.clone());
        plan.kernels.push(throttled);
        plan
    }
}
