//! Scenarios as people write them, right and wrong.

use super::*;
use crate::error::Exit;
use diorama_wire::{Bound, Rw};
use std::path::Path;

/// A small scenario of the tests' own, so that tuning the real one moves no line number here.
const SMOKE: &str = include_str!("tests_base.toml");
const IOMAP_DIO: &str = include_str!("../../../scenarios/iomap-dio.toml");

fn known() -> Vec<String> {
    ["5.10", "6.1", "6.12", "6.18", "7.2"]
        .map(String::from)
        .to_vec()
}

fn read(text: &str, overrides: &Overrides) -> crate::error::Result<Scenario> {
    resolve(text, "s.toml", Path::new("/base"), &known(), overrides)
}

fn good(text: &str) -> Scenario {
    read(text, &Overrides::default()).unwrap_or_else(|e| panic!("{}", e.render()))
}

fn refusal(text: &str, overrides: &Overrides) -> String {
    let error = read(text, overrides).expect_err("must be refused");
    assert_eq!(error.exit(), Exit::Input);
    error.render()
}

fn bad(text: &str) -> String {
    refusal(text, &Overrides::default())
}

/// That scenario with one piece of its text replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SMOKE.contains(from), "{from}");
    SMOKE.replace(from, to)
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

#[test]
fn a_volatile_write_cache_is_read_with_its_defaults() {
    use diorama_wire::WriteCache;
    let cache = |lines: &str| {
        let text = changed("[measure]", &format!("[model]\n{lines}\n[measure]"));
        let model = good(&text).model;
        (model.write_cache, model.is_stacked())
    };
    let with = |fua, flush_latency_ns| {
        Some(WriteCache {
            fua,
            flush_latency_ns,
        })
    };
    assert_eq!(cache("write_cache = \"none\""), (None, false));
    let volatile = "write_cache = \"volatile\"";
    assert_eq!(cache(volatile), (with(false, 10_000), false));
    let flush = format!("{volatile}\nflush_latency = \"1ms\"");
    assert_eq!(cache(&flush), (with(false, 1_000_000), true));
    let fua = format!("{volatile}\nfua = true\nflush_latency = \"5us\"");
    assert_eq!(cache(&fua), (with(true, 5_000), true));
}

#[test]
fn the_reports_scenario_is_the_reports_matrix() {
    let s = good(IOMAP_DIO);
    let names: Vec<_> = s.kernels.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(names, ["5.10", "6.1", "6.12", "6.18", "7.2"]);
    let names: Vec<_> = s.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(
        names,
        ["read-4k", "read-16k", "write-4k", "write-16k"],
        "the file's order"
    );
    assert_eq!(s.filesystems.len(), 2);
    assert!(s.lane.is_exact());
    assert_eq!(s.expect.len(), 7);
    let write = &s.workloads[3].job;
    assert_eq!((write.rw, write.block_size), (Rw::Write, 16 << 10));
    assert_eq!(write.bound, Bound::Runtime(40_000_000));
    assert_eq!(write.file_size, 32 << 20);
    good(include_str!("../../../scenarios/smoke.toml"));
}

#[test]
fn what_is_not_written_has_its_default() {
    let s = good(SMOKE);
    assert_eq!(s.measure.repetitions, 3);
    assert_eq!(
        (s.measure.warmup_ios, s.measure.phase_step_ns),
        (0, 731_000)
    );
    assert_eq!((s.memory_mib, s.model.size_mib), (1024, 512));
    assert_eq!(s.workloads[0].job.iodepth, 64);
    assert!(s.cmdline.is_empty() && s.filesystems[0].mkfs.is_empty());
}

