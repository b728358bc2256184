//! Which of fio's options work in a cell, and why others do not (pure).

/// Options that a job may have.
pub(super) const ALLOWED: &[&str] = &[
    "allrandrepeat",
    "ba",
    "blockalign",
    "blocksize",
    "blocksize_range",
    "bs",
    "bsrange",
    "bssplit",
    "buffer_compress_percentage",
    "buffer_pattern",
    "buffered",
    "clat_percentiles",
    "clocksource",
    "cpus_allowed",
    "cpus_allowed_policy",
    "dedupe_percentage",
    "description",
    "direct",
    "disk_util",
    "end_fsync",
    "fallocate",
    "fdatasync",
    "file_append",
    "filename",
    "filesize",
    "fixedbufs",
    "force_async",
    "fsync",
    "fsync_on_close",
    "group_reporting",
    "hipri",
    "invalidate",
    "io_size",
    "io_limit",
    "iodepth",
    "iodepth_batch",
    "iodepth_batch_complete",
    "iodepth_batch_complete_max",
    "iodepth_batch_complete_min",
    "iodepth_batch_submit",
    "iodepth_low",
    "ioengine",
    "iomem",
    "iomem_align",
    "lat_percentiles",
    "loops",
    "mem",
    "mem_align",
    "name",
    "nice",
    "nonvectored",
    "norandommap",
    "number_ios",
    "numjobs",
    "offset",
    "offset_increment",
    "overwrite",
    "percentage_random",
    "percentile_list",
    "prio",
    "prioclass",
    "rand_seed",
    "random_distribution",
    "random_generator",
    "randrepeat",
    "randseed",
    "rate",
    "rate_iops",
    "rate_process",
    "readwrite",
    "refill_buffers",
    "registerfiles",
    "runtime",
    "rw",
    "rw_sequencer",
    "rwmixread",
    "rwmixwrite",
    "scramble_buffers",
    "size",
    "slat_percentiles",
    "softrandommap",
    "sqthread_poll",
    "sqthread_poll_cpu",
    "sync",
    "thinktime",
    "thinktime_blocks",
    "thinktime_spin",
    "thread",
    "time_based",
    "timeout",
    "uncached",
    "userspace_reap",
    "zero_buffers",
];

/// Those that are on or off, and whether they may stand alone, without a value. fio wants a number.
pub(super) const SWITCHES: &[(&str, bool)] = &[
    ("allrandrepeat", false),
    ("buffered", false),
    ("clat_percentiles", false),
    ("direct", false),
    ("disk_util", false),
    ("end_fsync", false),
    ("file_append", false),
    ("fixedbufs", true),
    ("fsync_on_close", false),
    ("group_reporting", true),
    ("hipri", true),
    ("invalidate", false),
    ("lat_percentiles", false),
    ("norandommap", true),
    ("overwrite", false),
    ("randrepeat", false),
    ("refill_buffers", true),
    ("registerfiles", true),
    ("scramble_buffers", false),
    ("slat_percentiles", false),
    ("softrandommap", false),
    ("sqthread_poll", true),
    ("thread", true),
    ("time_based", true),
    ("userspace_reap", true),
    ("zero_buffers", true),
];

/// Options that belong to engines: others do not know them.
const OF_ENGINES: &[(&str, &[&str])] = &[
    ("fixedbufs", &["io_uring"]),
    ("force_async", &["io_uring"]),
    ("hipri", &["io_uring", "pvsync2"]),
    ("nonvectored", &["io_uring"]),
    ("registerfiles", &["io_uring"]),
    ("sqthread_poll", &["io_uring"]),
    ("sqthread_poll_cpu", &["io_uring"]),
    ("uncached", &["io_uring", "pvsync2"]),
    ("userspace_reap", &["libaio"]),
];

/// The engines that know an option; `None` for an option of every engine.
pub(super) fn engines_of(key: &str) -> Option<&'static [&'static str]> {
    let found = OF_ENGINES.iter().find(|(name, _)| *name == key);
    found.map(|(_, engines)| *engines)
}

