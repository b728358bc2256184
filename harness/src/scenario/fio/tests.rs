//! Job files, good and bad.

use super::*;

const TWO: &str = "
    [global]
    ioengine=libaio
    direct=1
    thread
    size=16m
    time_based
    runtime=500ms
    [reader]
    rw=randread
    bs=4k
    iodepth=16
    [writer]
    rw=write
    overwrite=1
    bs=16k
    iodepth=4
    numjobs=2
    ";

#[test]
fn two_jobs_are_understood() {
    let (workload, fio) = job_file(TWO).unwrap();
    let names: Vec<_> = fio
        .files
        .iter()
        .map(|f| (f.name.as_str(), f.read_only))
        .collect();
    assert_eq!(
        names,
        [
            ("reader.0.0", true),
            ("writer.0.0", false),
            ("writer.1.0", false)
        ]
    );
    assert!(fio.files.iter().all(|f| f.layout == Layout::Written));
    assert_eq!((workload.rw, workload.file_size), (Rw::Randrw, 48 << 20));
    assert_eq!(workload.bound, Bound::Runtime(500_000_000));
    assert!(fio.jobs.starts_with("[global]\nioengine=libaio\n"));
}

fn refused(from: &str, to: &str) -> String {
    assert!(TWO.contains(from), "{from}");
    let found = job_file(&TWO.replacen(from, to, 1)).unwrap_err();
    let lines: Vec<_> = (found.iter())
        .map(|r| format!("{}: {}; {}", r.line, r.what, r.next))
        .collect();
    lines.join("\n")
}

#[test]
fn what_cannot_work_is_refused_by_job_option_and_reason() {
    let all = [
        refused("=libaio", "=rbd"),
        refused("rw=randread", "rw=randread\nfilename=/dev/sda"),
        refused("rw=write", "rw=trim"),
        refused("runtime=500ms", "unlink=1"),
        refused("direct=1", "direct=0"),
        refused("thread", "write_bw_log=x"),
        refused("size=16m", "bs=8k"),
        refused("numjobs=2", "numjobs=$ncpus"),
        refused("numjobs=2", "stonewall"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    3: job `reader`, `ioengine=rbd`: it is not one of the engines that do direct file I/O in the guest; write one of io_uring, libaio, psync, pvsync, pvsync2, sync, vsync
    11: job `reader`, `filename=/dev/sda`: it is outside of the file system under test; name the file alone, without a directory: filename=data
    14: job `writer`, `rw=trim`: it is not a direction that is measured; write read, write, randread, randwrite, rw or randrw
    8: job `reader`, `unlink=1`: the file is checked after the run; leave it out
    7: job `reader`, `time_based`: without a runtime it never ends; add runtime=1s
    4: job `reader`, `direct=0`: I/O through the page cache is not what is measured; write direct=1
    5: job `reader`, `write_bw_log=x`: its output would be written during the measurement; leave it out
    1: job `reader`, `size`: it is missing; write the size of the job's file: size=64m
    1: job `writer`, `size`: it is missing; write the size of the job's file: size=64m
    18: job `writer`, `numjobs=$ncpus`: there is nothing to expand it from; write the value itself
    18: job `writer`, `stonewall`: jobs after each other are workloads of their own; leave it out
    ");
}

#[test]
fn a_file_is_laid_out_as_its_neediest_job_wants_it() {
    let shared = TWO
        .replace("size=16m", "filename=data")
        .replace("numjobs=2", "size=8m");
    let shared = shared.replace("iodepth=16", "iodepth=16\nsize=16m");
    let (_, fio) = job_file(&shared).unwrap();
    let one = FioFile {
        name: "data".into(),
        size: 16 << 20,
        layout: Layout::Written,
        read_only: false,
    };
    assert_eq!(fio.files, [one]);
    let plain = job_file(&TWO.replace("overwrite=1", "")).unwrap().1;
    assert_eq!(plain.files[1].layout, Layout::Unwritten);
}

#[test]
fn what_does_not_fit_the_way_to_the_guest_is_refused() {
    let many = TWO.replace("numjobs=2", "numjobs=60");
    let many = many.replace(
        "[writer]",
        "[a-writer-with-a-name-as-long-as-the-others-are-short]",
    );
    let found = job_file(&many).unwrap_err();
    assert!(found[0].what.contains("6144 fit the way"), "{found:?}");
}
