//! How many guests this host takes at once, and on which CPUs.

use crate::{
    error::{Error, Result},
    host::doctor::{BESIDES_GUEST, guests_at_once},
};
use std::fs;

/// Where guests may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// One guest at a time on each.
    pub cpus: Vec<usize>,
    /// Why there are fewer than were asked for, if so.
    pub note: Option<String>,
}

/// Slots for guests of this size on this host.
///
/// # Errors
/// When not even one guest fits into memory, or the host does not say what it has.
pub fn slots(wanted: Option<usize>, memory_mib: u32) -> Result<Slots> {
    let allowed = rustix::thread::sched_getaffinity(None).map_err(|e| {
        Error::host("asking for this process's CPUs").because(std::io::Error::from(e))
    })?;
    let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    let path = "/proc/meminfo";
    let meminfo = fs::read_to_string(path).map_err(|e| Error::io("reading", path.as_ref(), e))?;
    choose(wanted, memory_mib, &cpus, available_mib(&meminfo))
}

/// MemAvailable in MiB.
fn available_mib(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = line
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn choose(
    wanted: Option<usize>,
    memory_mib: u32,
    cpus: &[usize],
    available_mib: u64,
) -> Result<Slots> {
    let each = u64::from(memory_mib) + (BESIDES_GUEST >> 20);
    // More jobs than CPUs is the caller's wish: the CPUs are shared round robin.
    let wanted = wanted.unwrap_or(cpus.len()).max(1);
    let jobs = guests_at_once(wanted, available_mib << 20, u64::from(memory_mib) << 20);
    if jobs == 0 {
        return Err(Error::host(format!(
            "a guest needs {each} MiB of memory, and this host has {available_mib} MiB available"
        ))
        .hint("free some memory, or lower [guest] memory in the scenario"));
    }
    let note = (jobs < wanted).then(|| {
        format!(
            "{jobs} guests at once instead of {wanted}: each needs {each} MiB, and \
             {available_mib} MiB are available"
        )
    });
    Ok(Slots {
        cpus: (0..jobs).map(|i| cpus[i % cpus.len()]).collect(),
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_guests_than_ram_allows() {
        let cpus = [0, 1, 2, 3];
        let slots = choose(None, 1024, &cpus, 3000).unwrap();
        assert_eq!(slots.cpus, [0, 1]);
        assert!(
            slots
                .note
                .unwrap()
                .starts_with("2 guests at once instead of 4")
        );
        assert_eq!(choose(None, 1024, &cpus, 64_000).unwrap().cpus, cpus);
        assert_eq!(choose(Some(1), 1024, &cpus, 64_000).unwrap().cpus, [0]);
        assert_eq!(
            choose(Some(6), 512, &cpus, 64_000).unwrap().cpus,
            [0, 1, 2, 3, 0, 1]
        );
    }

    #[test]
    fn a_host_without_memory_says_what_a_guest_needs() {
        let error = choose(None, 1024, &[0], 1200).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Host);
        assert!(error.to_string().contains("1280 MiB"), "{error}");
    }
}
