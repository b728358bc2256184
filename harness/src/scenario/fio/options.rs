//! Which of fio's options work in a cell, and why others do not (pure).

/// Options that a job may have.
pub(super) const ALLOWED: &[&str] = &[
    "allow_file_create",
    "allow_mounted_write",
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
    "clocksource",
    "continue_on_error",
    "cpus_allowed",
    "cpus_allowed_policy",
    "create_fsync",
    "create_on_open",
    "create_serialize",
    "dedupe_mode",
    "dedupe_percentage",
    "dedupe_working_set_percentage",
    "direct",
    "disable_bw",
    "disable_bw_measurement",
    "disable_clat",
    "disable_lat",
    "disable_slat",
    "end_fsync",
    "exit_what",
    "exitall",
    "exitall_on_error",
    "fadvise_hint",
    "fallocate",
    "fdatasync",
    "file_append",
    "file_service_type",
    "filename",
    "filename_format",
    "fileoffset",
    "filesize",
    "fixedbufs",
    "flow",
    "flow_id",
    "flow_sleep",
    "force_async",
    "fsync",
    "fsync_on_close",
    "gtod_reduce",
    "hipri",
    "invalidate",
    "io_limit",
    "io_size",
    "io_submit_mode",
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
    "lockfile",
    "loops",
    "mem",
    "mem_align",
    "nice",
    "nonvectored",
    "norandommap",
    "nr_files",
    "nrfiles",
    "number_ios",
    "numjobs",
    "offset",
    "offset_align",
    "offset_increment",
    "openfiles",
    "overwrite",
    "percentage_random",
    "prio",
    "prioclass",
    "rand_seed",
    "random_distribution",
    "random_generator",
    "randrepeat",
    "randseed",
    "rate",
    "rate_cycle",
    "rate_ignore_thinktime",
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
    "serialize_overlap",
    "size",
    "softrandommap",
    "sqthread_poll",
    "sqthread_poll_cpu",
    "stonewall",
    "sync",
    "thinktime",
    "thinktime_blocks",
    "thinktime_blocks_type",
    "thinktime_iotime",
    "thinktime_spin",
    "thread",
    "time_based",
    "timeout",
    "uncached",
    "unique_filename",
    "userspace_reap",
    "wait_for_previous",
    "write_barrier",
    "write_hint",
    "zero_buffers",
    "zonemode",
];

