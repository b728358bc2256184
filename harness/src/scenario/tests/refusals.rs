//! What is refused, in which words.

use super::*;

#[test]
fn all_problems_are_named_at_once_in_the_files_order() {
    let text = r#"
name = "a b"
titel = "x"
baseline = "7.3"
kernels = ["6.21", "7.2", "7.2", { path = "bzImage" }, 5]
[measure]
repetitions = 0
phase_step = "1ms"
[filesystems.ext5]
[workloads.w]
rw = "randwrit"
bs = "5000"
iodepth = 8192
size = "1GB"
runtime = "11m"
[[expect]]
metric = "iop"
"#;
    insta::assert_snapshot!(bad(text), @r#"
    error: the scenario s.toml has 16 problems:
      s.toml:2:8: name: `a b` is not a valid name; use up to 64 letters, digits, `.`, `_`, `+` and `-`, a letter or digit first
      s.toml:3:1: titel: unknown key; did you mean `title`? (known keys: name, title, description, baseline, device, clock, kernels, variants, model, nvme, conditioning, guest, measure, session, source, filesystems, workloads, expect)
      s.toml:4:12: baseline: baseline `7.3` is not one of the kernels; did you mean `7.2`? (known kernels: 6.21, 7.2)
      s.toml:5:12: kernels[1]: kernel `6.21` is not in the lock; did you mean `6.1`? (known kernels: 5.10, 6.1, 6.12, 6.18, 7.2); for your own build use { name = "6.21", path = "bzImage" }
      s.toml:5:27: kernels[3]: there is already a kernel `7.2`; remove it or give it another name
      s.toml:5:34: kernels[4]: has no name; add name = "..", which tables will show
      s.toml:5:56: kernels[5]: is 5; use a kernel's name or { name = .., path = .., modules = .. }
      s.toml:7:15: measure.repetitions: is 0; use a number from 1 to 1000
      s.toml:9:14: filesystems.ext5: `ext5` is not one of the kinds; did you mean `ext4`? (known kinds: none, ext4, xfs, btrfs, f2fs)
      s.toml:11:6: workloads.w.rw: `randwrit` is not one of the directions; did you mean `randwrite`? (known directions: read, write, randread, randwrite, rw, readwrite, randrw)
      s.toml:12:6: workloads.w.bs: 5000 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB
      s.toml:13:11: workloads.w.iodepth: is 8192; use a number from 1 to 4096
      s.toml:15:11: workloads.w.runtime: 660 s is not a valid runtime; use up to 10m of guest time
      s.toml:16:1: expect[1]: has no bound; add ratio_at_least, ratio_at_most, value_at_least or value_at_most
      s.toml:17:10: expect[1].metric: `iop` is not one of the metrics; did you mean `iops`? (known metrics: iops, total-io, context-switches-per-io, interrupts-per-io, path-length, drive-per-io, busy-per-io, user-per-io, system-per-io, kworker-runs-per-io)
      s.toml: title: is missing; add title = "..", one line for a heading
      help: fix the above; scenarios/README.md describes every key
    "#);
}

#[test]
fn unknown_keys_anywhere_are_refused() {
    insta::assert_snapshot!(bad(&changed("[measure]", "[mesure]")), @"
    error: the scenario s.toml has 1 problem:
      s.toml:12:2: mesure: unknown key; did you mean `measure`? (known keys: name, title, description, baseline, device, clock, kernels, variants, model, nvme, conditioning, guest, measure, session, source, filesystems, workloads, expect)
      help: fix the above; scenarios/README.md describes every key
    ");
    insta::assert_snapshot!(bad(&changed("repetitions =", "repetition =")), @r"
    error: the scenario s.toml has 1 problem:
      s.toml:13:1: measure.repetition: unknown key; did you mean `repetitions`? (known keys: repetitions, warmup_ios, ramp_time, phase_step)
      help: fix the above; scenarios/README.md describes every key
    ");
    insta::assert_snapshot!(bad(&changed("runtime = \"100ms\"", "runtime = \"100ms\"\nrefill_buffers = 1")), @r"
    error: the scenario s.toml has 2 problems:
      s.toml:21:1: workloads.write-4k.refill_buffers: unknown key; known keys: ioengine, rw, rwmixread, randseed, bs, iodepth, iodepth_batch, iodepth_batch_complete_min, iodepth_batch_complete_max, numjobs, filename, offset_increment, size, overwrite, fallocate, file_append, sync, rwf_dsync, fdatasync, fixedbufs, registerfiles, hipri, runtime, number_ios, via, fio, section, scale
      s.toml:27:1: workloads.read-4k.refill_buffers: unknown key; known keys: ioengine, rw, rwmixread, randseed, bs, iodepth, iodepth_batch, iodepth_batch_complete_min, iodepth_batch_complete_max, numjobs, filename, offset_increment, size, overwrite, fallocate, file_append, sync, rwf_dsync, fdatasync, fixedbufs, registerfiles, hipri, runtime, number_ios, via, fio, section, scale
      help: fix the above; scenarios/README.md describes every key
    ");
    insta::assert_snapshot!(bad(&changed("kernels = [\"6.12\", \"7.2\"]", "kernels = [\"6.12\", { name = \"7.2\", pth = \"x\" }]")), @r"
    error: the scenario s.toml has 1 problem:
      s.toml:10:36: kernels[2].pth: unknown key; did you mean `path`? (known keys: name, path, modules)
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_place() {
    insta::assert_snapshot!(bad("name = \"x\nkernels = ["), @r#"
    error: the scenario s.toml has 2 problems:
      s.toml:1:10: not TOML: invalid basic string, expected `"`; see https://toml.io for the format
      s.toml:2:12: not TOML: unclosed array, expected `]`; see https://toml.io for the format
      help: fix the above; scenarios/README.md describes every key
    "#);
    insta::assert_snapshot!(bad("name = \"x\"\nname = \"y\""), @r"
    error: the scenario s.toml has 1 problem:
      s.toml:2:1: not TOML: duplicate key; see https://toml.io for the format
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    insta::assert_snapshot!(bad(""), @r#"
    error: the scenario s.toml has 6 problems:
      s.toml: filesystems: is missing or empty; add a table [filesystems.ext4]
      s.toml: workloads: is missing or empty; add a table [workloads.write-4k]
      s.toml: name: is missing; add name = "iomap-dio"
      s.toml: title: is missing; add title = "..", one line for a heading
      s.toml: kernels: is missing or empty; add kernels = ["6.12", "7.2"]
      s.toml: baseline: is missing; add baseline = "7.2"
      help: fix the above; scenarios/README.md describes every key
    "#);
}

#[test]
fn nonsense_quantities_are_refused_one_by_one() {
    let wrong = |from, to| {
        let text = bad(&changed(from, to));
        text.lines().nth(1).unwrap_or_default().trim().to_owned()
    };
    let bs = "rw = \"write\"\nbs = \"4k\"";
    let with = |line: &str| format!("{bs}\n{line}");
    let model = |line: &str| format!("[model]\n{line}\n[measure]");
    let cases = [
        wrong("repetitions = 3", "repetitions = 0"),
        wrong("repetitions = 3", "repetitions = -1"),
        wrong("[measure]", "[measure]\nwarmup_ios = 9999999999"),
        wrong("repetitions = 3", "repetitions = \"3\""),
        wrong(bs, "rw = \"write\"\nbs = \"4kB\""),
        wrong(bs, "rw = \"write\"\nbs = 0"),
        wrong(bs, "rw = \"write\"\nbs = \"8m\""),
        wrong(bs, "rw = \"write\"\nbs = 256"),
        wrong(bs, "rw = \"write\"\nbs = \"4 bananas\""),
        wrong(bs, "rw = \"write\""),
        wrong(bs, &with("iodepth = 0")),
        wrong(bs, &with("iodepth = 4097")),
        wrong(bs, &with("size = \"0\"")),
        wrong(bs, &with("size = 65537")),
        wrong(bs, &with("size = \"128k\"")),
        wrong(bs, &with("size = \"385MiB\"")),
        wrong(bs, &with("number_ios = 1")),
        wrong(
            "runtime = \"100ms\"\n\n[workloads.read",
            "runtime = \"11m\"\n\n[workloads.read",
        ),
        wrong(
            "runtime = \"100ms\"\n\n[workloads.read",
            "number_ios = 0\n\n[workloads.read",
        ),
        wrong("[measure]", &model("bandwidth = \"440MB/s\"")),
        wrong("[measure]", &model("bandwidth = \"0MiB/s\"")),
        wrong("[measure]", &model("bandwidth = \"6MiB/s\"")),
        wrong("[measure]", &model("size = \"1MiB\"")),
        wrong("[measure]", &model("block_size = 8192")),
        wrong("[measure]", &model("latency = \"0us\"")),
        wrong("[measure]", &model("queue_depth = 0")),
        wrong("[measure]", &model("submit_queues = 2")),
        wrong("[measure]", &model("scheduler = \"deadline\"")),
        wrong("[measure]", &model("write_cache = \"writeback\"")),
        wrong("[measure]", &model("fua = true")),
        wrong(
            "[measure]",
            &model("write_cache = \"none\"\nflush_latency = \"1ms\""),
        ),
        wrong(
            "[measure]",
            &model("write_cache = \"volatile\"\nflush_latency = \"0us\""),
        ),
        wrong(
            "[measure]",
            &model("write_cache = \"volatile\"\nfua = true\nflush_latency = \"1ms\""),
        ),
        wrong("[measure]", "[guest]\nmemory = \"600MiB\"\n[measure]"),
        wrong("[measure]", "[guest]\ncmdline = [\"a b\"]\n[measure]"),
        wrong("[measure]", "[measure]\nphase_step = \"2ms\""),
        wrong(
            "[filesystems.ext4]",
            "[filesystems.ext4]\nmkfs = [\"/dev/nullb0\"]",
        ),
        wrong(
            "[filesystems.ext4]",
            "[filesystems.ext4]\nmount_options = \"ro, noatime\"",
        ),
        wrong("ratio_at_least = 0.60", "ratio_at_least = 0.9"),
        wrong("ratio_at_least = 0.60", "value_at_least = 1"),
        wrong("ratio_at_least = 0.60", "ratio_at_least = inf"),
        wrong("value_at_least = 0.5\n", ""),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    s.toml:13:15: measure.repetitions: is 0; use a number from 1 to 1000
    s.toml:13:15: measure.repetitions: is -1; use a non-negative whole number
    s.toml:13:14: measure.warmup_ios: is 9999999999; use a number from 0 to 1000000000
    s.toml:13:15: measure.repetitions: is "3"; use a non-negative whole number
    s.toml:19:6: workloads.write-4k.bs: 4000 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB
    s.toml:19:6: workloads.write-4k.bs: 0 B is not a valid block size; use a multiple of the device's block size, 4096, up to 4 MiB
    s.toml:19:6: workloads.write-4k.bs: 8 MiB is not a valid block size; use a multiple of the device's block size, 4096, up to 4 MiB
    s.toml:19:6: workloads.write-4k.bs: 256 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB
    s.toml:19:6: workloads.write-4k.bs: `4 bananas` is not a size; use 512, 4k, 64MiB or 1GiB
    s.toml:17:12: workloads.write-4k.bs: is missing; add bs = "4k"
    s.toml:20:11: workloads.write-4k.iodepth: is 0; use a number from 1 to 4096
    s.toml:20:11: workloads.write-4k.iodepth: is 4097; use a number from 1 to 4096
    s.toml:20:8: workloads.write-4k.size: 0 B is not a multiple of bs, 4 KiB; use a multiple of bs, like "256KiB"
    s.toml:20:8: workloads.write-4k.size: 65537 B is not a multiple of bs, 4 KiB; use "64KiB" or "68KiB"
    s.toml:20:8: workloads.write-4k.size: 128 KiB is less than what is in flight, 256 KiB; use at least bs * iodepth, or I/Os would overlap
    s.toml:20:8: workloads.write-4k.size: 385 MiB is more than 3/4 of the device, 512 MiB; use a smaller size or a larger model.size
    s.toml:20:14: workloads.write-4k.number_ios: cannot be combined with runtime; keep one of runtime and number_ios
    s.toml:20:11: workloads.write-4k.runtime: 660 s is not a valid runtime; use up to 10m of guest time
    s.toml:20:14: workloads.write-4k.number_ios: is 0; use a number from 1 to 1000000000
    s.toml:13:13: model.bandwidth: 440000000 B/s is not whole MiB/s; use a multiple of 1MiB/s, the drive model's unit, or "none"
    s.toml:13:13: model.bandwidth: 0 B/s is not whole MiB/s; use a multiple of 1MiB/s, the drive model's unit, or "none"
    s.toml:13:13: model.bandwidth: 6 MiB/s would never let the drive model's largest request through; use at least "7MiB/s"
    s.toml:13:8: model.size: 1 MiB is not a valid size for the model device; use whole MiB, from 64MiB to 1024GiB
    s.toml:13:14: model.block_size: is 8192; use 512, 1024, 2048 or 4096
    s.toml:13:11: model.latency: is not a valid drive latency; use a time from 1ns to 1s
    s.toml:13:15: model.queue_depth: is 0; use a number from 1 to 10240
    s.toml:13:17: model.submit_queues: is 2, but the guest has 1 CPU(s); use at most 1, or [guest] smp = 2
    s.toml:13:13: model.scheduler: `deadline` is not one of the schedulers; known schedulers: none, mq-deadline, kyber, bfq
    s.toml:13:15: model.write_cache: `writeback` is not one of the write caches; known write caches: none, volatile
    s.toml:13:7: model.fua: has no effect: a drive without a volatile write cache is never flushed; add write_cache = "volatile", or remove it
    s.toml:14:17: model.flush_latency: has no effect: a drive without a volatile write cache is never flushed; add write_cache = "volatile", or remove it
    s.toml:14:17: model.flush_latency: is not a valid drive latency; use a time from 1ns to 1s
    s.toml:14:7: model.fua: is true, but then a durable write would take 10 us while the flush it avoids takes 1 ms: the drive model has one latency for all its writes; use fua = false, or a flush_latency of at most the latency
    s.toml:13:10: guest.memory: 600 MiB cannot hold the device's data (128 MiB) and the guest (512 MiB); use at least memory = "640MiB"
    s.toml:13:12: guest.cmdline[1]: `a b` is not a single word of a kernel command line; use one word per element, without spaces or quotes
    s.toml:13:14: measure.phase_step: 2 ms would not give 3 repetitions different phases of the 4 ms tick; use a time below 1s that does not divide 4ms, like "731us"
    s.toml:16:9: filesystems.ext4.mkfs[1]: `/dev/nullb0` is not an option of mkfs; leave the program and the device out
    s.toml:16:17: filesystems.ext4.mount_options: `ro, noatime` are not mount options; separate them with commas, without spaces
    s.toml:29:18: expect[1].ratio_at_least: 0.9 exceeds the upper bound, 0.85; swap the two bounds
    s.toml:27:1: expect[1]: bounds both a ratio and a value; split it into two [[expect]] sections
    s.toml:29:18: expect[1].ratio_at_least: is inf; use a finite number
    s.toml:35:1: expect[2]: has no bound; add ratio_at_least, ratio_at_most, value_at_least or value_at_most
    "#);
}

#[test]
fn a_block_size_below_the_devices_is_refused() {
    let text = changed("[measure]", "[model]\nblock_size = \"4k\"\n[measure]")
        .replace("rw = \"write\"\nbs = \"4k\"", "rw = \"write\"\nbs = 512");
    insta::assert_snapshot!(bad(&text), @r"
    error: the scenario s.toml has 1 problem:
      s.toml:21:6: workloads.write-4k.bs: 512 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB, or a smaller model.block_size
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn equal_cells_under_two_names_are_refused() {
    let twice = changed(
        "[filesystems.ext4]",
        "[filesystems.ext4]\n[filesystems.again]\nkind = \"ext4\"",
    )
    .replace("rw = \"read\"", "rw = \"write\"")
    .replace(
        "\"6.12\", \"7.2\"]",
        "\"6.12\", \"7.2\", \"7.2\", {name = \"a\", path = \"x\"}, {name = \"b\", path = \"x\"}]",
    );
    insta::assert_snapshot!(bad(&twice), @r"
    error: the scenario s.toml has 4 problems:
      s.toml:10:27: kernels[3]: there is already a kernel `7.2`; remove it or give it another name
      s.toml:10:60: kernels[5]: kernels `a` and `b` are the same file; remove one: equal inputs give equal digits
      s.toml:16:14: filesystems.again: the file systems `ext4` and `again` are the same; remove one, or make them differ: equal inputs give equal digits
      s.toml:24:12: workloads.read-4k: the workloads `write-4k` and `read-4k` are the same; remove one, or make them differ: equal inputs give equal digits
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn an_instruction_clock_for_a_real_time_device_is_refused() {
    let lane = |device: &str, clock: &str| {
        let line = format!("device = \"{device}\"\nclock = \"{clock}\"\nbaseline = \"7.2\"");
        bad(&changed("baseline = \"7.2\"", &line))
            .lines()
            .nth(1)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cases = [
        lane("nvme", "instructions"),
        lane("nvm", "wall"),
        lane("nvme", "host"),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    s.toml:10:9: clock: the nvme device has no instruction clock: its completions arrive in real time; use clock = "wall", or device = "model"
    s.toml:9:10: device: `nvm` is not one of the devices; did you mean `nvme`? (known devices: model, nvme, disk, vfio)
    s.toml:10:9: clock: `host` is not one of the clocks; known clocks: instructions, wall
    "#);
}

#[test]
fn drives_that_cannot_be_are_refused() {
    let base = changed(
        "baseline = \"7.2\"",
        "device = \"nvme\"\nbaseline = \"7.2\"",
    );
    let nvme = |keys: &str| {
        let said = bad(&format!("{base}\n[nvme]\n{keys}\n"));
        said.lines().nth(1).unwrap_or_default().trim().to_owned()
    };
    let cases = [
        nvme("size = \"1MiB\""),
        nvme("block_size = \"1024\""),
        nvme("queues = 0"),
        nvme("serial = \"a,b\""),
        nvme("serial = \"\""),
        nvme("scheduler = \"deadline\""),
        nvme("latency = \"1us\""),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    s.toml:57:8: nvme.size: 1 MiB is not a valid size for a drive; use whole MiB, from 64MiB to 16TiB
    s.toml:57:14: nvme.block_size: is 1024; use 512 or 4096
    s.toml:57:10: nvme.queues: is 0; use a number from 1 to 64
    s.toml:57:10: nvme.serial: `a,b` is not a serial number; use 1 to 20 letters, digits, `-`, `_` or `.`
    s.toml:57:10: nvme.serial: `` is not a serial number; use 1 to 20 letters, digits, `-`, `_` or `.`
    s.toml:57:13: nvme.scheduler: `deadline` is not one of the schedulers; known schedulers: none, mq-deadline, kyber, bfq
    s.toml:57:1: nvme.latency: unknown key; known keys: size, block_size, queues, serial, scheduler
    "#);
}

/// What is to be larger is the device in use, whatever else is described.
#[test]
fn a_file_too_large_for_a_drive_names_the_drive() {
    let drive = changed(
        "baseline = \"7.2\"",
        "device = \"nvme\"\nbaseline = \"7.2\"",
    );
    let large = drive.replacen("rw = \"write\"", "rw = \"write\"\nsize = \"1TiB\"", 1);
    let said = bad(&large);
    insta::assert_snapshot!(said.lines().nth(1).unwrap_or_default().trim(), @"s.toml:20:8: workloads.write-4k.size: 1 TiB is more than 3/4 of the device, 512 MiB; use a smaller size or a larger drive (nvme.size, of an emulated one)");
}

/// Every number that a scenario or a job file may hold, at the ends of what can be written.
#[test]
fn hostile_numbers_and_nesting_are_refused_and_never_panic() {
    let numbers = [
        "0",
        "1",
        "-1",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "99999999999999999999999999",
        "1e308",
        "nan",
        "\"18446744073709551615\"",
        "\"17179869183g\"",
        "\"18446744073709551615ns\"",
        "\"307445734561m\"",
        "\"17592186044415MiB/s\"",
    ];
    let keys = [
        "[measure]\nrepetitions = 3\nwarmup_ios",
        "[measure]\nphase_step",
        "[measure]\nrepetitions",
        "[guest]\nmemory",
        "[guest]\nsmp",
        "[model]\nsize",
        "[model]\nblock_size",
        "[model]\nlatency",
        "[model]\nbandwidth",
        "[model]\nqueue_depth",
        "[model]\nsubmit_queues",
        "[workloads.w]\nrw = \"randwrite\"\nruntime = \"9m\"\nbs",
        "[workloads.w]\nrw = \"randwrite\"\nbs = \"1m\"\niodepth = 1024\nruntime = \"1s\"\nsize",
        "[workloads.w]\nrw = \"write\"\nbs = \"1m\"\nfile_append = true\nnumber_ios",
        "[workloads.w]\nrw = \"write\"\nbs = \"1m\"\noverwrite = false\nnumber_ios",
        "[workloads.w]\nrw = \"write\"\nbs = \"1m\"\nnumber_ios = 5\nnumjobs",
        "[workloads.w]\nrw = \"write\"\nbs = \"4k\"\nvia = \"fio\"\nnumber_ios",
        "[workloads.w]\nrw = \"read\"\nbs = \"4k\"\nruntime",
        "[workloads.w]\nrw = \"randrw\"\nbs = \"4k\"\nruntime = \"1s\"\nrandseed",
        "[workloads.w]\nrw = \"write\"\nbs = \"4k\"\nruntime = \"1s\"\nfdatasync",
        "[workloads.w]\nrw = \"write\"\nbs = \"4k\"\nruntime = \"1s\"\niodepth = 8\niodepth_batch",
        "[[expect]]\nmetric = \"iops\"\nratio_at_least",
    ];
    let rest = "baseline = \"7.2\"\nkernels = [\"6.12\", \"7.2\"]\n[filesystems.ext4]\n";
    let usual = "[workloads.u]\nrw = \"read\"\nbs = \"4k\"\nruntime = \"1s\"\n";
    for key in keys {
        for number in numbers {
            let text = format!("{rest}{usual}{key} = {number}\n");
            // What it says is others' to test.
            let _ = read(&text, &Overrides::default());
        }
    }
    for number in numbers {
        let number = number.trim_matches('"');
        for option in [
            "size",
            "bs",
            "iodepth",
            "numjobs",
            "number_ios",
            "runtime",
            "offset",
            "filesize",
            "nrfiles",
        ] {
            let job = format!(
                "[a]\ndirect=1\nthread\nrw=write\nbs=4k\nsize=1m\nioengine=libaio\n{option}={number}\n[b]\nrw=read\nsize={number}\nnumjobs={number}\n"
            );
            let text = format!("{rest}[workloads.w]\nfio = \"j.fio\"\n");
            let read = |_: &Path| Ok(job.clone());
            let base = Path::new("/base");
            let world = resolve::World {
                read: &read,
                variable: &|_| None,
                fio: &|_| None,
            };
            let _ = resolve::resolve_with(
                &text,
                "s.toml",
                base,
                &known(),
                &Overrides::default(),
                &world,
            );
        }
    }
    for open in ["[", "a.", "{a=", "[[", "a=["] {
        let text = format!("x = {}", open.repeat(50_000));
        let _ = bad(&text);
    }
}
