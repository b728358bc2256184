//! The guest's programs.

use diorama_wire::FsKind;

/// Where the guest has the program that makes a file system.
#[must_use]
pub fn mkfs(kind: FsKind) -> &'static str {
    match kind {
        FsKind::Ext4 => "/sbin/mkfs.ext4",
        FsKind::Xfs => "/sbin/mkfs.xfs",
    }
}
