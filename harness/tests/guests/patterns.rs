//! Every engine and every pattern on real guests: each cell is measured, its answer checked in the
//! guest, and equal when it is measured again.

use crate::common::{Lab, digits};
use diorama::scenario::Scenario;
use diorama_wire::{Bound, CellReport, Engine, Layout, Workload};
use serde_json::Value;
use std::collections::BTreeSet;

fn report(cell: &Value) -> CellReport {
    serde_json::from_value(cell["outcome"]["guest"].clone()).expect("a report")
}

/// Blocks that a file has after the last repetition.
fn blocks(job: &Workload, ios: u64) -> u64 {
    let first = job.file_length() / u64::from(job.block_size);
    match job.layout.grows() {
        true => first + ios,
        false => first,
    }
}

/// What the guest said is what the workload's keys ask for.
fn check(name: &str, job: &Workload, report: &CellReport) {
    let Bound::Ios(ios) = job.bound else {
        panic!("{name} is bound by time");
    };
    let threads = u64::from(job.numjobs);
    assert_eq!(report.engine.name, job.engine.name(), "{name}");
    let probed = !report.engine.features.is_empty();
    assert_eq!(probed, job.engine == Engine::IoUring, "{name}");
    let evidence = &report.evidence;
    assert!(evidence.o_direct, "{name}: {evidence:?}");
    let cached = evidence.cached_pages_before + evidence.cached_pages_after;
    assert_eq!(cached, 0, "{name}: {evidence:?}");
    let expected = u64::from(job.files()) * blocks(job, ios);
    assert_eq!(evidence.verified_blocks, expected, "{name}");
    assert_eq!(
        report.filesystem.extents == 0,
        job.layout == Layout::Extending,
        "{name}"
    );
    for repetition in &report.repetitions {
        let (reads, writes) = (repetition.reads, repetition.writes);
        assert_eq!(repetition.ios, threads * ios, "{name}");
        assert_eq!(reads + writes, repetition.ios, "{name}");
        let kinds = (reads > 0, writes > 0);
        assert_eq!(kinds, (job.rw.reads(), job.rw.writes()), "{name}");
        let bytes = repetition.ios * u64::from(job.block_size);
        assert_eq!(repetition.bytes, bytes, "{name}");
        assert!(repetition.device_ios > 0, "{name}");
        assert!(repetition.device_sectors * 512 >= bytes, "{name}");
        // A request is no larger than the device takes: a large I/O is several.
        let largest = u64::from(report.device.max_sectors_kb) << 10;
        let split = u64::from(job.block_size) > largest;
        assert!(!split || repetition.device_ios > repetition.ios, "{name}");
        let syncs = ios.checked_div(job.fdatasync.into()).unwrap_or(0);
        assert_eq!(repetition.fsyncs, threads * syncs, "{name}");
    }
}

/// Checks every cell; returns how many there were.
fn check_all(results: &Value, cpus: u32) -> usize {
    let scenario: Scenario =
        serde_json::from_value(results["scenario"].clone()).expect("the scenario");
    let cells = results["cells"].as_array().expect("cells");
    for cell in cells {
        let name = cell["key"]["workload"].as_str().expect("a name");
        let kernel = cell["key"]["kernel"].as_str().expect("a name");
        let outcome = &cell["outcome"];
        assert_eq!(outcome["is"], "measured", "{kernel}/{name}: {outcome}");
        let workload = scenario.workloads.iter().find(|w| w.name == name);
        let report = report(cell);
        assert_eq!(report.boot.cpus, cpus, "{kernel}/{name}");
        check(name, &workload.expect("the workload").job, &report);
    }
    let kernels: BTreeSet<_> = cells.iter().map(|c| c["key"]["kernel"].as_str()).collect();
    assert_eq!(cells.len(), kernels.len() * scenario.workloads.len());
    cells.len()
}

/// Workloads of scenarios/patterns.toml that have every engine, direction, layout, way to be durable, batch
/// and extreme size between them.
const EVERY_KIND: [&str; 13] = [
    "libaio-randrw",
    "libaio-batch",
    "libaio-extending",
    "libaio-dsync",
    "libaio-512",
    "uring-randrw",
    "uring-registered",
    "uring-unwritten",
    "uring-append",
    "uring-rwf-dsync",
    "psync-write",
    "psync-fdatasync",
    "psync-12k-append",
];

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn every_kind_of_pattern_is_measured_and_its_answer_is_right() {
    let Some(lab) = Lab::open("every_kind_of_pattern_is_measured_and_its_answer_is_right") else {
        return;
    };
    // On the newest kernel, and of kinds that several engines have, one; `cargo xtask nightly` measures
    // them all, on the oldest, too.
    let kinds = EVERY_KIND.iter().flat_map(|name| ["--workload", *name]);
    let mut words = vec!["patterns", "--fresh", "--only-kernel", "7.2"];
    words.extend(kinds);
    let results = lab.measure(&words, 0);
    assert_eq!(check_all(&results, 1), EVERY_KIND.len());
    let first = digits(&results);
    // From the same checkpoint, without the other cells: a mix in random order, a file laid out anew.
    let mut again = vec!["patterns", "--verify", "--only-kernel", "7.2"];
    for workload in ["libaio-randrw", "uring-unwritten"] {
        again.extend(["--workload", workload]);
    }
    let results = lab.measure(&again, 0);
    assert_eq!(check_all(&results, 1), 2);
    let second = digits(&results);
    for (cell, exact) in second {
        assert_eq!(first[&cell], exact, "{cell}");
    }
}

