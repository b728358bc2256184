//! Job files, good and bad.

use super::*;

/// Nothing is included, no variable has a value, and fio refuses nothing.
const NOTHING: Outside<'static> = Outside {
    include: &|name| Err(format!("{name} is not there")),
    variable: &|_| None,
    refused: &|_| None,
};

pub(super) const MODEL: Wanted<'static> = Wanted {
    guest: Guest {
        sector: 512,
        cpus: 1,
        on: checker::On::Filesystems,
    },
    limits: Limits {
        device: 512 << 20,
        by_instructions: true,
        scale: true,
    },
    sections: &[],
    overwrite: false,
};

fn runs(text: &str, wanted: &Wanted<'_>) -> Result<Vec<Run>, Vec<Refusal>> {
    super::job_file(&ini::lines(text), wanted, &NOTHING)
}

fn on_the_model(text: &str) -> Result<Vec<Run>, Vec<Refusal>> {
    runs(text, &MODEL)
}

/// The only group of a file.
fn job_file(text: &str) -> Result<(Workload, Fio), Vec<Refusal>> {
    let mut runs = on_the_model(text)?;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = runs.remove(0);
    Ok((run.workload, run.fio))
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
        refused("rw=randread", "rw=randread\nfilename=/dev/sda:/dev/sdb"),
        refused("rw=write", "rw=trim"),
        refused("rw=write", "rw=write\nverify=crc32c\nverify_fatal=1"),
        refused("runtime=500ms", "unlink=1"),
        refused("direct=1", "direct=0"),
        refused("direct=1", ""),
        refused("thread", "exec_prerun=x"),
        refused("bs=16k", "bs=8x"),
        refused("numjobs=2", "numjobs=$ncpus"),
        refused("numjobs=2", "size=${SIZE}"),
        refused("iodepth=4", "iodepth=40000"),
        refused("iodepth=4", "cpus_allowed=0,4"),
        refused("iodepth=4", "iomem=mmaphuge"),
        refused("iodepth=4", "latency_target=500000\nlatency_window=5000000"),
        refused("[global]", "[Global]"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    3: job `reader`, `ioengine=rbd`: it is not one of the engines that do direct file I/O in the guest; use one of io_uring, libaio, psync, pvsync, pvsync2, sync, vsync
    11: job `reader`, `filename=/dev/sda:/dev/sdb`: it names several files; name one file, or leave filename out
    14: job `writer`, `rw=trim`: it is not a supported direction; use read, write, randread, randwrite, rw or randrw
    15: job `writer`, `verify=crc32c`: verifying I/O would be counted as the workload's; leave it out, if that is still the test you mean: without it this would be another test
    7: job `reader`, `time_based`: without a runtime it never ends; add runtime=1s
    4: job `reader`, `direct=0`: it is buffered I/O, and only direct I/O is measured; use direct=1, if that is still the test you mean
    9: job `reader`, `direct`: without it fio's I/O is buffered, and only direct I/O is measured; add direct=1, if that is still the test you mean
    5: job `reader`, `exec_prerun=x`: there is no other program in the guest; leave it out, if that is still the test you mean: without it this would be another test
    16: job `writer`, `bs=8x`: it is not a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes); use a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)
    18: `numjobs=$ncpus`: `$` is not a variable; write ${NAME}, or the value itself
    18: `size=${SIZE}`: ${SIZE} has no value; add -D SIZE=VALUE, or set it in the environment
    9: its buffers take 1250 MiB, and the guest has 256 MiB for them; use a smaller bs, iodepth or numjobs, if that is still the test you mean
    17: job `writer`, `cpus_allowed=0,4`: the guest has one CPU, number 0; leave it out, or give the guest more CPUs: [guest] smp
    17: job `writer`, `iomem=mmaphuge`: the guest has no huge pages set aside; leave it out, if that is still the test you mean
    17: job `writer`, `latency_target=500000`: fio changes the queue depth until the latency fits, so no two kernels would do the same I/O; leave it out, if that is still the test you mean: without it this would be another test
    9: job `reader`, `direct`: without it fio's I/O is buffered, and only direct I/O is measured; write [global]: fio takes [Global] (line 2) for a job
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
        at: 0,
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
        refused("size=16m\nbsrange=4k-6000\n"),
        refused("size=16m\nbssplit=4k/50:100/50\n"),
        refused("size=16m\nruntime=300 ms\n"),
        refused("size=16m\nruntime=5ms\n"),
        refused("size = 16m\niodepth = 4\n"),
        refused("size=16m\noffset=100\n"),
        refused("filesize=1m-4m\n"),
        refused("filesize=1m\noffset=1m\n"),
        refused("size=2k\n"),
        refused("size=16m\nnumjobs=0\n"),
        refused("size=16m\nrw=write\nfallocate=yes\n"),
        refused("size=1m\nrw=write\nfile_append=1\nfilesize=4m\n"),
        refused("rw=write\nfile_append=1\n"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    9: job `j`, `direct=true`: fio accepts only 0 or 1 for it; use direct=1 or direct=0
    9: job `j`, `direct=0`: it is buffered I/O, and only direct I/O is measured; use direct=1, if that is still the test you mean
    9: job `j`, `buffered=1`: it is buffered I/O, and only direct I/O is measured; use direct=1, if that is still the test you mean
    9: job `j`, `end_fsync`: fio accepts only 0 or 1 for it; use end_fsync=1 or end_fsync=0
    9: job `j`, `hipri`: it is an option of io_uring and pvsync2, not of libaio; leave it out
    9: job `j`, `bs=4KiB`: it is not a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes); use a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)
    9: job `j`, `bsrange=4k-6000`: it is not a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes); use a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)
    9: job `j`, `bssplit=4k/50:100/50`: it is not a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes); use a multiple of 512 bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)
    9: job `j`, `runtime=300 ms`: it is not a time in us, ms, s or m, such as 500ms; use a time in us, ms, s or m, such as 500ms
    9: job `j`, `runtime`: fio counts whole milliseconds, and it is shorter than 200ms; use runtime=500ms or more
    8: job `j`, `size = 16m`: fio takes the blank behind `=` for a part of the value; write size=16m
    9: job `j`, `offset=100`: it is not a multiple of 512 bytes, the drive's block, or a share; use a multiple of 512 bytes, the drive's block, or a share
    8: job `j`, `filesize=1m-4m`: it is not a number of bytes, such as 64m, or a share, such as 10%; use a number of bytes, such as 64m, or a share, such as 10%
    9: job `j`, `offset`: a clone of the job would start beyond the end of its file; use a smaller offset, or a larger filesize
    8: job `j`, `size`: it is less than one block; use a larger size, or a smaller bs
    9: job `j`, `numjobs=0`: it is not a number from 1 to 64; use a number from 1 to 64
    10: job `j`, `fallocate=yes`: fio has no such mode; use native, posix, keep, truncate or none
    11: job `j`, `filesize`: with file_append fio would extend the file to it first; use size alone
    9: job `j`, `file_append`: how much is appended must be known; add a size in bytes: size=16m
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
    let pages = Wanted {
        guest: Guest {
            sector: 4096,
            cpus: 1,
            on: checker::On::Filesystems,
        },
        ..MODEL
    };
    let found = runs(&small, &pages).unwrap_err();
    let said: Vec<&str> = found.iter().map(|r| r.what.as_str()).collect();
    assert!(
        said.len() == 2 && said.iter().all(|what| what.contains("multiple of 4096")),
        "{said:?}"
    );
}

