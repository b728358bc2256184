//! The gallery's scenarios become plans.

use super::*;
use crate::{
    record::KernelRecord,
    scenario::{self, Overrides},
};
use std::collections::BTreeSet;

#[test]
fn every_entry_of_the_gallery_is_planned_cell_by_cell() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fixture = fixture::results();
    let machine = plan().kernels[1].machine.clone().expect("a machine").spec;
    let known: Vec<String> = fixture.kernels.iter().map(|k| k.name.clone()).collect();
    let names = scenario::gallery(&root);
    assert!(names.len() >= 5);
    for name in names {
        let path = scenario::locate(&name, &root).expect("it is listed");
        let found = scenario::load(&path, &known, &Overrides::default());
        let scenario = found.unwrap_or_else(|e| panic!("{}", e.render()));
        let prepared = scenario.subjects.iter().map(|subject| {
            let record = (fixture.kernels.iter()).find(|k| k.name == subject.kernel);
            let mut spec = machine.clone();
            spec.kernel_sha256 = Sha256::of(subject.kernel.as_bytes());
            PreparedKernel {
                subject: subject.clone(),
                version: None,
                blind: false,
                machine: Ok((spec, StopBy::Pvpanic)),
                modules: None,
                unsupported: Vec::new(),
                record: KernelRecord {
                    variant: subject.variant.clone(),
                    ..record.expect("a kernel of the lock").clone()
                },
            }
        });
        let plan = Plan::new(scenario.clone(), prepared.collect(), fixture.vmm.clone());
        let cells: Vec<_> = plan.cells().map(|(_, cell)| cell).collect();
        let size = scenario.subjects.len() * scenario.filesystems.len() * scenario.workloads.len();
        assert_eq!(cells.len(), size, "{name}");
        // No two cells are the same, and none is settled without a guest.
        let inputs: BTreeSet<_> = cells.iter().filter_map(|cell| cell.inputs).collect();
        assert_eq!(inputs.len(), size, "{name}");
        assert!(cells.iter().all(|cell| cell.settled.is_none()), "{name}");
        // A gallery is run whole: it stays small.
        assert!(size <= 24, "{name}: {size} cells");
    }
}
