//! What this process may use of the host: CPUs and memory, as far as affinity, control groups and
//! other programs leave them. `doctor` judges by it and a run starts guests by it.

use super::cgroup;
use crate::error::{Error, Result};
use std::{fs, thread};

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// CPUs that this process may run on, by number.
    pub cpus: Vec<usize>,
    /// How many of them it may keep busy: no more than a control group's CPU quota.
    pub cores: usize,
    /// RAM in bytes that can be had without swapping; unknown where the host does not say.
    pub memory: Option<u64>,
}

impl Room {
    /// Looks up this process's CPUs and the available memory.
    ///
    /// # Errors
    /// When the kernel does not say on which CPUs this process may run.
    pub fn look() -> Result<Room> {
        let allowed = rustix::thread::sched_getaffinity(None).map_err(|e| {
            Error::host("getting this process's CPU affinity").because(std::io::Error::from(e))
        })?;
        let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .collect();
        Ok(Room {
            cores: cores().min(cpus.len()),
            cpus,
            memory: memory(),
        })
    }
}

/// Cores that this process may keep busy: affinity and CPU quota considered.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// RAM in bytes that can be had without swapping: MemAvailable, or what the control groups leave
/// where that is less.
#[must_use]
pub fn memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    tighter(meminfo_bytes(&meminfo, "MemAvailable"), cgroup::memory())
}

/// A field of /proc/meminfo, in bytes.
pub(super) fn meminfo_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn tighter(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_two_bounds_counts_and_an_unknown_one_does_not() {
        assert_eq!(tighter(Some(800), Some(500)), Some(500));
        assert_eq!(tighter(Some(800), None), Some(800));
        assert_eq!(tighter(None, None), None);
    }

    #[test]
    fn a_process_may_use_at_least_one_cpu() {
        let room = Room::look().expect("an answer");
        assert!(room.cores >= 1 && room.cores <= room.cpus.len());
    }
}