/// Engines that do the I/O that is measured here, and need nothing besides the kernel.
pub(super) const ENGINES: &[&str] = &[
    "io_uring", "libaio", "psync", "pvsync", "pvsync2", "sync", "vsync",
];

/// Options that can't work here, by name or by beginning, and why.
const REFUSED: &[(&str, &str)] = &[
    ("client", "there is no network"),
    ("server", "there is no network"),
    (
        "directory",
        "jobs run in the file system under test: use a bare file name",
    ),
    ("exec_", "there is no other program in the guest"),
    ("fill_device", "the amount written must be known in advance"),
    ("hugepage-size", "the guest has no huge pages set aside"),
    ("ignore_error", "any error makes the result wrong"),
    (
        "include",
        "includes are not supported: copy the included text",
    ),
    ("ioscheduler", "the scenario sets it: [model] scheduler"),
    ("log_", "its output would be written during the measurement"),
    ("new_group", "all jobs of a file make one figure"),
    (
        "opendir",
        "files are laid out in advance: name each of them",
    ),
    ("output", "the harness reads fio's output"),
    (
        "per_job_logs",
        "its output would be written during the measurement",
    ),
    ("pre_read", "it fills the page cache"),
    (
        "ramp_time",
        "the warm-up is the scenario's: [measure] warmup_ios",
    ),
    ("read_iolog", "there is no trace in the guest"),
    ("replay_", "there is no trace in the guest"),
    ("ss", "a repetition has a known end"),
    (
        "stonewall",
        "make jobs that run one after another separate workloads",
    ),
    ("startdelay", "the jobs of a file run together"),
    ("steadystate", "a repetition has a known end"),
    ("terse", "the harness reads fio's output"),
    ("trim", "trim is not supported"),
    ("unlink", "the file is checked after the run"),
    ("verify", "verifying I/O would be counted as the workload's"),
    (
        "do_verify",
        "verifying I/O would be counted as the workload's",
    ),
    (
        "wait_for",
        "make jobs that run one after another separate workloads",
    ),
    (
        "write_",
        "its output would be written during the measurement",
    ),
    ("zonemode", "the drive model has no zones"),
    ("gtod_reduce", "without times there are no latencies"),
];

/// Why an option is refused; `None` when it may stand.
pub(super) fn refusal(key: &str) -> Option<String> {
    if ALLOWED.contains(&key) {
        return None;
    }
    let known = REFUSED.iter().find(|(name, _)| {
        key == *name || (key.starts_with(name) && (name.ends_with('_') || name.len() > 4))
    });
    Some(match known {
        Some((_, why)) => (*why).to_owned(),
        None => match crate::suggest::closest(key, ALLOWED.iter().copied()) {
            Some(close) => format!("it is not a supported option; did you mean `{close}`?"),
            None => "it is not among the supported options".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_guest_or_the_measurement_is_refused_with_its_reason() {
        let why = |key| refusal(key).unwrap_or_default();
        assert_eq!(why("bs"), "");
        assert!(why("write_bw_log").contains("during the measurement"));
        assert!(why("exec_prerun").contains("no other program"));
        assert!(why("verify_pattern").contains("counted"));
        assert!(why("ss").contains("known end"));
        assert!(why("iodeth").contains("`iodepth`"));
        assert!(why("qwertyuiop").contains("not among"));
    }

    #[test]
    fn switches_and_engines_options_are_options() {
        let engines = OF_ENGINES.iter().map(|(name, _)| name);
        for key in SWITCHES.iter().map(|(name, _)| name).chain(engines) {
            assert!(ALLOWED.contains(key), "{key}");
        }
    }

    #[test]
    fn no_option_is_both() {
        for key in ALLOWED {
            assert!(refusal(key).is_none());
            assert!(!REFUSED.iter().any(|(name, _)| name == key), "{key}");
        }
    }
}
