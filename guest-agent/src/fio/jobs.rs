//! Variants of a job file. Pure.

/// The job file with `ios` I/Os per job instead of its own bound: of equal options the last one of
/// a section counts, so they are added at the end of each.
pub fn with_ios(jobs: &str, ios: u64) -> String {
    let end = format!("time_based=0\nruntime=0\nloops=1\nthinktime=0\nnumber_ios={ios}\n");
    ending(jobs, &end)
}

/// The job file with so many nanoseconds per job, rounded up to fio's milliseconds, instead of its own
/// bound.
pub fn with_runtime(jobs: &str, ns: u64) -> String {
    let ms = ns.div_ceil(1_000_000);
    ending(
        jobs,
        &format!("time_based=1\nruntime={ms}ms\nnumber_ios=0\n"),
    )
}

/// The job file with no more than so many I/Os a second of each job and direction.
pub fn with_rate(jobs: &str, iops: u64) -> String {
    ending(jobs, &format!("rate_iops={iops}\n"))
}

/// The job file with these lines at the end of each job's section.
fn ending(jobs: &str, end: &str) -> String {
    let mut out = String::new();
    let mut in_job = false;
    for line in jobs.lines() {
        if line.starts_with('[') {
            if in_job {
                out.push_str(end);
            }
            in_job = line != "[global]";
        }
        out.push_str(line);
        out.push('\n');
    }
    if in_job {
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_may_end_after_a_time_instead() {
        insta::assert_snapshot!(with_runtime("[a]\nnumber_ios=7\n", 1_500_001), @r"
        [a]
        number_ios=7
        time_based=1
        runtime=2ms
        number_ios=0
        ");
    }

    #[test]
    fn every_job_ends_after_so_many_ios_and_the_globals_stay() {
        let jobs = "[global]\nbs=4k\n[a]\nruntime=1\n[b]\n";
        insta::assert_snapshot!(with_ios(jobs, 7), @r"
        [global]
        bs=4k
        [a]
        runtime=1
        time_based=0
        runtime=0
        loops=1
        thinktime=0
        number_ios=7
        [b]
        time_based=0
        runtime=0
        loops=1
        thinktime=0
        number_ios=7
        ");
    }
}
