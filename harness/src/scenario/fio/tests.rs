//! Job files, good and bad.

use super::*;

fn job_file(text: &str) -> Result<(Workload, Fio), Vec<Refusal>> {
    super::job_file(text, 512)
}

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
    3: job `reader`, `ioengine=rbd`: it is not one of the engines that do direct file I/O in the guest; use one of io_uring, libaio, psync, pvsync, pvsync2, sync, vsync
    11: job `reader`, `filename=/dev/sda`: it is outside the file system under test; use a bare file name, without a directory: filename=data
    14: job `writer`, `rw=trim`: it is not a supported direction; use read, write, randread, randwrite, rw or randrw
    8: job `reader`, `unlink=1`: the file is checked after the run; leave it out
    7: job `reader`, `time_based`: without a runtime it never ends; add runtime=1s
    4: job `reader`, `direct=0`: only direct I/O is measured; use direct=1
    5: job `reader`, `write_bw_log=x`: its output would be written during the measurement; leave it out
    1: job `reader`, `size`: it is missing; add the size of the job's file: size=64m
    1: job `writer`, `size`: it is missing; add the size of the job's file: size=64m
    18: job `writer`, `numjobs=$ncpus`: variables are not expanded here; write the value itself
    18: job `writer`, `stonewall`: make jobs that run one after another separate workloads; leave it out
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
    assert!(
        found[0].what.contains("at most 6144 can be passed"),
        "{found:?}"
    );
}

/// A job that reads, with more options.
fn reader(more: &str) -> String {
    format!("[j]\nioengine=libaio\ndirect=1\nrw=randread\nbs=4k\nruntime=300ms\ntime_based\n{more}")
}

fn lengths(jobs: &str) -> Vec<(String, u64)> {
    let (_, fio) = job_file(jobs).unwrap();
    fio.files.into_iter().map(|f| (f.name, f.size)).collect()
}

#[test]
fn files_are_as_long_as_offsets_and_filesize_make_them() {
    const M: u64 = 1 << 20;
    let one = |len| vec![("j.0.0".to_owned(), len)];
    assert_eq!(lengths(&reader("size=16m\noffset=8m\n")), one(24 * M));
    assert_eq!(lengths(&reader("size=8m\nfilesize=32m\n")), one(32 * M));
    assert_eq!(lengths(&reader("filesize=32m\n")), one(32 * M));
    let clones = "size=4m\nnumjobs=3\noffset_increment=4m\n";
    let each: Vec<_> = lengths(&reader(clones)).into_iter().map(|f| f.1).collect();
    assert_eq!(each, [4 * M, 8 * M, 12 * M]);
    let shared = reader(&format!("{clones}filename=data\n"));
    assert_eq!(lengths(&shared), [("data".to_owned(), 12 * M)]);
    // 16 MiB as fio reads it, to the next whole block.
    assert_eq!(lengths(&reader("size=16MiB\n")), one(16_003_072));
    let (workload, _) = job_file(&shared).unwrap();
    assert_eq!(workload.file_size, 12 * M, "what the drive must hold");
}

#[test]
fn a_comment_is_part_of_no_name_and_no_value() {
    let jobs = reader("size=16m ; MiB\nfilename=data ; the file\nnumjobs=2\t; two\n");
    let (_, fio) = job_file(&jobs).unwrap();
    assert_eq!(fio.files.len(), 1);
    assert_eq!(fio.files[0].name, "data");
    assert!(!fio.jobs.contains(';'), "{}", fio.jobs);
}

#[test]
fn polled_completions_reach_the_device_that_is_made() {
    let uring = reader("size=16m\nhipri\n").replace("libaio", "io_uring");
    let (workload, _) = job_file(&uring).unwrap();
    assert!(workload.io_uring.hipri);
    assert!(!job_file(&reader("size=16m\n")).unwrap().0.io_uring.hipri);
    // fio overlooks it in [global] for an engine that does not know it.
    let global = format!(
        "[global]\nhipri=1\nioengine=io_uring\n{}",
        reader("size=16m\n")
    );
    assert!(!job_file(&global).unwrap().0.io_uring.hipri);
    let pvsync2 = uring.replace("io_uring", "pvsync2");
    assert!(job_file(&pvsync2).unwrap().0.io_uring.hipri);
}

