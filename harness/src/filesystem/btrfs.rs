//! btrfs by Debian bookworm's btrfs-progs 6.2.

use super::{Dry, Facts, Format, has, strings};
use diorama_wire::FsKind;

pub(super) const FACTS: Facts = Facts {
    kind: FsKind::Btrfs,
    module: "btrfs",
    purpose: "for cells on btrfs",
    mkfs: "/sbin/mkfs.btrfs",
    tools: "btrfs-tools",
    files: &[],
    argv,
    dry: |_, _| Dry::default(),
    chosen: |_| "btrfs-progs 6.2's features, CRC32C checksums, metadata twice, data once",
};

/// btrfs-progs 6.2's defaults, `free-space-tree` among those that it calls runtime features. All are
/// known since Linux 4.9.
const FEATURES: &str = "extref,skinny-metadata,no-holes";

// The device's own UUID, those of trees and the times of the first inodes cannot be given to this mkfs:
// they are the guest's random numbers and clock, which in the exact lane are the same every time.

fn argv(own: &[String], format: &Format) -> Vec<String> {
    let mut argv = strings(&["-q", "-f", "-K"]);
    if !has(own, "-U") && !has(own, "--uuid") {
        argv.extend(strings(&["-U", &format.uuid()]));
    }
    if own.is_empty() {
        // Sectors of 4 KiB are those of every kernel on x86.
        let chosen = [
            "-O",
            FEATURES,
            "-R",
            "free-space-tree",
            "--csum",
            "crc32c",
            "-m",
            "dup",
            "-d",
            "single",
            "-n",
            "16384",
            "-s",
            "4096",
        ];
        argv.extend(strings(&chosen));
    }
    argv
}
