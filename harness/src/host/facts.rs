//! What the host is, for a run's manifest. Nothing here is an input of a digit.

use super::room::{self, meminfo_bytes};
use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// What the host is. What could not be found out is absent, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// uname -r
    pub kernel: String,
    /// PRETTY_NAME of os-release(5).
    pub distribution: Option<String>,
    /// `model name` of /proc/cpuinfo.
    pub cpu: Option<String>,
    /// Cores that this process may keep busy ([`room::cores`]).
    pub cores: usize,
    /// RAM in bytes (MemTotal of /proc/meminfo).
    pub memory: Option<u64>,
    /// RAM in bytes that can be had without swapping ([`room::memory`]).
    pub memory_available: Option<u64>,
    /// Free space where cache and results are.
    pub disks: Vec<DiskFacts>,
    /// Load average over one minute (/proc/loadavg).
    pub load: Option<f64>,
    /// Whether the effective user is root.
    pub root: bool,
}

/// A directory's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// What it is for: `cache`, `results`.
    pub role: String,
    /// Bytes that an ordinary user may still write.
    pub free: Option<u64>,
}

impl HostFacts {
    /// Finds out. `directories` are roles and paths; of a directory that is not there yet, the
    /// nearest one above it counts.
    #[must_use]
    pub fn probe(directories: &[(&str, &Path)]) -> HostFacts {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let meminfo = read("/proc/meminfo");
        let os_release =
            fs::read_to_string("/etc/os-release").unwrap_or_else(|_| read("/usr/lib/os-release"));
        HostFacts {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            distribution: distribution(&os_release),
            cpu: cpu_model(&read("/proc/cpuinfo")),
            cores: room::cores(),
            memory: meminfo_bytes(&meminfo, "MemTotal"),
            memory_available: room::memory(),
            disks: directories
                .iter()
                .map(|(role, path)| DiskFacts {
                    role: (*role).to_owned(),
                    free: free_space(path),
                })
                .collect(),
            load: load(&read("/proc/loadavg")),
            root: rustix::process::geteuid().is_root(),
        }
    }
}

/// Bytes that an ordinary user may still write in a directory, or in the nearest one above it
/// that is there.
#[must_use]
pub fn free_space(directory: &Path) -> Option<u64> {
    let absolute = std::path::absolute(directory).ok()?;
    let there = absolute.ancestors().find(|path| path.is_dir())?;
    let disk = statvfs(there).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

fn distribution(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(
            distribution(release).as_deref(),
            Some("Debian GNU/Linux 12 (bookworm)")
        );
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\n";
        assert_eq!(cpu_model(cpuinfo).as_deref(), Some("Some CPU @ 3.00GHz"));
        let meminfo = "MemTotal:        8000 kB\nMemAvailable:    4000 kB\n";
        assert_eq!(meminfo_bytes(meminfo, "MemAvailable"), Some(4000 << 10));
        assert_eq!(meminfo_bytes(meminfo, "Mem"), None);
        assert_eq!(load("0.42 0.30 0.10 1/200 4242\n"), Some(0.42));
    }

    #[test]
    fn what_cannot_be_found_out_is_absent() {
        assert_eq!(distribution(""), None);
        assert_eq!(cpu_model(""), None);
        assert_eq!(meminfo_bytes("", "MemTotal"), None);
        assert_eq!(load(""), None);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_has_its_parents_space() {
        let dir = tempfile::tempdir().expect("a directory");
        let facts = HostFacts::probe(&[("cache", &dir.path().join("a/b"))]);
        assert!(facts.disks[0].free.is_some());
        assert!(facts.cores > 0 && !facts.kernel.is_empty());
    }
}