#[test]
fn what_fio_would_refuse_or_read_otherwise_is_refused_before_any_boot() {
    let refused = |more: &str| {
        let found = job_file(&reader(more)).unwrap_err();
        let lines: Vec<_> = (found.iter())
            .map(|r| format!("{}: {}; {}", r.line, r.what, r.next))
            .collect();
        lines.join("\n")
    };
    let all = [
        refused("size=16m\ndirect=true\n"),
        refused("size=16m\ndirect=0 ; buffered on purpose\n"),
        refused("size=16m\nbuffered=1\n"),
        refused("size=16m\nend_fsync\n"),
        refused("size=16m\nhipri\n"),
        refused("size=16m\nbs=4KiB\n"),
        refused("size=50%\n"),
        refused("size=16m\noffset=25%\n"),
        refused("size=16m\noffset=100\n"),
        refused("filesize=1m-4m\n"),
        refused("filesize=1m\noffset=1m\n"),
        refused("size=16m\nnumjobs=0\n"),
        refused("size=16m\nrw=write\nfallocate=yes\n"),
        refused("size=1m\nrw=write\nfile_append=1\nfilesize=4m\n"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    9: job `j`, `direct=true`: fio accepts only 0 or 1 for it; use direct=1 or direct=0
    9: job `j`, `direct=0`: only direct I/O is measured; use direct=1
    9: job `j`, `direct=0`: only direct I/O is measured; use direct=1
    9: job `j`, `end_fsync`: fio accepts only 0 or 1 for it; use end_fsync=1 or end_fsync=0
    9: job `j`, `hipri`: it is an option of io_uring and pvsync2, not of libaio; leave it out
    9: job `j`, `bs=4KiB`: it is not a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes); use a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)
    8: job `j`, `size=50%`: it is not a number of bytes, such as 64m; use a number of bytes, such as 64m
    9: job `j`, `offset=25%`: it is not a number of bytes, a multiple of 512, the drive's block; use a number of bytes, a multiple of 512, the drive's block
    9: job `j`, `offset=100`: it is not a number of bytes, a multiple of 512, the drive's block; use a number of bytes, a multiple of 512, the drive's block
    8: job `j`, `filesize=1m-4m`: it is not a number of bytes, such as 64m; use a number of bytes, such as 64m
    9: job `j`, `offset`: a clone of the job would start beyond the end of its file; use a smaller offset, or a larger filesize
    9: job `j`, `numjobs=0`: it is not a number from 1 to 64; use a number from 1 to 64
    10: job `j`, `fallocate=yes`: fio has no such mode; use native, posix, keep, truncate or none
    11: job `j`, `filesize`: with file_append fio would extend the file to it first; use size alone
    ");
}

#[test]
fn what_fio_allocates_in_a_way_of_its_own_it_makes_itself() {
    let layout = |more: &str| {
        let jobs = reader(more).replace("randread", "write");
        job_file(&jobs).unwrap().1.files[0].layout
    };
    assert_eq!(layout("size=1m\n"), Layout::Unwritten);
    assert_eq!(layout("size=1m\nfallocate=posix\n"), Layout::Unwritten);
    for own in ["none", "0", "keep", "truncate"] {
        let more = format!("size=1m\nfallocate={own}\n");
        assert_eq!(layout(&more), Layout::Extending, "{own}");
    }
    assert_eq!(layout("size=1m\nfile_append=1\n"), Layout::Append);
    // Appended to and overwritten: shortened before each run, or it grew from one to the next.
    let both = format!(
        "{}[k]\nioengine=libaio\ndirect=1\nrw=write\nsize=1m\nfilename=f\nfile_append=1\n",
        reader("size=1m\nfilename=f\n")
    );
    assert_eq!(job_file(&both).unwrap().1.files[0].layout, Layout::Append);
}

#[test]
fn what_the_drives_block_does_not_divide_is_refused_before_any_boot() {
    let small = reader("size=16m\noffset=512\n").replace("bs=4k", "bs=512");
    assert!(job_file(&small).is_ok());
    let found = super::job_file(&small, 4096).unwrap_err();
    let said: Vec<&str> = found.iter().map(|r| r.what.as_str()).collect();
    assert!(
        said.len() == 2 && said.iter().all(|what| what.contains("multiple of 4096")),
        "{said:?}"
    );
}
