//! The block device itself, without a file system: by our own engine and by fio.

use crate::common::{Lab, digits};
use diorama_wire::CellReport;

/// Two engines, several threads and several files, in cells of a second or two.
const SCENARIO: &str = r#"
name = "raw"
title = "The device itself"
baseline = "6.12"
kernels = ["6.12"]
[measure]
repetitions = 2
[filesystems.raw]
kind = "none"
[workloads.write-4k]
rw = "write"
bs = "4k"
size = "4MiB"
number_ios = 2000
[workloads.read-4k]
rw = "randread"
bs = "4k"
size = "4MiB"
number_ios = 2000
numjobs = 2
[workloads.job]
fio = "job.fio"
scale = "none"
"#;

/// Each clone of `a` has a file, and so a part of the device, of its own; `b` names the drive.
const JOB: &str = "[global]\nioengine=libaio\ndirect=1\nbs=4k\nsize=2m\niodepth=4\nthread\n\
    time_based\nruntime=200ms\n[a]\nrw=write\nnumjobs=2\n[b]\nrw=randread\nfilename=/dev/nvme0n1\n";

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn the_device_itself_is_measured_and_audited_and_exact() {
    let test = "the_device_itself_is_measured_and_audited_and_exact";
    let Some(lab) = Lab::open(test) else { return };
    lab.write("job.fio", JOB);
    let path = lab.write("raw.toml", SCENARIO);
    lab.measure(&[&path], 0);
    let results = lab.measure(&[&path, "--verify"], 0);
    for (name, cell) in digits(&results) {
        let report: CellReport = serde_json::from_value(cell["guest"].clone()).expect("a report");
        assert_eq!(report.filesystem.kind, "none", "{name}");
        assert!(report.filesystem.mkfs.is_empty(), "{name}");
        assert_eq!(report.filesystem.extents, 0, "{name}");
        let evidence = &report.evidence;
        let cached = evidence.cached_pages_before + evidence.cached_pages_after;
        assert!(evidence.o_direct && cached == 0, "{name}: {evidence:?}");
        // All of what the agent wrote, threads' parts each; of fio's what it only read.
        let blocks = match name.rsplit('/').next() {
            Some("read-4k") => 2048,
            Some("job") => 512,
            _ => 1024,
        };
        assert_eq!(evidence.verified_blocks, blocks, "{name}: {evidence:?}");
        for repetition in &report.repetitions {
            assert!(repetition.device_ios >= repetition.ios, "{name}");
            assert!(repetition.ios > 0, "{name}");
        }
    }
    let said = results["notes"].to_string();
    for wanted in [
        "filename=/dev/nvme0n1 is the block device under test",
        "a part of the device of its own",
        "contention is not modelled",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
