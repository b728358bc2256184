//! What the control groups of this process leave of the host's memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where control groups are mounted: version 2 alone, or beside version 1.
const MOUNT: &str = "/sys/fs/cgroup";

/// Files of one version: limit, use, and what of the use can be dropped at once.
struct CgroupFiles {
    limit: &'static str,
    used: &'static str,
    cache: &'static str,
}

/// Documentation/admin-guide/cgroup-v2.rst
const V2: CgroupFiles = CgroupFiles {
    limit: "memory.max",
    used: "memory.current",
    cache: "inactive_file ",
};

/// Documentation/admin-guide/cgroup-v1/memory.rst
const V1: CgroupFiles = CgroupFiles {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: "total_inactive_file ",
};

/// Bytes that the tightest of this process's control groups leaves; page cache that can be dropped
/// counts as free. None when there is no limit.
#[must_use]
pub fn memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    headroom(Path::new(MOUNT), &groups)
}

fn headroom(mount: &Path, self_cgroup: &str) -> Option<u64> {
    self_cgroup
        .lines()
        .filter_map(|line| place(mount, line))
        .filter_map(|(top, own, files)| tightest(&top, &own, &files))
        .min()
}

/// Where a line of /proc/self/cgroup (`0::/a`, `4:memory:/a`) puts this process: the hierarchy's top,
/// the group in it, and its files.
fn place(mount: &Path, line: &str) -> Option<(PathBuf, PathBuf, CgroupFiles)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    let group = group.strip_prefix('/')?;
    let (top, files) = match controllers {
        "" => (mount.to_owned(), V2),
        list if list.split(',').any(|c| c == "memory") => (mount.join("memory"), V1),
        _ => return None,
    };
    let own = top.join(group);
    // In a container the path may be that of the host, of which the mount shows a part.
    let own = if own.is_dir() { own } else { top.clone() };
    Some((top, own, files))
}

fn tightest(top: &Path, own: &Path, files: &CgroupFiles) -> Option<u64> {
    let groups = own.ancestors().take_while(|group| group.starts_with(top));
    groups.filter_map(|group| left(group, files)).min()
}

fn left(group: &Path, files: &CgroupFiles) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    // Version 1 says "no limit" with a number beyond all memory; version 2 with a word.
    let most = number(files.limit).filter(|most| *most < 1 << 60)?;
    let stat = read("memory.stat").unwrap_or_default();
    let cache = stat.lines().find_map(|line| line.strip_prefix(files.cache));
    let cache = cache.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(number(files.used)?.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_tightest_control_group_bounds_memory() {
        let root = root(&[
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "700\n"),
            ("a/memory.stat", "anon 500\ninactive_file 200\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "100\n"),
        ]);
        assert_eq!(headroom(root.path(), "0::/a/b\n"), Some(500));
        assert_eq!(
            headroom(root.path(), "0::/\n"),
            None,
            "no limit at the root"
        );
        assert_eq!(headroom(root.path(), "1:cpu:/a\n"), None);
        assert_eq!(headroom(root.path(), ""), None);
    }

    #[test]
    fn version_1_bounds_memory_too() {
        let root = root(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "5\n"),
            ("memory/a/memory.limit_in_bytes", "3000\n"),
            ("memory/a/memory.usage_in_bytes", "2500\n"),
            (
                "memory/a/memory.stat",
                "inactive_file 1\ntotal_inactive_file 700\n",
            ),
        ]);
        let lines = "9:name=systemd:/\n4:cpu,memory:/a\n0::/\n";
        assert_eq!(headroom(root.path(), lines), Some(1200));
        assert_eq!(headroom(root.path(), "4:memory:/\n"), None);
    }

    /// Inside a container the group's name is the host's, and the mount is the group itself.
    #[test]
    fn a_group_that_is_mounted_as_the_top_is_found() {
        let root = root(&[("memory.max", "900\n"), ("memory.current", "100\n")]);
        assert_eq!(headroom(root.path(), "0::/docker/0123\n"), Some(800));
    }
}
