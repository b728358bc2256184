//! How fio's jobs have their files open: looked up in /proc while they run. A job is a thread of
//! fio's process, or, without `thread`, a process of its own.

use super::output;
use crate::{file::Place, format::MOUNT_POINT};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
};

/// What the looks at a run of fio saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether each file, by its inode, was open `O_DIRECT` when it was looked at last. The last
    /// look counts: a file that fio makes longer is open otherwise for a moment.
    direct: BTreeMap<u64, bool>,
}

impl Seen {
    /// Looks at fio, of this process, and at what it started. What has ended meanwhile is passed
    /// over.
    pub fn look(&mut self, fio: u32, place: &Place) {
        let there = match place {
            Place::Mounted => fs::metadata(MOUNT_POINT),
            Place::Device(node) => fs::metadata(node),
        };
        let Ok(there) = there else {
            return;
        };
        let under_test = |open: &Metadata| match place {
            Place::Mounted => open.is_file() && open.dev() == there.dev(),
            Place::Device(_) => open.file_type().is_block_device() && open.rdev() == there.rdev(),
        };
        for pid in family(fio) {
            let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                continue;
            };
            for entry in entries.flatten() {
                // Follows the link, to the file itself even where its name is gone.
                let file = fs::metadata(entry.path());
                let Some(file) = file.ok().filter(under_test) else {
                    continue;
                };
                let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().display());
                let flags = fs::read_to_string(info).ok();
                if let Some(flags) = flags.and_then(|info| output::open_flags(&info)) {
                    self.direct.insert(file.ino(), flags & libc::O_DIRECT != 0);
                }
            }
        }
    }

    /// Whether all files of these inodes that were seen open were open `O_DIRECT`; None when none
    /// was seen.
    pub fn all_direct(&self, inodes: &BTreeSet<u64>) -> Option<bool> {
        let seen = inodes.iter().filter_map(|inode| self.direct.get(inode));
        seen.copied().reduce(|all, one| all && one)
    }
}

/// A process and all that it started, as far as they live.
fn family(pid: u32) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeSet::from([pid]);
    };
    // Not /proc/PID/task/TID/children, which needs CONFIG_PROC_CHILDREN.
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents = pids.filter_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parent(&stat)?))
    });
    below(pid, &parents.collect())
}

/// The process that started one, by /proc/PID/stat. The second field is a name in parentheses, which
/// may hold any character.
fn parent(stat: &str) -> Option<u32> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

/// A process and all below it, by the parent of each.
fn below(root: u32, parents: &BTreeMap<u32, u32>) -> BTreeSet<u32> {
    let mut family = BTreeSet::from([root]);
    loop {
        let children = parents.iter().filter(|(_, parent)| family.contains(parent));
        let more: Vec<u32> = (children.map(|(child, _)| *child))
            .filter(|child| !family.contains(child))
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_parent_behind_its_name() {
        assert_eq!(parent("7 (fio) S 3 7 7"), Some(3));
        assert_eq!(parent("7 (a) b (c) ) R 12 7"), Some(12));
        assert_eq!(parent("7 (fio"), None);
    }

    #[test]
    fn jobs_that_are_processes_are_looked_at_as_well() {
        let parents = BTreeMap::from([(1, 0), (2, 0), (40, 1), (50, 40), (51, 40), (52, 51)]);
        assert_eq!(below(40, &parents), BTreeSet::from([40, 50, 51, 52]));
        assert_eq!(below(50, &parents), BTreeSet::from([50]));
        // The one that runs this test started one.
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_last_look_at_each_file_counts() {
        let seen = Seen {
            direct: BTreeMap::from([(3, true), (4, false), (5, true)]),
        };
        assert_eq!(seen.all_direct(&BTreeSet::from([3, 5])), Some(true));
        assert_eq!(seen.all_direct(&BTreeSet::from([3, 4])), Some(false));
        assert_eq!(seen.all_direct(&BTreeSet::from([9])), None);
    }
}
