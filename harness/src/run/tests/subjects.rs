//! Rows that are one kernel with several variants.

use super::*;
use crate::{
    record::KernelRecord,
    scenario::{Override, Parts, SubjectKey, Variant},
    vm::Spec,
};

fn variant(name: &str, change: impl Fn(&mut Variant)) -> Variant {
    let mut variant = Variant {
        name: name.to_owned(),
        overrides: vec![Override {
            key: "key".into(),
            value: name.to_owned(),
        }],
        parts: Parts::default(),
    };
    change(&mut variant);
    variant
}

/// 7.2 as it is written, with another scheduler, with another queue depth, and with another word on its
/// command line; `change` is made of the machine of the last.
fn varied(change: impl Fn(&mut Spec)) -> Plan {
    let mut scenario = fixture::results().scenario;
    let mut other = scenario.clone();
    fixture::model(&mut other).scheduler = "mq-deadline".into();
    let device = other.device;
    let mut workloads = scenario.workloads.clone();
    workloads.retain(|w| w.name.ends_with("-4k"));
    workloads[0].job.iodepth = 1;
    scenario.variants = vec![
        variant("mq-deadline", |v| v.parts.device = Some(device.clone())),
        variant("shallow", |v| v.parts.workloads = Some(workloads.clone())),
        variant("word", |v| v.parts.cmdline = Some(vec!["word".into()])),
    ];
    let of = |variant: Option<&str>| SubjectKey {
        kernel: "7.2".into(),
        variant: variant.map(str::to_owned),
    };
    let subjects = [None, Some("mq-deadline"), Some("shallow"), Some("word")].map(of);
    let plain = plan();
    let machine = plain.kernels[1].machine.clone().expect("a machine");
    scenario.kernels.retain(|k| k.name == "7.2");
    scenario.filesystems.retain(|f| f.name == "ext4");
    scenario.workloads.retain(|w| w.name == "read-4k");
    for variant in &mut scenario.variants {
        if let Some(workloads) = &mut variant.parts.workloads {
            workloads.retain(|w| w.name == "read-4k");
        }
    }
    scenario.subjects = subjects.to_vec();
    let prepared = subjects.into_iter().map(|subject| {
        let mut spec = machine.spec.clone();
        if subject.is("7.2+word") {
            change(&mut spec);
        }
        PreparedKernel {
            record: KernelRecord {
                variant: subject.variant.clone(),
                ..plain.kernels[1].record.clone()
            },
            subject,
            version: None,
            blind: false,
            machine: Ok((spec, StopBy::Pvpanic)),
            modules: None,
            unsupported: Vec::new(),
        }
    });
    Plan::new(scenario, prepared.collect(), plain.vmm)
}

#[test]
fn subjects_with_one_machine_have_one_checkpoint_and_digests_of_their_own() {
    let mut stage = Stage::new();
    stage.plan = Rc::new(varied(|spec| spec.cmdline.push_str(" word")));
    assert_eq!(stage.plan.boots(), [0, 0, 0, 3]);
    let seen = stage.run(&[], Known::Use);
    assert_eq!(
        seen.started,
        [
            "boot 7.2",
            "boot 7.2",
            "7.2/ext4/read-4k",
            "7.2+mq-deadline/ext4/read-4k",
            "7.2+shallow/ext4/read-4k",
            "7.2+word/ext4/read-4k",
        ]
    );
    let results = on_disk(&seen.finished.unwrap());
    let mut inputs: Vec<_> = results.cells.iter().map(|cell| cell.inputs).collect();
    inputs.sort_unstable();
    inputs.dedup();
    assert_eq!(inputs.len(), 4, "another job, another digest");
    assert_eq!(results.scenario, stage.plan.scenario, "as it was written");
    let rows: Vec<String> = results
        .kernels
        .iter()
        .map(|k| k.subject().to_string())
        .collect();
    assert_eq!(rows, results.scenario.subject_names());
}

#[test]
fn a_boot_that_fails_fails_for_all_that_start_from_it_and_for_no_other() {
    let mut stage = Stage::new();
    stage.plan = Rc::new(varied(|_| {}));
    assert_eq!(stage.plan.boots(), [0; 4]);
    let seen = stage.run(&[("boot 7.2", Act::Fail(fault()))], Known::Use);
    assert_eq!(seen.started, ["boot 7.2"]);
    insta::assert_snapshot!(words(&seen.finished.unwrap().results), @r"
    7.2/ext4/read-4k: guest fault kernel panic
    7.2+mq-deadline/ext4/read-4k: guest fault kernel panic
    7.2+shallow/ext4/read-4k: guest fault kernel panic
    7.2+word/ext4/read-4k: guest fault kernel panic
    ");
}

#[test]
fn what_is_known_of_one_subject_needs_no_boot_for_another() {
    let mut stage = Stage::new();
    let whole = varied(|_| {});
    let mut part = whole.clone();
    part.kernels.truncate(1);
    part.scenario.subjects.truncate(1);
    stage.plan = Rc::new(part);
    stage.run(&[], Known::Use);
    stage.plan = Rc::new(whole);
    let seen = stage.run(&[], Known::Use);
    // The machine of `word` is the plain one here: equal inputs, however they are called.
    assert_eq!(
        seen.started,
        [
            "boot 7.2",
            "7.2+mq-deadline/ext4/read-4k",
            "7.2+shallow/ext4/read-4k"
        ]
    );
    let cached = |cell: &&CellResult| cell.origin == record::Origin::Cached;
    let results = seen.finished.unwrap().results;
    assert_eq!(results.cells.iter().filter(cached).count(), 2);
}