#[test]
fn the_readmes_example_is_a_scenario() {
    let readme = include_str!("../../../scenarios/README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let s = good(example);
    assert_eq!(
        s.kernels[2].source,
        KernelSource::Local {
            path: "/base/bzImage".into(),
            modules: Some("/base/modules".into())
        }
    );
}

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
iodepth = 4096
size = "1GB"
runtime = "11m"
[[expect]]
metric = "iop"
"#;
    insta::assert_snapshot!(bad(text), @r#"
    error: the scenario s.toml has 16 problems:
      s.toml:2:8: name: `a b` is not a valid name; use up to 64 letters, digits, `.`, `_`, `+` and `-`, a letter or digit first
      s.toml:3:1: titel: unknown key; did you mean `title`? (known keys: name, title, description, baseline, device, clock, kernels, model, guest, measure, filesystems, workloads, expect)
      s.toml:4:12: baseline: baseline `7.3` is not one of the kernels; did you mean `7.2`? (known kernels: 6.21, 7.2)
      s.toml:5:12: kernels[1]: kernel `6.21` is not in the lock; did you mean `6.1`? (known kernels: 5.10, 6.1, 6.12, 6.18, 7.2); for your own build use { name = "6.21", path = "bzImage" }
      s.toml:5:27: kernels[3]: there is already a kernel `7.2`; remove it or give it another name
      s.toml:5:34: kernels[4]: has no name; add name = "..", which tables will show
      s.toml:5:56: kernels[5]: is 5; use a kernel's name or { name = .., path = .., modules = .. }
      s.toml:7:15: measure.repetitions: is 0; use a number from 1 to 1000
      s.toml:9:14: filesystems.ext5: `ext5` is not one of the kinds; did you mean `ext4`? (known kinds: ext4, xfs)
      s.toml:11:6: workloads.w.rw: `randwrit` is not one of the directions; did you mean `randwrite`? (known directions: read, write, randread, randwrite, rw, readwrite, randrw)
      s.toml:12:6: workloads.w.bs: 5000 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB
      s.toml:13:11: workloads.w.iodepth: is 4096; use a number from 1 to 1024
      s.toml:15:11: workloads.w.runtime: 660 s is not a valid runtime; use up to 10m of guest time
      s.toml:16:1: expect[1]: has no bound; add ratio_at_least, ratio_at_most, value_at_least or value_at_most
      s.toml:17:10: expect[1].metric: `iop` is not one of the metrics; did you mean `iops`? (known metrics: iops, total-io, context-switches-per-io, interrupts-per-io, path-length, drive-per-io, busy-per-io, user-per-io, system-per-io, kworker-runs-per-io)
      s.toml: title: is missing; add title = "..", one line for a heading
      help: fix the above; scenarios/README.md describes every key
    "#);
}

#[test]
fn unknown_keys_anywhere_are_refused() {
    insta::assert_snapshot!(bad(&changed("[measure]", "[mesure]")), @r"
    error: the scenario s.toml has 1 problem:
      s.toml:12:2: mesure: unknown key; did you mean `measure`? (known keys: name, title, description, baseline, device, clock, kernels, model, guest, measure, filesystems, workloads, expect)
      help: fix the above; scenarios/README.md describes every key
    ");
    insta::assert_snapshot!(bad(&changed("repetitions =", "repetition =")), @r"
    error: the scenario s.toml has 1 problem:
      s.toml:13:1: measure.repetition: unknown key; did you mean `repetitions`? (known keys: repetitions, warmup_ios, phase_step)
      help: fix the above; scenarios/README.md describes every key
    ");
    insta::assert_snapshot!(bad(&changed("runtime = \"100ms\"", "runtime = \"100ms\"\nrefill_buffers = 1")), @r"
    error: the scenario s.toml has 2 problems:
      s.toml:21:1: workloads.write-4k.refill_buffers: unknown key; known keys: ioengine, rw, rwmixread, randseed, bs, iodepth, iodepth_batch, iodepth_batch_complete_min, iodepth_batch_complete_max, numjobs, size, overwrite, fallocate, file_append, sync, rwf_dsync, fdatasync, fixedbufs, registerfiles, hipri, runtime, number_ios, via, fio
      s.toml:27:1: workloads.read-4k.refill_buffers: unknown key; known keys: ioengine, rw, rwmixread, randseed, bs, iodepth, iodepth_batch, iodepth_batch_complete_min, iodepth_batch_complete_max, numjobs, size, overwrite, fallocate, file_append, sync, rwf_dsync, fdatasync, fixedbufs, registerfiles, hipri, runtime, number_ios, via, fio
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
      s.toml: name: is missing; add name = "iomap-dio"
      s.toml: title: is missing; add title = "..", one line for a heading
      s.toml: kernels: is missing or empty; add kernels = ["6.12", "7.2"]
      s.toml: baseline: is missing; add baseline = "7.2"
      s.toml: filesystems: is missing or empty; add a table [filesystems.ext4]
      s.toml: workloads: is missing or empty; add a table [workloads.write-4k]
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
        wrong(bs, &with("iodepth = 1025")),
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
    s.toml:20:11: workloads.write-4k.iodepth: is 0; use a number from 1 to 1024
    s.toml:20:11: workloads.write-4k.iodepth: is 1025; use a number from 1 to 1024
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
fn a_window_need_not_be_whole_bandwidth_periods() {
    let s = good(&changed("\"100ms\"", "\"5ms\""));
    assert!(s.model.bandwidth_mib_s.is_some());
    assert_eq!(s.workloads[0].job.bound, Bound::Runtime(5_000_000));
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
fn lanes_that_are_refused_and_lanes_that_are_not_there_yet() {
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
        lane("vfio", "instructions"),
        lane("nvme", "wall"),
        lane("vfio", "wall"),
        lane("model", "wall"),
        lane("nvm", "wall"),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    s.toml:9:10: device: the nvme device has no instruction clock: its completions arrive in real time; use device = "model" and clock = "instructions", the exact lane
    s.toml:9:10: device: the vfio device has no instruction clock: its completions arrive in real time; use device = "model" and clock = "instructions", the exact lane
    s.toml:9:10: device: the nvme device is not available in this version; use device = "model" and clock = "instructions", the exact lane
    s.toml:9:10: device: the vfio device is not available in this version; use device = "model" and clock = "instructions", the exact lane
    s.toml:10:9: clock: the wall clock is not available in this version; use device = "model" and clock = "instructions", the exact lane
    s.toml:9:10: device: `nvm` is not one of the devices; did you mean `nvme`? (known devices: model, nvme, vfio)
    "#);
}

#[test]
fn without_a_lock_every_kernel_is_unknown() {
    let error = resolve(SMOKE, "s.toml", Path::new(""), &[], &Overrides::default());
    insta::assert_snapshot!(error.expect_err("no kernel is known").render(), @r"
    error: the scenario s.toml has 2 problems:
      s.toml:10:12: kernels[1]: kernel `6.12` is not in the lock; declare it in kernels/ and run `diorama lock`
      s.toml:10:20: kernels[2]: kernel `7.2` is not in the lock; declare it in kernels/ and run `diorama lock`
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn the_command_line_adds_a_kernel_and_changes_the_baseline() {
    let overrides = Overrides {
        kernels: vec![parse_kernel("mine=/x/bzImage").expect("a kernel")],
        baseline: Some("mine".into()),
        repetitions: Some(7),
        cmdline: strings(&["quiet"]),
        ..Overrides::default()
    };
    let s = read(SMOKE, &overrides).expect("a scenario");
    assert_eq!(s.kernels.last().map(|k| k.name.as_str()), Some("mine"));
    assert_eq!((s.baseline.as_str(), s.measure.repetitions), ("mine", 7));
    assert_eq!(s.cmdline, ["quiet"]);
    assert!(
        s.expect.len() == 3 && s.expect.iter().all(|e| !e.relative),
        "ratios were claimed of another baseline"
    );
}

#[test]
fn a_selection_keeps_the_baseline_and_drops_claims_about_what_is_gone() {
    let overrides = Overrides {
        only_kernels: strings(&["6.1"]),
        only_filesystems: strings(&["xfs"]),
        only_workloads: strings(&["write-4k"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &overrides).expect("a scenario");
    assert_eq!(
        s.kernels.iter().map(|k| &k.name).collect::<Vec<_>>(),
        ["6.1", "7.2"]
    );
    assert_eq!((s.filesystems.len(), s.workloads.len()), (1, 1));
    let claims: Vec<_> = s
        .expect
        .iter()
        .map(|e| (e.metric, e.kernels.clone()))
        .collect();
    assert_eq!(
        claims,
        [
            (Metric::Iops, strings(&["6.1"])),
            (Metric::PathLength, strings(&["6.1"])),
            (Metric::ContextSwitchesPerIo, strings(&["6.1"])),
            (Metric::ContextSwitchesPerIo, strings(&["7.2"])),
        ]
    );
}

#[test]
fn a_wrong_command_line_is_named_as_such() {
    let overrides = Overrides {
        kernels: vec![parse_kernel("7.2=/x/bzImage").expect("a kernel")],
        baseline: Some("7.1".into()),
        only_kernels: strings(&["6.13"]),
        only_filesystems: strings(&["xfs"]),
        only_workloads: strings(&["write4k"]),
        repetitions: Some(0),
        cmdline: strings(&["a b"]),
    };
    insta::assert_snapshot!(refusal(SMOKE, &overrides), @r"
    error: the scenario s.toml has 7 problems:
      command line: --kernel: there is already a kernel `7.2`; remove it or give it another name
      command line: --baseline: baseline `7.1` is not one of the kernels; did you mean `7.2`? (known kernels: 6.12, 7.2)
      command line: --repetitions: is 0; use a number from 1 to 1000
      command line: --cmdline: `a b` is not a single word of a kernel command line; use one word per element, without spaces or quotes
      command line: --only-kernel: `6.13` is not in this scenario; did you mean `6.12`? (known names: 6.12, 7.2)
      command line: --filesystem: `xfs` is not in this scenario; known names: ext4
      command line: --workload: `write4k` is not in this scenario; did you mean `write-4k`? (known names: write-4k, read-4k)
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn files_are_found_by_path_and_by_name() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("scenarios");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("smoke.toml"), SMOKE).expect("a file");
    assert_eq!(
        locate("smoke", root.path()).expect("by name"),
        dir.join("smoke.toml")
    );
    let path = dir.join("smoke.toml");
    assert_eq!(
        locate(path.to_str().expect("text"), Path::new("/")).expect("by path"),
        path
    );
    assert_eq!(available(root.path()), ["smoke"]);
    let error = locate("smok", root.path())
        .expect_err("no such file")
        .render();
    insta::assert_snapshot!(error.replace(&root.path().display().to_string(), "ROOT"), @r"
    error: there is no scenario `smok`: ROOT/scenarios/smok.toml is not a file
      help: did you mean `smoke`? (known scenarios: smoke)
    ");
}

#[test]
fn a_local_kernel_that_is_not_there_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("s.toml");
    let text = changed(
        "\"6.12\", \"7.2\"]",
        "\"6.12\", \"7.2\", { name = \"mine\", path = \"bzImage\", modules = \"m\" }]",
    );
    std::fs::write(&file, text).expect("a file");
    let refused = || {
        let error = load(&file, &known(), &Overrides::default()).expect_err("must be refused");
        error
            .render()
            .replace(&root.path().display().to_string(), "ROOT")
    };
    insta::assert_snapshot!(refused(), @r"
    error: kernel `mine` has no image at ROOT/bzImage
      help: give the path of a bzImage or vmlinux
    ");
    std::fs::write(root.path().join("bzImage"), "").expect("a file");
    insta::assert_snapshot!(refused(), @r"
    error: kernel `mine` has no modules at ROOT/m
      help: give the path of a directory of its *.ko files
    ");
    std::fs::create_dir(root.path().join("m")).expect("a directory");
    assert!(load(&file, &known(), &Overrides::default()).is_ok());
    let error = load(
        &root.path().join("none.toml"),
        &known(),
        &Overrides::default(),
    );
    insta::assert_snapshot!(error.expect_err("no such file").render().replace(&root.path().display().to_string(), "ROOT"), @r"
    error: reading the scenario ROOT/none.toml
      caused by: No such file or directory (os error 2)
      help: give a scenario file, or the name of one in scenarios/
    ");
}

fn mine() -> KernelRef {
    parse_kernel("mine=/x/bzImage").expect("a kernel")
}

#[test]
fn what_the_command_line_takes_from_claims_is_said() {
    // The README's first example: a kernel that no claim names.
    let overrides = Overrides {
        kernels: vec![mine()],
        only_kernels: strings(&["mine"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &overrides).expect("a scenario");
    assert_eq!(
        s.expect.len() + s.left_out.len(),
        7,
        "none is dropped in silence"
    );
    let point = |claim: &Expect| claim.point && claim.relative;
    assert!(
        s.left_out.iter().any(|l| point(&l.claim)),
        "{:?}",
        s.left_out
    );
    assert_eq!(
        s.left_out[0].why,
        "the command line left out 5.10, 6.1, 6.12, 6.18"
    );

    // Another baseline, and workloads that the point is not about.
    let overrides = Overrides {
        kernels: vec![mine(), parse_kernel("old=/y/bzImage").expect("a kernel")],
        baseline: Some("old".into()),
        only_kernels: strings(&["mine"]),
        only_filesystems: strings(&["xfs"]),
        only_workloads: strings(&["read-4k"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &overrides).expect("a scenario");
    assert_eq!(s.left_out[0].why, "the baseline is old, not 7.2");
    assert_eq!((s.expect.len(), s.left_out.len()), (1, 6));
    assert!(!s.expect[0].point);
    let mut without = s.expect[0].without.clone();
    without.sort();
    assert_eq!(
        without,
        ["5.10", "6.1", "6.12", "6.18", "7.2", "ext4", "read-16k"]
    );

    let part = Overrides {
        only_kernels: strings(&["6.12"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &part).expect("a scenario");
    assert!(s.left_out.is_empty());
    assert_eq!(s.expect[0].kernels, ["6.12"]);
    assert_eq!(s.expect[0].without, ["5.10", "6.1", "6.18"]);
    assert!(
        read(IOMAP_DIO, &Overrides::default())
            .expect("a scenario")
            .expect[0]
            .without
            .is_empty()
    );
}

#[test]
fn every_scenario_with_claims_says_which_make_its_point() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("the scenarios") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a scenario");
        let marked = text.lines().filter(|line| *line == "point = true").count();
        assert_eq!(
            marked > 0,
            text.contains("[[expect]]"),
            "{}",
            path.display()
        );
        assert!(!text.contains("the baseline here"), "{}", path.display());
        seen += marked;
    }
    assert!(seen >= 6);
}

#[test]
fn a_ratio_of_the_baseline_to_itself_is_refused_and_unmarked_claims_are_all_the_point() {
    let claim = |kernel: &str| {
        format!(
            "{SMOKE}\n[[expect]]\nmetric = \"iops\"\nratio_at_least = 0.9\nkernels = [\"{kernel}\"]\n"
        )
    };
    let said = bad(&claim("7.2"));
    assert!(
        said.contains("bounds the ratio of `7.2`, the baseline, to itself"),
        "{said}"
    );
    let s = good(&claim("6.12"));
    assert!(s.expect.iter().all(|claim| claim.point));
    let marked = good(&format!("{}point = true\n", claim("6.12")));
    let points: Vec<bool> = marked.expect.iter().map(|claim| claim.point).collect();
    assert_eq!(
        points.iter().filter(|point| **point).count(),
        1,
        "{points:?}"
    );
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
            let _ = resolve::resolve_with(
                &text,
                "s.toml",
                base,
                &known(),
                &Overrides::default(),
                &read,
            );
        }
    }
    for open in ["[", "a.", "{a=", "[[", "a=["] {
        let text = format!("x = {}", open.repeat(50_000));
        let _ = bad(&text);
    }
}
