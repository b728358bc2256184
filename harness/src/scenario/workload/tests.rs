//! Every pattern as people write it, right and wrong.

use crate::scenario::{Overrides, Scenario, resolve};
use diorama_wire::{Batch, Bound, Engine, IoUring, Layout, Rw, Sync, Workload};
use std::path::Path;

const HEAD: &str = "name = \"s\"\ntitle = \"t\"\nbaseline = \"7.2\"\nkernels = [\"7.2\"]\n\
                    [filesystems.ext4]\n[workloads.w]\n";

fn read(keys: &str) -> crate::error::Result<Scenario> {
    let text = format!("{HEAD}{}\n", keys.replace("; ", "\n"));
    let known = ["7.2".to_owned()];
    resolve(
        &text,
        "s.toml",
        Path::new(""),
        &known,
        &Overrides::default(),
    )
}

fn job(keys: &str) -> Workload {
    let scenario = read(keys).unwrap_or_else(|e| panic!("{keys}: {}", e.render()));
    scenario.workloads[0].job.clone()
}

/// The problems, without the head and the foot of the message.
fn wrong(keys: &str) -> String {
    let error = read(keys).expect_err(keys).render();
    let lines = error.lines().filter(|line| line.starts_with("  s.toml"));
    lines
        .map(|line| line.replace("  s.toml:", ""))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_is_not_written_is_fios_default() {
    let plain = job("rw = \"write\"; bs = \"4k\"; number_ios = 10");
    let default = Workload::new(
        Engine::Libaio,
        Rw::Write,
        4096,
        64,
        64 << 20,
        Bound::Ios(10),
    );
    assert_eq!(plain, default);
    // As fio has it: the most that are reaped follow the least.
    let batch =
        job("rw = \"read\"; bs = \"4k\"; number_ios = 10; iodepth_batch_complete_min = 8").batch;
    assert_eq!(
        (batch.submit, batch.complete_min, batch.complete_max),
        (1, 8, 8)
    );
    let psync = job("rw = \"read\"; bs = \"4k\"; number_ios = 10; ioengine = \"psync\"");
    assert_eq!((psync.engine, psync.iodepth), (Engine::Psync, 1));
}

#[test]
fn every_key_reaches_the_job() {
    let all = job(
        "ioengine = \"io_uring\"; rw = \"readwrite\"; rwmixread = 70; randseed = 7; bs = 4096; \
         iodepth = 32; iodepth_batch = 4; iodepth_batch_complete_min = 2; \
         iodepth_batch_complete_max = 16; numjobs = 2; size = \"1MiB\"; overwrite = true; \
         sync = \"dsync\"; fdatasync = 100; fixedbufs = true; registerfiles = true; hipri = true; \
         runtime = \"40ms\"",
    );
    assert_eq!(
        all,
        Workload {
            engine: Engine::IoUring,
            rw: Rw::Rw,
            rwmixread: 70,
            randseed: 7,
            block_size: 4096,
            iodepth: 32,
            batch: Batch {
                submit: 4,
                complete_min: 2,
                complete_max: 16,
            },
            numjobs: 2,
            filename: String::new(),
            offset_increment: 0,
            file_size: 1 << 20,
            layout: Layout::Written,
            sync: Sync::Dsync,
            fdatasync: 100,
            io_uring: IoUring {
                fixedbufs: true,
                registerfiles: true,
                hipri: true,
            },
            bound: Bound::Runtime(40_000_000),
        }
    );
    let rwf =
        job("rw = \"randwrite\"; bs = \"1MiB\"; number_ios = 9; rwf_dsync = true; iodepth = 1");
    assert_eq!(
        (rwf.sync, rwf.rw, rwf.block_size),
        (Sync::RwfDsync, Rw::Randwrite, 1 << 20)
    );
}

#[test]
fn fios_words_say_what_the_file_is() {
    let layout = |keys: &str| {
        let job = job(&format!(
            "rw = \"write\"; bs = \"4k\"; number_ios = 100; {keys}"
        ));
        (job.layout, job.file_size)
    };
    let default = 64 << 20;
    assert_eq!(layout("overwrite = true"), (Layout::Written, default));
    assert_eq!(
        layout("fallocate = \"native\""),
        (Layout::Unwritten, default)
    );
    assert_eq!(
        layout("overwrite = false; fallocate = \"none\""),
        (Layout::Extending, 0)
    );
    assert_eq!(
        layout("file_append = true; size = \"1MiB\""),
        (Layout::Append, 1 << 20)
    );
    let random = job("rw = \"randwrite\"; bs = \"4k\"; number_ios = 100; fallocate = \"native\"");
    assert_eq!(random.layout, Layout::Unwritten);
}

#[test]
fn what_does_not_go_together_is_refused_with_its_reason() {
    let w = "rw = \"write\"; bs = \"4k\"; number_ios = 100; ";
    let cases = [
        // Engines and queues.
        wrong(&format!(
            "{w}ioengine = \"psync\"; iodepth = 4; iodepth_batch = 2"
        )),
        wrong(&format!(
            "{w}hipri = true; fixedbufs = true; registerfiles = true"
        )),
        wrong(&format!("{w}ioengine = \"iouring\"")),
        wrong(&format!(
            "{w}iodepth = 8; iodepth_batch = 9; iodepth_batch_complete_max = 9"
        )),
        wrong(&format!(
            "{w}iodepth_batch_complete_min = 4; iodepth_batch_complete_max = 2"
        )),
        wrong(&format!("{w}numjobs = 65")),
        // Directions.
        wrong("rw = \"readwrit\"; bs = \"4k\"; number_ios = 1"),
        wrong(&format!("{w}rwmixread = 70; randseed = 1")),
        wrong("rw = \"randrw\"; bs = \"4k\"; number_ios = 1; rwmixread = 101"),
        wrong("rw = \"randread\"; bs = \"8MiB\"; number_ios = 1; sync = \"dsync\"; fdatasync = 3"),
        wrong("rw = \"read\"; bs = \"4k\"; number_ios = 1; rwf_dsync = true"),
        wrong(&format!("{w}sync = \"dsync\"; rwf_dsync = true")),
        wrong(&format!("{w}sync = 1; rwf_dsync = 1")),
        // Files.
        wrong(&format!("{w}fallocate = \"none\"; size = \"64MiB\"")),
        wrong(&format!("{w}overwrite = false")),
        wrong(&format!("{w}overwrite = true; fallocate = \"native\"")),
        wrong(&format!("{w}overwrite = true; file_append = true")),
        wrong(&format!("{w}fallocate = \"none\"; file_append = true")),
        wrong(&format!("{w}fallocate = \"posix\"")),
        wrong("rw = \"randwrite\"; bs = \"4k\"; number_ios = 1; file_append = true"),
        wrong("rw = \"randread\"; bs = \"4k\"; number_ios = 1; fallocate = \"native\""),
        wrong("rw = \"write\"; bs = \"4k\"; runtime = \"100ms\"; fallocate = \"none\""),
        wrong("rw = \"write\"; bs = \"4k\"; fallocate = \"native\""),
        wrong(&format!("{w}fallocate = \"native\"; size = \"256k\"")),
        wrong("rw = \"write\"; bs = \"1MiB\"; number_ios = 400; fallocate = \"none\""),
        wrong("rw = \"write\"; bs = \"1MiB\"; number_ios = 90; file_append = true; numjobs = 4"),
        wrong(&format!("{w}numjobs = 7")),
        wrong("rw = \"randread\"; bs = \"4k\"; number_ios = 1; size = \"508k\""),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    11:11: workloads.w.iodepth: is 4, but psync waits for every I/O; leave it out, or use ioengine = "libaio" or "io_uring"; numjobs gives psync more I/Os in flight
    12:17: workloads.w.iodepth_batch: is 2, but psync has one I/O at a time; leave it out, or use ioengine = "libaio" or "io_uring"
    10:9: workloads.w.hipri: polls a ring for completions, and libaio has none; leave it out, or use ioengine = "io_uring"
    11:13: workloads.w.fixedbufs: registers buffers with a ring, and libaio has none; leave it out, or use ioengine = "io_uring"
    12:17: workloads.w.registerfiles: registers files with a ring, and libaio has none; leave it out, or use ioengine = "io_uring"
    10:12: workloads.w.ioengine: `iouring` is not one of the engines; did you mean `io_uring`? (known engines: libaio, io_uring, psync)
    11:17: workloads.w.iodepth_batch: is 9, more than iodepth, 8; use at most iodepth, or a larger iodepth
    12:30: workloads.w.iodepth_batch_complete_max: is 9, more than iodepth, 8; use at most iodepth, or a larger iodepth
    11:30: workloads.w.iodepth_batch_complete_max: is 2, less than iodepth_batch_complete_min, 4; use at least that, or leave it out
    10:11: workloads.w.numjobs: is 65; use a number from 1 to 64
    7:6: workloads.w.rw: `readwrit` is not one of the directions; did you mean `readwrite`? (known directions: read, write, randread, randwrite, rw, readwrite, randrw)
    10:13: workloads.w.rwmixread: is a share of reads, but rw = "write" is not a mix; use rw = "rw" or "randrw", or leave it out
    11:12: workloads.w.randseed: is a random seed, but nothing about rw = "write" is random; leave it out, or use a random or mixed rw
    10:13: workloads.w.rwmixread: is 101; use a number from 0 to 100
    8:6: workloads.w.bs: 8 MiB is not a valid block size; use a multiple of the device's block size, 4096, up to 4 MiB
    10:8: workloads.w.sync: makes writes durable, but rw = "randread" writes nothing; leave it out, or use rw = "write" or "randwrite"
    11:13: workloads.w.fdatasync: makes writes durable, but rw = "randread" writes nothing; leave it out, or use rw = "write" or "randwrite"
    10:13: workloads.w.rwf_dsync: makes writes durable, but rw = "read" writes nothing; leave it out, or use rw = "write" or "randwrite"
    11:13: workloads.w.rwf_dsync: is redundant: sync = "dsync" already makes every write durable; keep one of sync and rwf_dsync
    10:8: workloads.w.sync: is 1; use a quoted string
    11:13: workloads.w.rwf_dsync: is 1; use true or false
    11:8: workloads.w.size: is a fixed size, and an extending write begins with an empty file; leave it out: number_ios * bs is what the file grows to
    10:13: workloads.w.overwrite: is false, which does not say what the file is instead; add fallocate = "native" (allocated, never written), fallocate = "none" (empty, every write extends it) or file_append = true
    11:13: workloads.w.fallocate: has no effect where overwrite = true writes every block first; leave it out, or use overwrite = false
    11:15: workloads.w.file_append: writes beyond the end, where overwrite = true has nothing to overwrite; keep one of file_append and overwrite
    10:13: workloads.w.fallocate: conflicts with file_append = true, whose file is written before it grows; keep one of fallocate and file_append
    10:13: workloads.w.fallocate: `posix` is not one of the kinds of fallocate; known kinds of fallocate: none, native
    10:15: workloads.w.file_append: makes a file that grows by writes at its end, and rw = "randwrite" does not; use rw = "write", or leave it out
    10:13: workloads.w.fallocate: leaves blocks unwritten until a write converts them, and rw = "randread" does not; use rw = "write" or "randwrite", or leave it out
    9:11: workloads.w.runtime: would leave each repetition with a different file from the one it started with; use number_ios = 1000 instead: the file is laid out again for that many writes
    6:12: workloads.w.number_ios: is missing; add number_ios = 1000: every write changes the file
    9:14: workloads.w.number_ios: 100 writes of 4 KiB are more than size, 256 KiB; use a smaller number_ios or a larger size: a block is unwritten only once
    9:14: workloads.w.number_ios: the files grow to 400 MiB, more than 3/4 of the device, 512 MiB; use a smaller number_ios or a larger model.size
    9:14: workloads.w.number_ios: the files grow to 616 MiB, more than 3/4 of the device, 512 MiB; use a smaller number_ios or a larger model.size
    6:12: workloads.w.size: 64 MiB for each of 7 jobs is more than 3/4 of the device, 512 MiB; use a smaller size, fewer numjobs or a larger model.size
    10:8: workloads.w.size: 508 KiB is less than twice what is in flight, 256 KiB; use at least 2 * bs * iodepth, or random I/Os would overlap
    "#);
}

#[test]
fn threads_share_a_file_by_fios_words() {
    let of = |keys: &str| {
        job(&format!(
            "rw = \"randwrite\"; bs = \"4k\"; number_ios = 10; {keys}"
        ))
    };
    let own = of("numjobs = 4; filename = \"\"");
    assert_eq!(
        (own.shares_a_file(), own.files(), own.overlaps()),
        (false, 4, false)
    );
    let all = of("numjobs = 4; filename = \"shared\"; size = \"300MiB\"");
    assert_eq!(
        (all.files(), all.file_length(), all.overlaps()),
        (1, 300 << 20, true)
    );
    let parts = of("numjobs = 4; filename = \"s\"; offset_increment = \"16MiB\"; size = \"16MiB\"");
    assert_eq!((parts.file_length(), parts.overlaps()), (64 << 20, false));
    assert_eq!(parts.part(3), (48 << 20)..(64 << 20));
    let of = |keys: &str| {
        wrong(&format!(
            "rw = \"write\"; bs = \"4k\"; number_ios = 10; {keys}"
        ))
    };
    let cases = [
        of("filename = \"/dev/nvme0n1\""),
        of("filename = \"a:b\""),
        of("numjobs = 2; offset_increment = \"1MiB\""),
        of("numjobs = 2; filename = \"s\"; offset_increment = \"2k\""),
        of("numjobs = 2; filename = \"s\"; fallocate = \"native\""),
        of("numjobs = 2; filename = \"s\"; fallocate = \"none\""),
        of("numjobs = 2; filename = \"s\"; offset_increment = \"400MiB\""),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    10:12: workloads.w.filename: `/dev/nvme0n1` is not up to 64 letters, digits, '.', '_', '+' and '-', a letter or digit first; use a name without a directory, like "shared": the file is in the file system under test
    10:12: workloads.w.filename: `a:b` is not up to 64 letters, digits, '.', '_', '+' and '-', a letter or digit first; use a name without a directory, like "shared": the file is in the file system under test
    11:20: workloads.w.offset_increment: is about a file that threads share, and each has its own; add filename = "shared", or leave it out
    12:20: workloads.w.offset_increment: 2 KiB is not a multiple of bs, 4 KiB; use a multiple of bs, so that all threads have the same blocks
    11:12: workloads.w.filename: makes 2 threads share a file that every write changes (layout unwritten); leave fallocate and file_append out (every block is then written before), or use numjobs = 1, or leave filename out: then each thread has a file of its own
    11:12: workloads.w.filename: makes 2 threads share a file that every write changes (layout extending); leave fallocate and file_append out (every block is then written before), or use numjobs = 1, or leave filename out: then each thread has a file of its own
    12:20: workloads.w.offset_increment: the file of 2 jobs, 464 MiB, is more than 3/4 of the device, 512 MiB; use a smaller size or offset_increment, fewer numjobs or a larger model.size
    "#);
}

#[test]
fn a_refusal_does_not_hide_another() {
    let said = wrong(
        "ioengine = \"psync\"; rw = \"read\"; bs = \"5000\"; iodepth = 64; hipri = true; \
         fdatasync = 1; fallocate = \"none\"; runtime = \"1ms\"",
    );
    assert_eq!(said.lines().count(), 5, "{said}");
}

#[test]
fn a_guest_has_as_many_queues_as_cpus_and_no_more() {
    let machine = |keys: &str| {
        read(&format!(
            "rw = \"write\"; bs = \"4k\"; number_ios = 1; {keys}"
        ))
    };
    let queues = |keys: &str| {
        let scenario = machine(keys).unwrap_or_else(|e| panic!("{}", e.render()));
        (scenario.smp, scenario.device.model().unwrap().submit_queues)
    };
    assert_eq!(queues(""), (1, 1));
    assert_eq!(queues("[guest]; smp = 4"), (4, 4));
    assert_eq!(
        queues("[guest]; smp = 4; [model]; submit_queues = 2"),
        (4, 2)
    );
    let refused = |keys: &str| {
        machine(keys)
            .expect_err(keys)
            .render()
            .lines()
            .nth(1)
            .unwrap_or("")
            .trim()
            .to_owned()
    };
    insta::assert_snapshot!(
        [refused("[guest]; smp = 9"), refused("[guest]; smp = 2; [model]; submit_queues = 3")].join("\n"),
        @r"
    s.toml:11:7: guest.smp: is 9; use a number from 1 to 8
    s.toml:13:17: model.submit_queues: is 3, but the guest has 2 CPU(s); use at most 2, or [guest] smp = 3
    "
    );
}

#[test]
fn a_warm_up_must_fit_the_file_that_its_writes_change() {
    let text = "rw = \"write\"; bs = \"4k\"; number_ios = 100; fallocate = \"none\"; \
                [measure]; warmup_ios = 101";
    insta::assert_snapshot!(wrong(text), @"12:14: measure.warmup_ios: 101 is more than number_ios of w, whose file changes with every write; use at most that number_ios, or 0 for one whole repetition");
    assert!(read(&text.replace("= 101", "= 100")).is_ok());
}

/// A pattern that no cell has is a pattern that nothing boots.
#[test]
fn the_pattern_scenarios_have_every_engine_and_pattern() {
    let known = ["5.10", "7.2"].map(String::from);
    let jobs = |text: &str| -> Vec<Workload> {
        let none = Overrides::default();
        let scenario = resolve(text, "s.toml", Path::new(""), &known, &none);
        let scenario = scenario.unwrap_or_else(|e| panic!("{}", e.render()));
        // What the harness accepts, the agent takes.
        for own in scenario.workloads.iter().filter(|w| w.fio.is_none()) {
            assert_eq!(
                own.job.check(&scenario.device.in_guest()),
                Ok(()),
                "{}",
                own.name
            );
        }
        scenario.workloads.into_iter().map(|w| w.job).collect()
    };
    let single = jobs(include_str!("../../../../scenarios/patterns.toml"));
    let several = jobs(include_str!("../../../../scenarios/patterns-smp.toml"));
    let some = |what: &str, is: &dyn Fn(&Workload) -> bool| {
        assert!(single.iter().any(is), "patterns.toml has no {what}");
    };
    for engine in Engine::ALL {
        some(engine.name(), &|job| job.engine == engine);
        let threads = |job: &Workload| job.engine == engine && job.numjobs > 1;
        assert!(several.iter().any(threads), "{engine:?} with threads");
    }
    for rw in Rw::ALL {
        some(rw.name(), &|job| job.rw == rw);
    }
    for layout in Layout::ALL {
        some(layout.name(), &|job| job.layout == layout);
    }
    for sync in [Sync::Dsync, Sync::RwfDsync] {
        some(sync.name(), &|job| job.sync == sync);
    }
    some("fdatasync", &|job| job.fdatasync > 0);
    some("fixedbufs", &|job| job.io_uring.fixedbufs);
    some("registerfiles", &|job| job.io_uring.registerfiles);
    some("smallest block", &|job| job.block_size == 512);
    some("largest block", &|job| {
        job.block_size == Workload::MAX_BLOCK
    });
    some("block that is no power of two", &|job| {
        !job.block_size.is_power_of_two()
    });
    some("shallowest queue", &|job| {
        job.engine != Engine::Psync && job.iodepth == 1
    });
    some("deepest queue", &|job| job.iodepth == 1024);
    for engine in [Engine::Libaio, Engine::IoUring] {
        let batched = |job: &Workload| job.engine == engine && job.batch != Batch::default();
        some("batch", &batched);
    }
}

/// What a scenario of this repository has its cells do.
fn jobs_of(text: &str) -> Vec<Workload> {
    let known = ["5.10", "6.12", "7.2"].map(String::from);
    let none = Overrides::default();
    let scenario = resolve(text, "s.toml", Path::new(""), &known, &none);
    let scenario = scenario.unwrap_or_else(|e| panic!("{}", e.render()));
    // What the harness accepts, the agent takes.
    for own in scenario.workloads.iter().filter(|w| w.fio.is_none()) {
        assert_eq!(
            own.job.check(&scenario.device.in_guest()),
            Ok(()),
            "{}",
            own.name
        );
    }
    scenario.workloads.into_iter().map(|w| w.job).collect()
}

#[test]
fn the_scenario_over_queue_depths_differs_in_nothing_else() {
    let jobs = jobs_of(include_str!(
        "../../../../scenarios/gallery/iomap-dio-uring.toml"
    ));
    let depths: Vec<u32> = jobs.iter().map(|job| job.iodepth).collect();
    assert_eq!(depths, [1, 2, 4, 8, 16]);
    let first = &jobs[0];
    assert_eq!((first.engine, first.rw), (Engine::IoUring, Rw::Randwrite));
    for job in &jobs {
        let same = Workload {
            iodepth: 1,
            ..job.clone()
        };
        assert_eq!(same, *first);
    }
}

#[test]
fn the_scenario_over_block_sizes_is_its_mails_job_and_differs_in_nothing_else() {
    let jobs = jobs_of(include_str!(
        "../../../../scenarios/gallery/iomap-dio-sizes.toml"
    ));
    let sizes: Vec<u32> = jobs.iter().map(|job| job.block_size / 1024).collect();
    assert_eq!(sizes, [4, 8, 12, 16]);
    let first = &jobs[0];
    let mails = (Engine::Libaio, Rw::Write, 64, Layout::Written);
    assert_eq!((first.engine, first.rw, first.iodepth, first.layout), mails);
    for job in &jobs {
        let same = Workload {
            block_size: 4096,
            ..job.clone()
        };
        assert_eq!(same, *first);
    }
}

#[test]
fn a_block_is_any_multiple_of_the_devices_up_to_4_mib() {
    let write = |bs: &str, device: &str| {
        format!(
            "rw = \"write\"; bs = {bs}; iodepth = 8; number_ios = 10; [model]; block_size = {device}"
        )
    };
    let of = |bs, device| job(&write(bs, device)).block_size;
    assert_eq!(of("\"12k\"", "4096"), 12 << 10);
    assert_eq!(of("\"4MiB\"", "4096"), 4 << 20);
    assert_eq!(of("4190208", "4096"), (4 << 20) - 4096);
    assert_eq!(of("1536", "512"), 1536);
    let refused = [("1536", "4096"), ("4194816", "512"), ("\"12kB\"", "512")];
    let refused = refused.map(|(bs, device)| wrong(&write(bs, device)));
    insta::assert_snapshot!(refused.join("\n"), @r"
    8:6: workloads.w.bs: 1536 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB, or a smaller model.block_size
    8:6: workloads.w.bs: 4194816 B is not a valid block size; use a multiple of the device's block size, 512, up to 4 MiB
    8:6: workloads.w.bs: 12000 is not a multiple of the device's block size, 512; use a multiple of 512 up to 4 MiB
    ");
}

#[test]
fn the_default_size_is_rounded_to_whole_blocks_and_a_written_one_is_not() {
    let write = |bs: &str, more: &str| {
        format!("rw = \"write\"; bs = \"{bs}\"; iodepth = 8; number_ios = 10{more}")
    };
    let size = |bs: &str| job(&write(bs, "")).file_size;
    assert_eq!(size("4k"), 64 << 20);
    assert_eq!(size("12k"), (64 << 20) / (12 << 10) * (12 << 10));
    assert_eq!(size("4MiB"), 64 << 20);
    assert_eq!(size("3MiB"), 63 << 20);
    let sizes =
        ["32MiB", "8k", "0"].map(|size| wrong(&write("12k", &format!("; size = \"{size}\""))));
    insta::assert_snapshot!(sizes.join("\n"), @r#"
    11:8: workloads.w.size: 32 MiB is not a multiple of bs, 12 KiB; use "32760KiB" or "32772KiB"
    11:8: workloads.w.size: 8 KiB is not a multiple of bs, 12 KiB; use a multiple of bs, like "768KiB"
    11:8: workloads.w.size: 0 B is not a multiple of bs, 12 KiB; use a multiple of bs, like "768KiB"
    "#);
    // The sizes that are proposed are sizes.
    assert_eq!(
        job(&write("12k", "; size = \"32760KiB\"")).file_size,
        32_760 << 10
    );
}

#[test]
fn the_guests_memory_holds_the_blocks_in_flight_too() {
    // 256 MiB in flight fit what every guest has besides; of 512 MiB the other half is asked for.
    let of = |iodepth: u32, memory: &str| {
        format!(
            "rw = \"write\"; bs = \"4MiB\"; iodepth = {iodepth}; size = \"512MiB\"; number_ios = 10; \
             [model]; size = \"768MiB\"; [guest]; memory = \"{memory}\""
        )
    };
    assert!(read(&of(64, "1088MiB")).is_ok());
    insta::assert_snapshot!(wrong(&of(128, "1088MiB")), @r#"15:10: guest.memory: 1088 MiB cannot hold the device's data (576 MiB) and the guest (768 MiB); use at least memory = "1344MiB""#);
    assert!(read(&of(128, "1344MiB")).is_ok());
}