#[test]
fn jobs_behind_a_stonewall_are_runs_of_their_own() {
    let four = "[global]\nioengine=libaio\ndirect=1\nsize=8m\nfilename=data\n[seq read]\nrw=read\nstonewall\n\
                [rand]\nrw=randread\nstonewall\n[w1]\nrw=write\nwait_for_previous\noverwrite=1\n[w2]\nrw=write\nstonewall=0\n";
    let found = on_the_model(four).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|run| run.suffix.as_deref().unwrap_or("-"))
        .collect();
    assert_eq!(names, ["seq-read", "rand", "3"]);
    insta::assert_snapshot!(found[2].fio.jobs, @r"
    [global]
    ioengine=libaio
    direct=1
    size=8m
    filename=data
    [w1]
    rw=write
    overwrite=1
    [w2]
    rw=write
    ");
    insta::assert_snapshot!(found[0].fio.jobs, @r"
    [global]
    ioengine=libaio
    direct=1
    size=8m
    filename=data
    [seq read]
    rw=read
    ");
    let one = Wanted {
        sections: &["rand".to_owned()],
        ..MODEL
    };
    let one = runs(four, &one).unwrap();
    assert_eq!((one.len(), &one[0].suffix), (1, &None));
    assert_eq!(one[0].workload.rw, Rw::Randread);
    let none = Wanted {
        sections: &["rnad".to_owned()],
        ..MODEL
    };
    let none = runs(four, &none).unwrap_err();
    assert!(none[0].next.contains("did you mean `rand`?"), "{none:?}");
}

#[test]
fn sizes_and_times_of_a_real_drive_are_scaled_by_one_factor() {
    let real = "[global]\nioengine=libaio\ndirect=1\nruntime=60\ntime_based\n[a]\nsize=2G\nrw=read\n\
                [b]\nsize=6G\noffset=1G\nio_size=12G\nrw=randread\nruntime=30\n";
    let run = &on_the_model(real).unwrap()[0];
    insta::assert_snapshot!(run.fio.jobs, @r"
    [global]
    ioengine=libaio
    direct=1
    runtime=500ms
    time_based
    [a]
    size=29822976
    rw=read
    [b]
    size=89477120
    offset=14909440
    io_size=178954240
    rw=randread
    runtime=250ms
    ");
    insta::assert_snapshot!(run.said.join("\n"), @r"
    size 2 GiB -> 29124 KiB, size 6 GiB -> 87380 KiB, io_size 12 GiB -> 174760 KiB, offset 1 GiB -> 14560 KiB: of every job, by one factor, for a drive of 512 MiB
    runtime 60 s -> 500 ms, runtime 30 s -> 250 ms: of every job, by one factor; a second in which the guest is busy takes some 5 CPU seconds
    its figure is the sum of jobs that do different things: a (read 4 KiB, libaio, depth 1), b (randread 4 KiB, libaio, depth 1); each job's own figures are in results.json
    ");
    let lengths: Vec<u64> = run.fio.files.iter().map(|f| f.size).collect();
    assert!(lengths.iter().sum::<u64>() <= 128 << 20, "{lengths:?}");
    assert_eq!(run.workload.bound, Bound::Runtime(500_000_000));

    // On a drive by the wall clock only what does not fit is scaled.
    let limits = Limits {
        device: 100 << 30,
        by_instructions: false,
        scale: true,
    };
    let drive = &runs(real, &Wanted { limits, ..MODEL }).unwrap()[0];
    assert!(drive.fio.jobs.contains("runtime=60\n") && drive.fio.jobs.contains("size=6G\n"));
    assert_eq!(drive.workload.bound, Bound::Runtime(60_000_000_000));
    let limits = Limits {
        device: 8 << 30,
        ..limits
    };
    let small = &runs(real, &Wanted { limits, ..MODEL }).unwrap()[0];
    assert!(small.said[0].contains("size 2 GiB ->"), "{:?}", small.said);
    assert!(small.fio.jobs.contains("runtime=60\n"));
}

#[test]
fn a_size_that_is_the_drives_becomes_one_of_this_drive() {
    let said = |more: &str| {
        let text = format!(
            "[j]\nioengine=libaio\ndirect=1\nrw=randread\nruntime=300ms\ntime_based\n{more}"
        );
        let run = &on_the_model(&text).unwrap()[0];
        let sum: u64 = run.fio.files.iter().map(|f| f.size).sum();
        let own = run
            .fio
            .jobs
            .lines()
            .filter(|l| l.contains("size") || l.contains("offset"));
        let own: Vec<&str> = own.collect();
        format!(
            "{} MiB: {}: {}",
            sum >> 20,
            own.join(" "),
            run.said.join("; ")
        )
    };
    let all = [
        said("filename=/dev/nvme0n1\n"),
        said("size=100%\n"),
        said("size=10%\n"),
        said("size=50%\nnumjobs=2\n"),
        said("size=100%\nnumjobs=4\noffset_increment=500G\nfilename=/dev/sdb\n"),
        said("filesize=2500G\nnumjobs=4\noffset_increment=500G\n"),
        said("size=25%\noffset=50%\n"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    128 MiB: filesize=134217728: no size -> 128 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part; filename=/dev/nvme0n1 is the file nvme0n1 in the file system under test
    128 MiB: size=134217728 filesize=134217728: size 100% -> 128 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part
    128 MiB: size=13418496 filesize=134217728: size 10% -> 13104 KiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part
    128 MiB: size=33554432 filesize=67108864: size 50% -> 32 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part
    128 MiB: size=134217728 offset_increment=33554432 filesize=134217728: offset_increment 500 GiB -> 32 MiB: of every job, by one factor, for a drive of 512 MiB; size 100% -> 128 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part; filename=/dev/sdb is the file sdb in the file system under test
    128 MiB: filesize=33554432 offset_increment=6709248: filesize 2500 GiB -> 32 MiB, offset_increment 500 GiB -> 6552 KiB: of every job, by one factor, for a drive of 512 MiB
    128 MiB: size=33554432 offset=67108864 filesize=134217728: size 25% -> 32 MiB, offset 50% -> 64 MiB: the drive that the job means is one of 512 MiB here, of which the files of a run get a part
    ");
}

#[test]
fn taken_literally_a_file_is_as_it_is_or_refused() {
    let literal = Wanted {
        limits: Limits {
            scale: false,
            ..MODEL.limits
        },
        ..MODEL
    };
    let job = "[j]\nioengine=libaio\ndirect=1\nrw=randread\nruntime=60\ntime_based\nsize=300m\n";
    let run = &runs(job, &literal).unwrap()[0];
    assert_eq!(
        (run.workload.bound, run.fio.jobs.as_str()),
        (Bound::Runtime(60_000_000_000), job)
    );
    assert!(run.said.is_empty(), "{:?}", run.said);
    let large = runs(&job.replace("300m", "2G"), &literal).unwrap_err();
    assert!(
        large[0].what.contains("more than 3/4 of the drive"),
        "{large:?}"
    );
    let long = runs(&job.replace("=60", "=99h"), &literal).unwrap_err();
    assert_eq!((long.len(), long[0].line), (1, 5), "{long:?}");
}

#[test]
fn a_run_without_an_end_in_time_gets_one_where_it_moves_much() {
    let job = "[j]\nioengine=libaio\ndirect=1\nrw=randread\nsize=64m\nloops=100\n";
    let run = &on_the_model(job).unwrap()[0];
    assert!(
        run.fio.jobs.contains("loops=100\nruntime=500ms\n"),
        "{}",
        run.fio.jobs
    );
    assert!(run.said[0].contains("1638400"), "{:?}", run.said);
    let few = &on_the_model(&job.replace("loops=100", "number_ios=1000")).unwrap()[0];
    assert!(!few.fio.jobs.contains("runtime"), "{}", few.fio.jobs);
    assert_eq!(few.workload.bound, Bound::Ios(1000));
}

#[test]
fn what_a_figure_does_not_show_by_itself_is_said() {
    let said = |text: &str| on_the_model(text).unwrap()[0].said.join("\n");
    let write = "[w]\nioengine=libaio\ndirect=1\nrw=write\nsize=16m\nruntime=300ms\ntime_based\n";
    let all = [
        said(write),
        said(&format!("{write}sqthread_poll=1\n").replace("libaio", "io_uring")),
        said(TWO),
        said(&write.replace("[w]", "[w]\noverwrite=1")),
        said(&write.replace(
            "[w]",
            "[w]\ndirectory=/mnt/x\nramp_time=2s\nfilename=/dev/sdb\noverwrite=1",
        )),
    ];
    insta::assert_snapshot!(all.join("\n\n"), @r"
    job w writes into a file that is allocated and was never written (fio's default): a run this short measures how the file system converts extents; overwrite = true (--overwrite) writes the file first

    job w writes into a file that is allocated and was never written (fio's default): a run this short measures how the file system converts extents; overwrite = true (--overwrite) writes the file first
    job w has a polling kernel thread (sqthread_poll) that shares the guest's only CPU with fio: this measures the scheduler more than the I/O; [guest] smp = 2 gives it a CPU

    its figure is the sum of jobs that do different things: reader (randread 4 KiB, libaio, depth 16), writer (write 16 KiB, libaio, depth 4); each job's own figures are in results.json



    directory=/mnt/x is left out: files are in the file system under test
    ramp_time=2s is left out: an uncounted run of the whole job comes before the repetitions
    filename=/dev/sdb is the file sdb in the file system under test
    ");
    let first = Wanted {
        overwrite: true,
        ..MODEL
    };
    let run = &runs(write, &first).unwrap()[0];
    assert!(run.said.is_empty() && run.fio.jobs.ends_with("time_based\noverwrite=1\n"));
    assert_eq!(run.fio.files[0].layout, Layout::Written);
}

#[test]
fn files_of_different_directories_are_different_files() {
    let text = "[global]\nioengine=libaio\ndirect=1\nrw=randread\nsize=1m\nfilename=data\n\
                [a]\ndirectory=/mnt/a\n[b]\ndirectory=/mnt/b\n[c]\nfilename=./other\n[d]\nfilename=/dev/disk/by-id/x\n";
    let run = &on_the_model(text).unwrap()[0];
    let names: Vec<_> = run.fio.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["mnt-a-data", "mnt-b-data", "other", "x"]);
    insta::assert_snapshot!(run.fio.jobs, @r"
    [global]
    ioengine=libaio
    direct=1
    rw=randread
    size=1m
    filename=mnt-a-data
    [a]
    [b]
    filename=mnt-b-data
    [c]
    filename=other
    [d]
    filename=x
    ");
}

#[test]
fn limits_of_size_are_said_in_the_first_round() {
    let literal = Wanted {
        limits: Limits {
            scale: false,
            ..MODEL.limits
        },
        ..MODEL
    };
    let two =
        "[a]\nioengine=libaio\ndirect=1\nsize=2G\nrw=read\n[b]\nioengine=rbd\ndirect=1\nsize=1m\n";
    let found = runs(two, &literal).unwrap_err();
    let lines: Vec<usize> = found.iter().map(|refusal| refusal.line).collect();
    assert_eq!(lines, [7, 4], "{found:?}");
}

#[test]
fn fio_is_asked_about_what_it_would_be_given() {
    let asked = std::cell::RefCell::new(Vec::new());
    let outside = Outside {
        refused: &|jobs| {
            asked.borrow_mut().push(jobs.to_owned());
            Some("fio: failed parsing random_distribution=zopf\nfio: job a dropped\n".to_owned())
        },
        ..NOTHING
    };
    let jobs = "[a]\nrandom_distribution=zopf\ndirect=1\nioengine=libaio\nsize=1m\n";
    let found = super::job_file(&ini::lines(jobs), &MODEL, &outside).unwrap_err();
    assert_eq!((found.len(), found[0].line), (1, 2), "{found:?}");
    assert_eq!(asked.into_inner(), [jobs]);
}
