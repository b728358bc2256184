//! Job files of the kinds that people publish, as they are: what each becomes.

use super::tests::MODEL;
use super::*;

/// Each by name; in tests/jobs.
const JOBS: &[(&str, &str)] = &[
    ("appender", include_str!("../../../tests/jobs/appender.fio")),
    (
        "clones-in-phases",
        include_str!("../../../tests/jobs/clones-in-phases.fio"),
    ),
    (
        "cloud-bandwidth",
        include_str!("../../../tests/jobs/cloud-bandwidth.fio"),
    ),
    (
        "database-phases",
        include_str!("../../../tests/jobs/database-phases.fio"),
    ),
    ("flows", include_str!("../../../tests/jobs/flows.fio")),
    ("formats", include_str!("../../../tests/jobs/formats.fio")),
    (
        "four-in-a-row",
        include_str!("../../../tests/jobs/four-in-a-row.fio"),
    ),
    ("includes", include_str!("../../../tests/jobs/includes.fio")),
    (
        "logs-and-words",
        include_str!("../../../tests/jobs/logs-and-words.fio"),
    ),
    (
        "mixed-vps",
        include_str!("../../../tests/jobs/mixed-vps.fio"),
    ),
    (
        "no-size-at-all",
        include_str!("../../../tests/jobs/no-size-at-all.fio"),
    ),
    (
        "raid-volume",
        include_str!("../../../tests/jobs/raid-volume.fio"),
    ),
    (
        "rate-limited",
        include_str!("../../../tests/jobs/rate-limited.fio"),
    ),
    (
        "raw-device",
        include_str!("../../../tests/jobs/raw-device.fio"),
    ),
    (
        "seq-read-big",
        include_str!("../../../tests/jobs/seq-read-big.fio"),
    ),
    ("shares", include_str!("../../../tests/jobs/shares.fio")),
    ("spaces", include_str!("../../../tests/jobs/spaces.fio")),
    ("splits", include_str!("../../../tests/jobs/splits.fio")),
    (
        "switched-off",
        include_str!("../../../tests/jobs/switched-off.fio"),
    ),
    (
        "two-groups",
        include_str!("../../../tests/jobs/two-groups.fio"),
    ),
    ("units", include_str!("../../../tests/jobs/units.fio")),
    (
        "uring-polled",
        include_str!("../../../tests/jobs/uring-polled.fio"),
    ),
    (
        "vendor-random",
        include_str!("../../../tests/jobs/vendor-random.fio"),
    ),
    ("zones", include_str!("../../../tests/jobs/zones.fio")),
];

fn runs(text: &str) -> Vec<Run> {
    let include = |name: &str| match name {
        "common.inc" => Ok(include_str!("../../../tests/jobs/common.inc").to_owned()),
        name => Err(format!("{name} is not there")),
    };
    let variable = |name: &str| match name {
        "DEPTH" => Some("8".to_owned()),
        "STEP" => Some("100G".to_owned()),
        _ => None,
    };
    let outside = Outside {
        include: &include,
        variable: &variable,
        refused: &|_| None,
    };
    let lines = source::included(text, &outside).expect("no include is missing");
    job_file(&lines, &MODEL, &outside).unwrap_or_else(|found| panic!("{found:#?}"))
}