/// Several threads on one file, whose parts of it overlap or do not: each cell is audited block by block,
/// and its digits repeat.
#[test]
fn threads_on_one_file_are_measured_audited_and_exact() {
    let test = "threads_on_one_file_are_measured_audited_and_exact";
    let Some(lab) = Lab::open(test) else { return };
    let text = "name = \"shared\"\ntitle = \"shared\"\nbaseline = \"7.2\"\nkernels = [\"7.2\"]\n\
                [model]\nbandwidth = \"none\"\n[measure]\nrepetitions = 2\n[filesystems.ext4]\n\
                [workloads.overlapping]\nrw = \"randrw\"\nbs = \"4k\"\niodepth = 8\nnumjobs = 3\n\
                filename = \"shared\"\noffset_increment = \"1MiB\"\nsize = \"2MiB\"\n\
                number_ios = 600\n\
                [workloads.disjoint]\nioengine = \"io_uring\"\nrw = \"write\"\nbs = \"4k\"\n\
                iodepth = 8\nnumjobs = 2\nfilename = \"shared\"\noffset_increment = \"2MiB\"\n\
                size = \"2MiB\"\nnumber_ios = 600\n";
    let path = lab.write("shared.toml", text);
    lab.measure(&[&path], 0);
    let results = lab.measure(&[&path, "--verify"], 0);
    assert_eq!(check_all(&results, 1), 2);
    let notes = results["notes"].to_string();
    assert!(notes.contains("contention is not modelled"), "{notes}");
}

/// Whose turn it is among the CPUs is not part of a checkpoint: from one, windows moved by up to
/// 0.07%. Booted once per cell they repeat; to the digit if the host leaves QEMU's threads alone, which
/// cannot be asked of it here.
#[test]
fn threads_on_two_cpus_are_measured_and_repeat() {
    let test = "threads_on_two_cpus_are_measured_and_repeat";
    let Some(lab) = Lab::open(test) else { return };
    // One kernel: such guests are counted by calls, which takes ten times as long.
    let mut words = vec!["patterns-smp", "--fresh", "--only-kernel", "7.2"];
    words.extend(["--workload", "libaio-2", "--workload", "psync-3"]);
    let results = lab.measure(&words, 0);
    check_all(&results, 2);
    let notes = results["notes"].to_string();
    assert!(notes.contains("each guest has 2 CPUs"), "{notes}");
    let first = digits(&results);
    let second = digits(&lab.measure(&words[..words.len() - 2], 0));
    assert_eq!(second.len(), 1);
    for (cell, second) in &second {
        let first = &first[cell];
        assert_eq!(first["inputs"], second["inputs"], "{cell}");
        let rates = |exact: &Value| -> Vec<f64> {
            let report: CellReport =
                serde_json::from_value(exact["guest"].clone()).expect("a report");
            let rate = |r: &diorama_wire::Repetition| r.ios as f64 / r.window_ns as f64;
            report.repetitions.iter().map(rate).collect()
        };
        for (one, other) in rates(first).into_iter().zip(rates(second)) {
            let ratio = one / other;
            assert!((0.99..1.01).contains(&ratio), "{cell}: {ratio}");
        }
    }
}

/// null_blk has poll queues since 5.19: before, the answer is words and not a figure.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn polled_completion_is_measured_or_unsupported_with_words() {
    let Some(lab) = Lab::open("polled_completion_is_measured_or_unsupported_with_words") else {
        return;
    };
    let text = "name = \"polled\"\ntitle = \"polled\"\nbaseline = \"7.2\"\n\
                kernels = [\"5.10\", \"7.2\"]\n[measure]\nrepetitions = 2\n[filesystems.ext4]\n\
                [workloads.polled]\nioengine = \"io_uring\"\nhipri = true\nrw = \"write\"\n\
                bs = \"4k\"\nsize = \"4MiB\"\nnumber_ios = 500\n";
    let path = lab.write("polled.toml", text);
    let exit = diorama::error::Exit::Incomplete as i32;
    let results = lab.measure(&[&path, "--fresh"], exit);
    let outcome = |kernel: &str| {
        let cells = results["cells"].as_array().expect("cells");
        let cell = cells.iter().find(|c| c["key"]["kernel"] == kernel);
        cell.expect("the cell")["outcome"].clone()
    };
    assert_eq!(outcome("7.2")["is"], "measured");
    let old = outcome("5.10");
    assert_eq!(old["is"], "unsupported", "{old}");
    let why = old["why"].as_str().unwrap_or_default();
    assert!(why.contains("poll"), "{old}");
}