/// Those that are on or off, and whether they may stand alone, without a value. fio wants a number.
pub(super) const SWITCHES: &[(&str, bool)] = &[
    ("allrandrepeat", false),
    ("buffered", false),
    ("direct", false),
    ("end_fsync", false),
    ("file_append", false),
    ("disable_clat", true),
    ("disable_lat", true),
    ("disable_slat", true),
    ("exitall", true),
    ("fixedbufs", true),
    ("fsync_on_close", false),
    ("gtod_reduce", true),
    ("hipri", true),
    ("invalidate", false),
    ("norandommap", true),
    ("overwrite", false),
    ("randrepeat", false),
    ("refill_buffers", true),
    ("registerfiles", true),
    ("scramble_buffers", false),
    ("softrandommap", false),
    ("sqthread_poll", true),
    ("stonewall", true),
    ("thread", true),
    ("time_based", true),
    ("userspace_reap", true),
    ("wait_for_previous", true),
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

/// Options that only say what fio reports, and whose reports nobody reads here; and words for people.
/// Without them the record has every job and every latency.
const REPORTS: &[&str] = &[
    "bwavgtime",
    "clat_percentiles",
    "description",
    "disk_util",
    "error_dump",
    "group_reporting",
    "iopsavgtime",
    "lat_percentiles",
    "name",
    "new_group",
    "per_job_logs",
    "percentile_list",
    "significant_figures",
    "slat_percentiles",
    "stats",
    "unified_rw_reporting",
    "unit_base",
];

/// Options that are left out when they have one of these values, which fio has as default or which
/// mean nothing here. Zero, as number or time, is among the values of each.
const NEUTRAL: &[(&str, &[&str])] = &[
    ("continue_on_error", &["none"]),
    ("do_verify", &["1"]),
    ("kb_base", &["1024"]),
    ("lockfile", &["none"]),
    ("nr_files", &["1"]),
    ("nrfiles", &["1"]),
    ("openfiles", &["1"]),
    ("verify", &["none"]),
    ("zonemode", &["none"]),
];

/// Options that are left out, and what is said of it.
const LEFT_OUT: &[(&str, &str)] = &[
    ("directory", "files are in the file system under test"),
    ("log_", "fio's logs are not kept"),
    (
        "ramp_time",
        "an uncounted run of the whole job comes before the repetitions",
    ),
    (
        "threads",
        "fio 3.33 has no such option (thread=1 makes threads)",
    ),
    ("unlink", "files are checked after the run"),
    ("write_bw_log", "fio's logs are not kept"),
    ("write_hist_log", "fio's logs are not kept"),
    ("write_iops_log", "fio's logs are not kept"),
    ("write_lat_log", "fio's logs are not kept"),
];

/// What is said of an option that would make a job measure something else.
const OTHER: &str = "without it this would be another test";

/// Options that can't work here, by name or by beginning, and why.
const REFUSED: &[(&str, &str)] = &[
    ("client", "there is no network"),
    ("server", "there is no network"),
    (
        "continue_on_error",
        "any error makes the result wrong, so fio may not go on after one",
    ),
    (
        "do_verify",
        "verifying I/O would be counted as the workload's",
    ),
    ("exec_", "there is no other program in the guest"),
    ("fill_device", "the amount written must be known in advance"),
    ("hugepage-size", "the guest has no huge pages set aside"),
    ("ignore_error", "any error makes the result wrong"),
    ("ioscheduler", "the scenario sets it: [model] scheduler"),
    ("kb_base", "sizes are read with fio's default, kb_base=1024"),
    (
        "latency_target",
        "fio changes the queue depth until the latency fits, so no two kernels would do the same I/O",
    ),
    ("lockfile", "the guest has no other user of the file"),
    ("max_latency", "fio would end at one slow I/O"),
    ("merge_blktrace", "there is no trace in the guest"),
    ("nr_files", "a job has one file here"),
    ("nrfiles", "a job has one file here"),
    ("numa_", "the guest has one NUMA node"),
    (
        "opendir",
        "files are laid out in advance: name each of them",
    ),
    ("openfiles", "a job has one file here"),
    ("pre_read", "it fills the page cache"),
    ("profile", "its jobs are not in the file"),
    ("read_iolog", "there is no trace in the guest"),
    ("replay_", "there is no trace in the guest"),
    ("ss", "a repetition has a known end"),
    (
        "startdelay",
        "jobs that begin one after another are for stonewall",
    ),
    ("steadystate", "a repetition has a known end"),
    ("trim", "trim is not supported"),
    ("verify", "verifying I/O would be counted as the workload's"),
    (
        "wait_for",
        "jobs that run one after another are for stonewall",
    ),
    (
        "write_",
        "its output would be written during the measurement",
    ),
    ("zone", "the drive model has no zones"),
];

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// fio gets it.
    Kept,
    /// fio does the same I/O without it.
    Dropped,
    /// It is left out, which a reader must know.
    LeftOut(&'static str),
}

/// Options that are details of another, by its name's beginning: they stand or fall with it.
const DETAILS: &[&str] = &["latency_", "verify_"];

/// What becomes of an option with this value.
///
/// # Errors
/// Why it can't stand, and what to do.
pub(super) fn fate(key: &str, value: &str) -> Result<Fate, (String, String)> {
    let detail = DETAILS.iter().any(|of| key.starts_with(of)) && key != "latency_target";
    if REPORTS.contains(&key) || detail {
        return Ok(Fate::Dropped);
    }
    let neutral = NEUTRAL.iter().find(|(name, _)| *name == key);
    let zero = super::ini::nanos(value) == Some(0) || super::ini::switch(value) == Some(false);
    if neutral.is_some_and(|(_, values)| zero || values.contains(&value)) {
        return Ok(Fate::Dropped);
    }
    if neutral.is_none() && ALLOWED.contains(&key) {
        return Ok(Fate::Kept);
    }
    if let Some((_, why)) = LEFT_OUT.iter().find(|(name, _)| named(name, key)) {
        return Ok(if zero {
            Fate::Dropped
        } else {
            Fate::LeftOut(why)
        });
    }
    let known = REFUSED.iter().find(|(name, _)| named(name, key));
    // What is off needs no support.
    if known.is_some() && zero {
        return Ok(Fate::Dropped);
    }
    Err(match known {
        Some((_, why)) => (
            (*why).to_owned(),
            format!("leave it out, if that is still the test you mean: {OTHER}"),
        ),
        None => {
            let next = match crate::suggest::closest(key, ALLOWED.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => "leave it out".to_owned(),
            };
            ("it is not among the supported options".to_owned(), next)
        }
    })
}

/// Whether a name, or a beginning, of a table means an option.
fn named(name: &str, key: &str) -> bool {
    key == name || (key.starts_with(name) && (name.ends_with('_') || name.len() > 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(key: &str, value: &str) -> String {
        match fate(key, value) {
            Err((why, next)) => format!("{why}; {next}"),
            Ok(fate) => format!("{fate:?}"),
        }
    }

    #[test]
    fn what_leaves_the_guest_or_the_measurement_is_refused_with_its_reason() {
        assert_eq!(why("bs", "4k"), "Kept");
        assert!(why("write_iolog", "x").contains("during the measurement"));
        assert!(why("exec_prerun", "x").contains("no other program"));
        assert_eq!(why("verify_pattern", "1"), "Dropped");
        assert!(why("verify", "crc32c").contains("another test"));
        assert!(why("ss", "iops:1%").contains("known end"));
        assert!(why("latency_target", "500000").contains("queue depth"));
        assert!(why("iodeth", "4").contains("did you mean `iodepth`?"));
        assert!(why("qwertyuiop", "4").contains("not among"));
    }

    #[test]
    fn what_is_off_or_default_is_accepted() {
        for option in [
            "verify=0",
            "do_verify=0",
            "nrfiles=1",
            "nr_files=1",
            "continue_on_error=none",
            "ramp_time=0",
            "ramp_time=0s",
            "unlink=0",
            "startdelay=0",
            "pre_read=0",
            "group_reporting=1",
            "clat_percentiles=0",
            "description=x",
            "zonemode=none",
            "kb_base=1024",
        ] {
            let (key, value) = option.split_once('=').unwrap();
            assert_eq!(fate(key, value), Ok(Fate::Dropped), "{option}");
        }
        assert_eq!(fate("verify_fatal", "1"), Ok(Fate::Dropped));
        for option in [
            "disable_lat=1",
            "gtod_reduce=1",
            "stonewall=1",
            "fadvise_hint=0",
        ] {
            let (key, value) = option.split_once('=').unwrap();
            assert_eq!(fate(key, value), Ok(Fate::Kept), "{option}");
        }
        assert!(matches!(fate("ramp_time", "10s"), Ok(Fate::LeftOut(_))));
        assert!(matches!(fate("directory", "/mnt"), Ok(Fate::LeftOut(_))));
        assert!(matches!(fate("log_avg_msec", "500"), Ok(Fate::LeftOut(_))));
        for option in ["nrfiles=4", "startdelay=5", "unlink=x y", "kb_base=1000"] {
            let (key, value) = option.split_once('=').unwrap();
            assert_ne!(fate(key, value), Ok(Fate::Dropped), "{option}");
        }
    }

    #[test]
    fn switches_and_engines_options_are_options() {
        let engines = OF_ENGINES.iter().map(|(name, _)| name);
        for key in SWITCHES.iter().map(|(name, _)| name).chain(engines) {
            assert!(ALLOWED.contains(key), "{key}");
        }
    }

    #[test]
    fn no_option_is_both_kept_and_refused() {
        let neutral = |key: &&&str| NEUTRAL.iter().any(|(name, _)| name == *key);
        for key in ALLOWED.iter().filter(|key| !neutral(key)) {
            assert_eq!(fate(key, "7"), Ok(Fate::Kept));
            assert!(!REFUSED.iter().any(|(name, _)| name == key), "{key}");
        }
    }
}