/// One line for each group of jobs: its files, its end, and how much is said of it.
#[test]
fn every_one_of_them_runs_as_it_is() {
    let mut out = String::new();
    for (name, text) in JOBS {
        for run in runs(text) {
            let suffix = run
                .suffix
                .map_or(String::new(), |suffix| format!("-{suffix}"));
            let sizes = run.fio.files.iter().map(|f| f.size);
            let (files, size) = (run.fio.files.len(), sizes.sum::<u64>());
            let w = &run.workload;
            assert!(size <= 384 << 20, "{name}");
            out.push_str(&format!(
                "{name}{suffix}: {} {} x{}, {files} files of {} KiB, {:?}, {} notes\n",
                w.rw.name(),
                w.block_size,
                w.iodepth,
                size >> 10,
                w.bound,
                run.said.len()
            ));
        }
    }
    insta::assert_snapshot!(out, @r"
    appender: write 4096 x1, 1 files of 16384 KiB, Runtime(500000000), 1 notes
    clones-in-phases-w: randwrite 8192 x1, 3 files of 131064 KiB, Runtime(500000000), 3 notes
    clones-in-phases-r: randread 8192 x1, 3 files of 131064 KiB, Runtime(500000000), 2 notes
    cloud-bandwidth: read 1048576 x16, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    database-phases-big: write 1048576 x8, 4 files of 131072 KiB, Runtime(500000000), 7 notes
    database-phases-small: randwrite 4096 x8, 1 files of 32768 KiB, Runtime(500000000), 6 notes
    flows: randrw 4096 x32, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    formats: write 4096 x2, 2 files of 131072 KiB, Ios(32768), 1 notes
    four-in-a-row-read-seq: read 4096 x8, 1 files of 131072 KiB, Runtime(500000000), 3 notes
    four-in-a-row-read-rand: randread 4096 x8, 1 files of 131072 KiB, Runtime(500000000), 3 notes
    four-in-a-row-write-seq: write 4096 x8, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    four-in-a-row-write-rand: randwrite 4096 x8, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    includes: randread 8192 x4, 1 files of 131072 KiB, Runtime(500000000), 2 notes
    logs-and-words: read 65536 x4, 1 files of 131072 KiB, Ios(6144), 4 notes
    mixed-vps: randrw 8192 x32, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    no-size-at-all: randwrite 4096 x16, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    raid-volume: randrw 16384 x16, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    rate-limited: randread 4096 x1, 1 files of 131072 KiB, Runtime(500000000), 2 notes
    raw-device: randread 4096 x64, 1 files of 131072 KiB, Runtime(500000000), 3 notes
    seq-read-big: read 131072 x32, 1 files of 131072 KiB, Runtime(500000000), 2 notes
    shares: read 16384 x1, 1 files of 131072 KiB, Runtime(500000000), 3 notes
    spaces-My-Job-1: read 4096 x1, 1 files of 16384 KiB, Ios(4096), 0 notes
    spaces-a-b: randread 4096 x1, 1 files of 16384 KiB, Ios(4096), 0 notes
    splits: randrw 4096 x8, 1 files of 131072 KiB, Runtime(500000000), 2 notes
    switched-off: write 4096 x1, 1 files of 32768 KiB, Ios(8192), 2 notes
    two-groups-seq-read: read 4096 x32, 1 files of 131072 KiB, Runtime(500000000), 2 notes
    two-groups-over-write: randwrite 4096 x32, 1 files of 131072 KiB, Runtime(500000000), 2 notes
    units: randwrite 16384 x16, 1 files of 65540 KiB, Runtime(300000000), 1 notes
    uring-polled: randread 4096 x64, 4 files of 131072 KiB, Runtime(500000000), 4 notes
    vendor-random: randrw 4096 x32, 1 files of 131072 KiB, Runtime(500000000), 4 notes
    zones: randread 8192 x1, 1 files of 131072 KiB, Ios(16384), 1 notes
    ");
}

/// What a reader is told about some of them.
#[test]
fn what_was_changed_is_said() {
    let said = |name: &str| {
        let (_, text) = JOBS
            .iter()
            .find(|(own, _)| *own == name)
            .expect("a job file");
        let said = runs(text).into_iter().flat_map(|run| run.said);
        format!("{name}:\n{}", said.collect::<Vec<_>>().join("\n"))
    };
    let some = [
        "two-groups",
        "cloud-bandwidth",
        "database-phases",
        "switched-off",
        "flows",
    ]
    .map(said);
    insta::assert_snapshot!(some.join("\n"), @r"
    two-groups:
    size 2 GiB -> 128 MiB: of every job, by one factor, for a drive of 512 MiB
    runtime 60 s -> 500 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    size 2 GiB -> 128 MiB: of every job, by one factor, for a drive of 512 MiB
    runtime 60 s -> 500 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    cloud-bandwidth:
    filesize 1000 GiB -> 128 MiB, offset_increment 250 GiB -> 32 MiB: of every job, by one factor, for a drive of 512 MiB
    runtime 120 s -> 500 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    ramp_time=5s is left out: an uncounted run of the whole job comes before the repetitions
    filename=/dev/sdc is the file sdc in the file system under test
    database-phases:
    offset_increment 100 GiB -> 8 MiB: of every job, by one factor, for a drive of 512 MiB
    size 100% -> 32 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part
    runtime 180 s -> 500 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    ramp_time=2s is left out: an uncounted run of the whole job comes before the repetitions
    job big writes into a file that is allocated and was never written (fio's default): a run this short measures how the file system converts extents; overwrite = true (--overwrite) writes the file first
    ${DEPTH} is 8
    ${STEP} is 100G
    size 100% -> 32 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part
    runtime 180 s -> 500 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    ramp_time=2s is left out: an uncounted run of the whole job comes before the repetitions
    job small writes into a file that is allocated and was never written (fio's default): a run this short measures how the file system converts extents; overwrite = true (--overwrite) writes the file first
    ${DEPTH} is 8
    ${STEP} is 100G
    switched-off:
    threads=1 is left out: fio 3.33 has no such option (thread=1 makes threads)
    job off writes into a file that is allocated and was never written (fio's default): a run this short measures how the file system converts extents; overwrite = true (--overwrite) writes the file first
    flows:
    size 50 GiB -> 128 MiB: of every job, by one factor, for a drive of 512 MiB
    runtime 40 s -> 500 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    filename=/srv/test/file is the file file in the file system under test
    its figure is the sum of jobs that do different things: light (write 4 KiB, libaio, depth 32), heavy (randread 4 KiB, libaio, depth 32); each job's own figures are in results.json
    ");
}
