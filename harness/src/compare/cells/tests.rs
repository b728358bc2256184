//! Rules of a comparison, on made-up results.

use super::*;
use crate::{
    compare::fixture,
    scenario::{Clock, DeviceKind},
};

fn find<'a>(c: &'a Comparison, label: &str, fs: &str, workload: &str) -> &'a Cell {
    let subject = c.subjects.iter().position(|s| s.label == label).unwrap();
    c.cell(subject, fs, workload).unwrap()
}

fn iops(c: &Comparison, label: &str, fs: &str, workload: &str) -> Against {
    find(c, label, fs, workload).against[&Metric::Iops].clone()
}

#[test]
fn ratios_are_to_the_baseline_on_the_same_file_system_and_workload() {
    let results = fixture::results();
    let c = compare(&[&results]);
    assert_eq!(c.cells.len(), 40);
    let ext4 = iops(&c, "6.12", "ext4", "write-4k");
    assert!((ext4.ratio.unwrap().value - 51_723.0 / 76_342.0).abs() < 1e-3);
    assert_eq!(ext4.verdict, Verdict::Regressed);
    let xfs = iops(&c, "5.10", "xfs", "read-4k");
    assert!((xfs.ratio.unwrap().value - 90_990.0 / 80_416.0).abs() < 1e-3);
    assert_eq!(xfs.verdict, Verdict::Improved);
    assert!(find(&c, "7.2", "ext4", "read-4k").against.is_empty());
}

#[test]
fn total_io_ratios_equal_iops_ratios() {
    let results = fixture::results();
    let c = compare(&[&results]);
    let mut compared = 0;
    for against in c.cells.iter().map(|c| &c.against).filter(|a| !a.is_empty()) {
        let of = |m| against[&m].ratio.unwrap().value;
        let (iops, total) = (of(Metric::Iops), of(Metric::TotalIo));
        assert!((iops / total - 1.0).abs() < 1e-3, "{iops} {total}");
        compared += 1;
    }
    assert_eq!(compared, 32);
}

#[test]
fn failing_cells_are_broken_fixed_or_incomparable_and_never_a_ratio() {
    let results = fixture::with_failures();
    let c = compare(&[&results]);
    let word = |label, fs, w| iops(&c, label, fs, w).verdict.word();
    assert_eq!(word("6.12", "ext4", "write-4k"), "broken");
    assert_eq!(word("6.12", "xfs", "read-4k"), "inconclusive");
    assert_eq!(word("6.1", "xfs", "read-4k"), "incomparable");
    assert_eq!(word("5.10", "xfs", "write-16k"), "fixed");
    assert!(iops(&c, "5.10", "xfs", "write-16k").ratio.is_none());
    assert!(find(&c, "6.12", "ext4", "write-4k").figures.is_empty());
    assert_eq!(c.cells.len(), 40, "no cell is dropped");
}

#[test]
fn several_runs_are_labelled_and_compared_with_the_first_runs_baseline() {
    let (a, mut b) = (fixture::results(), fixture::results());
    b.run_id = "other".into();
    let c = compare(&[&a, &b]);
    assert_eq!(c.subjects.len(), 10);
    assert_eq!(c.subjects.iter().filter(|s| s.baseline).count(), 1);
    assert_eq!(c.baseline().unwrap().label, "A:7.2");
    // The same kernel in both runs: equal digits, no difference.
    let same = iops(&c, "B:7.2", "ext4", "write-4k");
    assert_eq!(same.verdict, Verdict::Same);
    assert_eq!(same.ratio.unwrap().value, 1.0);
}

