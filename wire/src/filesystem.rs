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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_speaks_the_names_of_mount() {
        for kind in FsKind::ALL {
            let spoken = serde_json::to_value(kind).unwrap();
            assert_eq!(spoken, kind.name());
            assert_eq!(kind.facts().option.is_none(), kind.is_none());
        }
    }
}
