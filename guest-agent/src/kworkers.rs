//! How often each kworker was put on a CPU.

use crate::parse;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

/// Longer than any /proc/PID/schedstat: three numbers of up to 20 digits.
const TEXT_SIZE: usize = 96;

/// The kworkers' counters, kept open.
///
/// Opening and closing files frees memory by RCU, a grace period later: work that would fall into
/// the window. So the threads are looked for again only after a fork, in kernel or user space.
#[derive(Default)]
pub struct Kworkers {
    /// `processes` of /proc/stat when they were looked for.
    forks: Option<u64>,
    /// schedstat of each, by thread.
    files: BTreeMap<u32, File>,
}

impl Kworkers {
    /// The runs of each kworker since its start, given the guest's number of forks; `None` without
    /// CONFIG_SCHED_INFO.
    pub fn runs(&mut self, forks: u64) -> Option<BTreeMap<u32, u64>> {
        if self.forks != Some(forks) {
            self.files = open()?;
            self.forks = Some(forks);
        }
        let mut runs = BTreeMap::new();
        for (&pid, file) in &self.files {
            let mut text = [0; TEXT_SIZE];
            match file.read_at(&mut text, 0) {
                Ok(n) => runs.insert(pid, parse::schedstat_runs(&text[..n])?),
                // It has ended.
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(_) => return None,
            };
        }
        Some(runs)
    }
}

fn open() -> Option<BTreeMap<u32, File>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A thread may end between these two; then it is not counted.
        match fs::read(format!("/proc/{pid}/comm")) {
            Ok(comm) if comm.starts_with(b"kworker") => {}
            _ => continue,
        }
        match File::open(format!("/proc/{pid}/schedstat")) {
            Ok(file) => files.insert(pid, file),
            Err(_) if !entry.path().exists() => continue,
            Err(_) => return None,
        };
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_looked_for_again_only_after_a_fork() {
        let mut kworkers = Kworkers::default();
        let first = kworkers.runs(1);
        if first.is_none() {
            return;
        }
        kworkers.files.clear();
        assert_eq!(kworkers.runs(1), Some(BTreeMap::new()));
        assert_eq!(
            kworkers
                .runs(2)
                .map(|runs| runs.into_keys().collect::<Vec<_>>()),
            first.map(|runs| runs.into_keys().collect::<Vec<_>>())
        );
    }
}
