//! What fio says (json+; fio's HOWTO, "JSON output"). Pure.

use diorama_wire::{FioJob, LatencyBucket};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `fio version`
    pub version: String,
    /// Its jobs, in fio's order.
    pub jobs: Vec<FioJob>,
    /// Completion latencies of all jobs and directions: each bucket by fio's value for it.
    pub latency: Vec<LatencyBucket>,
    /// fsync(2) calls of all jobs.
    pub syncs: u64,
}

/// All jobs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// I/Os that read.
    pub reads: u64,
    /// I/Os that wrote.
    pub writes: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// The longest job's runtime.
    pub runtime_ms: u64,
}

impl Total {
    /// I/Os of both directions.
    pub fn ios(self) -> u64 {
        self.reads + self.writes
    }
}

impl Output {
    /// The sums over all jobs.
    pub fn total(&self) -> Total {
        let add = |sum: Total, job: &FioJob| Total {
            reads: sum.reads + job.reads,
            writes: sum.writes + job.writes,
            bytes: sum.bytes + job.bytes,
            runtime_ms: sum.runtime_ms.max(job.runtime_ms),
        };
        self.jobs.iter().fold(Total::default(), add)
    }

    /// CPU time in user space that the kernel charged to the jobs, ns.
    pub fn user_ns(&self) -> u64 {
        let of =
            |job: &FioJob| (job.usr_cpu / 100.0 * job.job_runtime_ms as f64 * 1e6).round() as u64;
        self.jobs.iter().map(of).sum()
    }
}

#[derive(Deserialize)]
struct Root {
    #[serde(rename = "fio version")]
    version: String,
    jobs: Vec<RawJob>,
}

#[derive(Deserialize)]
struct RawJob {
    jobname: String,
    error: i64,
    job_runtime: u64,
    usr_cpu: f64,
    sys_cpu: f64,
    ctx: u64,
    read: Direction,
    write: Direction,
    #[serde(default)]
    sync: SyncCalls,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SyncCalls {
    total_ios: u64,
}

#[derive(Deserialize)]
struct Direction {
    total_ios: u64,
    io_bytes: u64,
    runtime: u64,
    #[serde(default)]
    clat_ns: Latency,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Latency {
    bins: BTreeMap<String, u64>,
}

/// Reads fio's output. Before the JSON there may be notes in plain text.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<Output, String> {
    let start = if text.starts_with('{') {
        Some(0)
    } else {
        text.find("\n{").map(|at| at + 1)
    };
    let json = start
        .map(|at| &text[at..])
        .ok_or("fio's output holds no JSON")?;
    let root: Root = serde_json::from_str(json).map_err(|e| format!("fio's output: {e}"))?;
    let mut latency: BTreeMap<u64, u64> = BTreeMap::new();
    let mut jobs = Vec::new();
    let mut syncs = 0;
    for job in root.jobs {
        if job.error != 0 {
            let error = i32::try_from(job.error).unwrap_or(i32::MAX);
            let error = std::io::Error::from_raw_os_error(error);
            return Err(format!("fio's job `{}` failed: {error}", job.jobname));
        }
        for (ns, count) in job.read.clat_ns.bins.iter().chain(&job.write.clat_ns.bins) {
            let ns = ns
                .parse()
                .map_err(|_| format!("fio's output: {ns:?} is no latency"))?;
            *latency.entry(ns).or_default() += count;
        }
        syncs += job.sync.total_ios;
        jobs.push(FioJob {
            name: job.jobname,
            reads: job.read.total_ios,
            writes: job.write.total_ios,
            bytes: job.read.io_bytes + job.write.io_bytes,
            runtime_ms: job.read.runtime.max(job.write.runtime),
            job_runtime_ms: job.job_runtime,
            usr_cpu: job.usr_cpu,
            sys_cpu: job.sys_cpu,
            ctx: job.ctx,
        });
    }
    let buckets = latency.into_iter().filter(|(_, count)| *count > 0);
    Ok(Output {
        version: root.version,
        jobs,
        latency: buckets
            .map(|(up_to_ns, count)| LatencyBucket { up_to_ns, count })
            .collect(),
        syncs,
    })
}

/// The flags of open(2) in a /proc/PID/fdinfo file, which are octal.
pub fn open_flags(fdinfo: &str) -> Option<i32> {
    let flags = fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(flags.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(read: &str, write: &str) -> String {
        let job = |name: &str, error: u32| {
            format!(
                r#"{{"jobname":"{name}","error":{error},"job_runtime":500,"usr_cpu":20.0,"sys_cpu":60.5,
                "ctx":7,"read":{read},"write":{write},"trim":{{}},"sync":{{"total_ios":3}},"eta":0}}"#
            )
        };
        format!(
            "note: both\n{{\"fio version\":\"fio-3.33\",\"jobs\":[{},{}]}}",
            job("a", 0),
            job("b", 0)
        )
    }

    const NONE: &str = r#"{"total_ios":0,"io_bytes":0,"runtime":0,"clat_ns":{"min":0}}"#;
    const SOME: &str = r#"{"total_ios":30,"io_bytes":122880,"runtime":501,
        "clat_ns":{"bins":{"2000":10,"1000":20,"3000":0}}}"#;

    #[test]
    fn the_sums_are_over_all_jobs() {
        let output = parse(&run(SOME, NONE)).unwrap();
        assert_eq!(output.version, "fio-3.33");
        let total = output.total();
        assert_eq!((total.reads, total.writes, total.bytes), (60, 0, 245_760));
        assert_eq!(total.runtime_ms, 501);
        assert_eq!(output.user_ns(), 200_000_000);
        assert_eq!(output.syncs, 6);
        let buckets: Vec<_> = output
            .latency
            .iter()
            .map(|b| (b.up_to_ns, b.count))
            .collect();
        assert_eq!(buckets, [(1000, 40), (2000, 20)]);
    }

    #[test]
    fn a_failed_job_and_no_output_are_no_results() {
        let failed = run(NONE, SOME).replace(r#""b","error":0"#, r#""b","error":22"#);
        insta::assert_snapshot!(parse(&failed).unwrap_err(), @"fio's job `b` failed: Invalid argument (os error 22)");
        insta::assert_snapshot!(parse("").unwrap_err(), @"fio's output holds no JSON");
    }

    #[test]
    fn flags_are_octal() {
        assert_eq!(open_flags("pos:\t0\nflags:\t0140002\n"), Some(0o140_002));
        assert_eq!(open_flags("pos: 0\n"), None);
    }
}
