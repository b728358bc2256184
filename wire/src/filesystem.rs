//! What the files under test are in: a file system, or the block device itself.

use crate::config;
use serde::{Deserialize, Serialize};

/// What is made on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsKind {
    /// Nothing: the job's file is the block device.
    None,
    /// ext4
    Ext4,
    /// XFS
    Xfs,
    /// btrfs
    Btrfs,
    /// F2FS
    F2fs,
}

/// What both sides must know of a kind; what only the harness must is in its own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsFacts {
    /// The word used on the wire and in scenarios; of a file system the name that mount(2) and
    /// /proc/filesystems use.
    pub name: &'static str,
    /// The option of a kernel's configuration that builds it; none for the block device.
    pub option: Option<&'static str>,
    /// What mkfs itself leaves in the top directory.
    pub own: &'static [&'static str],
}

impl FsKind {
    /// Every kind.
    pub const ALL: [FsKind; 5] = [
        FsKind::None,
        FsKind::Ext4,
        FsKind::Xfs,
        FsKind::Btrfs,
        FsKind::F2fs,
    ];

    /// What is known of it.
    #[must_use]
    pub fn facts(self) -> FsFacts {
        let of = |name, option| FsFacts {
            name,
            option: Some(option),
            own: &[],
        };
        match self {
            FsKind::None => FsFacts {
                name: "none",
                option: None,
                own: &[],
            },
            FsKind::Ext4 => FsFacts {
                own: &["lost+found"],
                ..of("ext4", config::EXT4_FS)
            },
            FsKind::Xfs => of("xfs", config::XFS_FS),
            FsKind::Btrfs => of("btrfs", config::BTRFS_FS),
            FsKind::F2fs => of("f2fs", config::F2FS_FS),
        }
    }

    /// [`FsFacts::name`]
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether there is no file system, and files are the device's own.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == FsKind::None
    }
}

/// How to make and mount a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Which one.
    pub kind: FsKind,
    /// Program and arguments of mkfs; the device path is appended by the agent. Empty for
    /// [`FsKind::None`].
    pub mkfs: Vec<String>,
    /// Data of mount(2), comma separated; may be empty.
    pub mount_options: String,
    /// Whether the scenario has mkfs's options from elsewhere than the harness, which asks for
    /// nothing that the scenario's kernels do not know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_options: bool,
}

/// What a program of mkfs says of why it refused: the first paragraph of what it wrote, without the
/// usage that some of them print behind it.
#[must_use]
pub fn complaint(stderr: &str, stdout: &str) -> String {
    let first = |text: &str| {
        let usage = |line: &&str| !line.trim_start().to_lowercase().starts_with("usage:");
        let lines = text.lines().take_while(usage).map(str::trim);
        let paragraph = lines
            .skip_while(|line| line.is_empty())
            .take_while(|line| !line.is_empty());
        paragraph.map(plain).collect::<Vec<_>>().join(" ")
    };
    let said = [first(stderr), first(stdout)].into_iter();
    let mut said = said.filter(|text| !text.is_empty());
    let said = said.next().unwrap_or_else(|| "it does not say why".into());
    said.chars().take(MAX_COMPLAINT).collect()
}

/// A line without what names the program, or says that it is an error.
fn plain(line: &str) -> &str {
    let names = |word: &str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        name.starts_with("mkfs.") || word == "ERROR"
    };
    match line.split_once(": ") {
        Some((word, rest)) if names(word) => rest,
        _ => line,
    }
}

/// Characters of a complaint that are kept.
const MAX_COMPLAINT: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_the_programs_own_and_not_its_usage() {
        let xfs = "Invalid value 1m for -l size option. Value is too small.\nUsage: mkfs.xfs\n\
                   /* blocksize */\t\t[-b size=num]\n<value> is xxx (bytes)\n";
        assert_eq!(
            complaint(xfs, ""),
            "Invalid value 1m for -l size option. Value is too small."
        );
        let ext4 = "\nThe total requested journal size is 256 blocks; it must be\n\
                    between 1024 and 10240000 blocks.  Aborting.\n\nmore\n";
        assert_eq!(
            complaint(ext4, "x"),
            "The total requested journal size is 256 blocks; it must be between 1024 and 10240000 \
             blocks.  Aborting."
        );
        let btrfs = "ERROR: illegal nodesize 3 (smaller than 4096)\n";
        let note = "NOTE: several default settings have changed\n";
        assert_eq!(
            complaint(btrfs, note),
            "illegal nodesize 3 (smaller than 4096)"
        );
        let getopt = "/a/b/mkfs.xfs: invalid option -- 'Z'\nunknown option -Z \nUsage: mkfs.xfs\n";
        assert_eq!(
            complaint(getopt, ""),
            "invalid option -- 'Z' unknown option -Z"
        );
        assert_eq!(complaint("usage: mkfs", "no space\n"), "no space");
        assert_eq!(complaint("", ""), "it does not say why");
    }

    #[test]
    fn the_wire_speaks_the_names_of_mount() {
        for kind in FsKind::ALL {
            let spoken = serde_json::to_value(kind).unwrap();
            assert_eq!(spoken, kind.name());
            assert_eq!(kind.facts().option.is_none(), kind.is_none());
        }
    }
}