#[test]
fn mixed_lanes_are_incomparable() {
    let (a, mut b) = (fixture::results(), fixture::results());
    let wall = Lane {
        device: DeviceKind::Nvme,
        clock: Clock::Wall,
    };
    fixture::on_a_drive(&mut b.scenario);
    b.cells.iter_mut().for_each(|c| c.key.lane = wall);
    let c = compare(&[&a, &b]);
    for cell in c.cells.iter().filter(|c| c.key.lane == wall) {
        assert!(cell.against.values().all(|a| a.ratio.is_none()));
    }
    insta::assert_snapshot!(
        iops(&c, "B:6.1", "ext4", "read-4k").verdict.why().unwrap(),
        @"different lanes: metal lane: nvme device, wall clock and exact lane: model device, instructions clock"
    );
    assert_eq!(c.notes.len(), 2);
    assert!(!c.answers() && c.notes[1].starts_with("no cell of the other runs"));
}

#[test]
fn another_job_under_the_same_name_is_incomparable() {
    let (a, mut b) = (fixture::results(), fixture::results());
    b.scenario.workloads[2].job.iodepth = 1;
    b.scenario.workloads[2].job.numjobs = 2;
    b.scenario.filesystems[1].mount_options = "dax".into();
    b.scenario.filesystems[1].mkfs = vec!["-K".into()];
    let c = compare(&[&a, &b]);
    let why = |fs, w| iops(&c, "B:6.1", fs, w).verdict.why().map(str::to_owned);
    insta::assert_snapshot!(why("ext4", "write-4k").unwrap(), @"a different job named write-4k: workloads.write-4k.iodepth 64 -> 1, workloads.write-4k.numjobs 1 -> 2");
    insta::assert_snapshot!(why("xfs", "read-4k").unwrap(), @"a different file system named xfs: filesystems.xfs.mkfs none -> -K, filesystems.xfs.mount_options none -> dax");
    assert_eq!(why("ext4", "read-4k"), None);
    insta::assert_snapshot!(c.notes[0], @"B differs from A: workloads.write-4k.iodepth 64 -> 1, workloads.write-4k.numjobs 1 -> 2, filesystems.xfs.mkfs none -> -K, filesystems.xfs.mount_options none -> dax; 5 cells of each row differ in more than one of them and are not compared");
}

#[test]
fn two_runs_that_differ_in_one_key_are_compared_and_the_key_is_said() {
    let (a, mut b) = (fixture::results(), fixture::results());
    fixture::model(&mut b.scenario).scheduler = "mq-deadline".into();
    let c = compare(&[&a, &b]);
    let ratio = iops(&c, "B:6.12", "ext4", "write-4k").ratio;
    assert_eq!(ratio, iops(&c, "A:6.12", "ext4", "write-4k").ratio);
    assert_eq!(
        c.notes,
        ["B differs from A: model.scheduler none -> mq-deadline"]
    );
    // A run of several variants says which of its rows.
    let varied = fixture::varied();
    let c = compare(&[&a, &varied]);
    insta::assert_snapshot!(c.notes.join("\n"), @"
    B:6.12+mq-deadline differs from A:7.2: model.scheduler none -> mq-deadline
    B:6.12+shallow differs from A:7.2: workloads.read-4k.iodepth 64 -> 1, workloads.write-4k.iodepth 64 -> 1
    ");
    assert!(
        iops(&c, "B:6.12+mq-deadline", "ext4", "write-4k")
            .ratio
            .is_some()
    );
    let c = compare(&[&varied, &b]);
    insta::assert_snapshot!(c.notes.join("\n"), @"B:5.10, B:6.1, B:6.12, B:6.18, B:7.2 differ from A:6.12: model.scheduler none -> mq-deadline");
}

#[test]
fn rows_of_one_run_are_compared_whatever_their_variants_change() {
    let results = fixture::varied();
    let c = compare(&[&results]);
    let labels: Vec<&str> = c.subjects.iter().map(|s| s.label.as_str()).collect();
    assert_eq!(labels, ["6.12", "6.12+mq-deadline", "6.12+shallow"]);
    for label in &labels[1..] {
        let against = iops(&c, label, "ext4", "write-4k");
        assert!(against.ratio.is_some(), "{label}: {against:?}");
    }
    assert_eq!(c.baseline().map(|s| s.label.as_str()), Some("6.12"));
}
