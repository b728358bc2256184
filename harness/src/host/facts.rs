//! What the host is, for a run's manifest. Nothing here is an input of a digit.

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
    /// Cores that this process may run on.
    pub cores: usize,
    /// RAM in bytes (MemTotal of /proc/meminfo).
    pub memory: Option<u64>,
    /// RAM in bytes that can be had without swapping: MemAvailable, or what the control group
    /// leaves where that is less.
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
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: meminfo_bytes(&meminfo, "MemTotal"),
            memory_available: available(
                meminfo_bytes(&meminfo, "MemAvailable"),
                cgroup_headroom(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup")),
            ),
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

fn meminfo_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn available(meminfo: Option<u64>, cgroup: Option<u64>) -> Option<u64> {
    match (meminfo, cgroup) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What the control groups of this process leave (Documentation/admin-guide/cgroup-v2.rst); page
/// cache that can be dropped counts as free. None when there is no limit, or only version 1's.
fn cgroup_headroom(mount: &Path, self_cgroup: &str) -> Option<u64> {
    let own = self_cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))?;
    let dir = mount.join(own);
    let groups = dir.ancestors().take_while(|group| group.starts_with(mount));
    let headroom = |group: &Path| {
        let read = |file: &str| fs::read_to_string(group.join(file)).ok();
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        let most = number("memory.max")?;
        let stat = read("memory.stat").unwrap_or_default();
        let cache = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "));
        let cache = cache.and_then(|n| n.parse().ok()).unwrap_or(0);
        Some(most.saturating_sub(number("memory.current")?.saturating_sub(cache)))
    };
    groups.filter_map(headroom).min()
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
    fn the_tightest_control_group_bounds_memory() {
        let root = tempfile::tempdir().expect("a directory");
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).expect("a directory");
        let write = |file: &str, text: &str| {
            fs::write(root.path().join(file), text).expect("a file");
        };
        write("a/memory.max", "1000\n");
        write("a/memory.current", "700\n");
        write("a/memory.stat", "anon 500\ninactive_file 200\n");
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "100\n");
        assert_eq!(cgroup_headroom(root.path(), "0::/a/b\n"), Some(500));
        assert_eq!(
            cgroup_headroom(root.path(), "0::/\n"),
            None,
            "no limit at the root"
        );
        assert_eq!(cgroup_headroom(root.path(), "1:memory:/x\n"), None);
        assert_eq!(available(Some(800), Some(500)), Some(500));
        assert_eq!(available(Some(800), None), Some(800));
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
