//! The modelled drive on real guests: its scheduler, its volatile write cache, and what of both a
//! kernel cannot do.

use crate::common::Lab;
use diorama_wire::{CellReport, Repetition};
use serde_json::Value;

/// Runs a scenario of this test's own: one psync write at a time on ext4, so that what a call takes is
/// what the drive takes and the path.
fn measure(lab: &Lab, name: &str, kernels: &str, model: &str, workloads: &[&str]) -> Value {
    let mut text = format!(
        "name = \"{name}\"\ntitle = \"{name}\"\nbaseline = \"7.2\"\nkernels = [{kernels}]\n\
         [model]\nlatency = \"80us\"\nbandwidth = \"none\"\n{model}\n[measure]\nrepetitions = 2\n\
         [filesystems.ext4]\n"
    );
    for workload in workloads {
        let (name, keys) = workload.split_once(':').unwrap_or((workload, ""));
        text.push_str(&format!(
            "[workloads.{name}]\nioengine = \"psync\"\nrw = \"randwrite\"\nbs = \"4k\"\n\
             size = \"4MiB\"\nnumber_ios = 100\n{keys}\n"
        ));
    }
    let path = lab.write(&format!("{name}.toml"), &text);
    lab.measure(&[&path, "--fresh"], 0)
}

fn report(results: &Value, kernel: &str, workload: &str) -> CellReport {
    let cells = results["cells"].as_array().expect("cells");
    let cell = cells
        .iter()
        .find(|c| c["key"]["kernel"] == kernel && c["key"]["workload"] == workload)
        .expect("the cell");
    let outcome = &cell["outcome"];
    assert_eq!(outcome["is"], "measured", "{kernel}/{workload}: {outcome}");
    serde_json::from_value(outcome["guest"].clone()).expect("a report")
}

/// Nanoseconds from one I/O to the next.
fn per_io(repetition: &Repetition) -> u64 {
    repetition.span_ns / repetition.span_ios
}

const DURABLE: [&str; 3] = ["plain", "dsync:sync = \"dsync\"", "fdatasync:fdatasync = 1"];

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn every_scheduler_is_the_guests_and_its_module_is_in_no_other_image() {
    let test = "every_scheduler_is_the_guests_and_its_module_is_in_no_other_image";
    let Some(lab) = Lab::open(test) else { return };
    // mq-deadline is a module of Debian's 7.2 and built into its 6.1.
    for (scheduler, module, kernels) in [
        ("none", None, &["7.2"][..]),
        ("mq-deadline", Some("mq_deadline"), &["6.1", "7.2"]),
        ("kyber", Some("kyber_iosched"), &["7.2"]),
        ("bfq", Some("bfq"), &["7.2"]),
    ] {
        let model = format!("scheduler = \"{scheduler}\"");
        let listed: Vec<String> = kernels.iter().map(|k| format!("{k:?}")).collect();
        let results = measure(&lab, scheduler, &listed.join(", "), &model, &["write"]);
        for &kernel in kernels {
            let report = report(&results, kernel, "write");
            assert_eq!(report.device.scheduler, scheduler, "{kernel}");
            let mut modules = report.boot.modules.clone();
            modules.retain(|name| !["configfs", "null_blk"].contains(&name.as_str()));
            let expected = module.filter(|_| kernel != "6.1");
            assert_eq!(modules, Vec::from_iter(expected), "{kernel} {scheduler}");
        }
    }
}

/// Without a cache a durable write takes what any other does, and that is said.
#[test]
fn without_a_write_cache_durable_writes_carry_a_note() {
    let Some(lab) = Lab::open("without_a_write_cache_durable_writes_carry_a_note") else {
        return;
    };
    let results = measure(&lab, "free", "\"7.2\"", "", &DURABLE);
    let notes = results["notes"].to_string();
    assert!(
        notes.contains("durability is free in dsync, fdatasync"),
        "{notes}"
    );
    for workload in ["plain", "dsync", "fdatasync"] {
        let report = report(&results, "7.2", workload);
        assert_eq!(report.device.write_cache, "write through", "{workload}");
        for repetition in &report.repetitions {
            assert_eq!(repetition.device_flushes, Some(0), "{workload}");
        }
    }
}

/// A flush that takes what the rest does is the disk's own; one that takes another time is a second
/// disk's. On either a durable call takes a flush more than a plain one, at least.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_durable_write_takes_a_flush_and_flushes_are_counted() {
    let Some(lab) = Lab::open("a_durable_write_takes_a_flush_and_flushes_are_counted") else {
        return;
    };
    let volatile = "write_cache = \"volatile\"";
    let longer = format!("{volatile}\nflush_latency = \"300us\"");
    // device-mapper is the same for every kernel, and what it announces differs from 6.11 on.
    for (name, model, flush_ns, kernels) in [
        ("same", volatile, 80_000, &["5.10", "7.2"][..]),
        ("longer", &longer, 300_000, &["7.2"]),
    ] {
        let listed: Vec<String> = kernels.iter().map(|k| format!("{k:?}")).collect();
        let results = measure(&lab, name, &listed.join(", "), model, &DURABLE);
        let notes = results["notes"].to_string();
        assert_eq!(notes.contains("device-mapper"), name == "longer", "{notes}");
        for &kernel in kernels {
            let plain = report(&results, kernel, "plain");
            let device = &plain.device;
            assert_eq!(device.write_cache, "write back", "{kernel} {name}");
            assert_eq!(device.fua, Some(0), "{kernel} {name}");
            assert_eq!(device.size, 512 << 20, "{kernel} {name}");
            let slowest = plain.repetitions.iter().map(per_io).max().expect("two");
            assert!(slowest < 80_000 + 40_000, "{kernel} {name}: {slowest}");
            for workload in ["dsync", "fdatasync"] {
                for repetition in &report(&results, kernel, workload).repetitions {
                    let label = format!("{kernel} {name} {workload}: {repetition:?}");
                    assert!(per_io(repetition) >= slowest + flush_ns, "{label}");
                    assert!(per_io(repetition) < slowest + flush_ns + 60_000, "{label}");
                    let flushes = repetition.device_flushes.expect("a count");
                    assert!(flushes >= repetition.span_ios, "{label}");
                }
            }
        }
    }
}

/// With FUA an overwrite through O_DSYNC is one request, and takes a write's latency.
#[test]
fn a_fua_write_needs_no_flush_and_fdatasync_does() {
    let Some(lab) = Lab::open("a_fua_write_needs_no_flush_and_fdatasync_does") else {
        return;
    };
    let model = "write_cache = \"volatile\"\nfua = true";
    let results = measure(&lab, "fua", "\"6.1\", \"7.2\"", model, &DURABLE);
    let notes = results["notes"].to_string();
    assert!(notes.contains("FUA write"), "{notes}");
    for kernel in ["6.1", "7.2"] {
        let flushes = |workload: &str| -> Vec<u64> {
            let report = report(&results, kernel, workload);
            assert_eq!(report.device.fua, Some(1), "{kernel}");
            let all = report.repetitions.iter();
            all.map(|r| r.device_flushes.expect("a count")).collect()
        };
        assert_eq!(flushes("dsync"), [0, 0], "{kernel}");
        assert!(flushes("fdatasync").iter().all(|n| *n >= 100), "{kernel}");
    }
}
