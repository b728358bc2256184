//! Variants of a job file. Pure.

/// The job file with `ios` I/Os per job instead of its own bound: of equal options the last one of
/// a section counts, so they are added at the end of each.
pub fn with_ios(jobs: &str, ios: u64) -> String {
    let mut out = String::new();
    let mut in_job = false;
    let end = format!("time_based=0\nruntime=0\nloops=1\nthinktime=0\nnumber_ios={ios}\n");
    for line in jobs.lines() {
        if line.starts_with('[') {
            if in_job {
                out.push_str(&end);
            }
            in_job = line != "[global]";
        }
        out.push_str(line);
        out.push('\n');
    }
    if in_job {
        out.push_str(&end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
