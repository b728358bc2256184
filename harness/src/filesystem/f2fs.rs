//! F2FS by Debian bookworm's f2fs-tools 1.15.

use super::{Dry, Facts, Format, has, strings};
use diorama_wire::FsKind;

pub(super) const FACTS: Facts = Facts {
    kind: FsKind::F2fs,
    module: "f2fs",
    purpose: "for cells on F2FS",
    mkfs: "/sbin/mkfs.f2fs",
    tools: "f2fs-tools",
    files: &[],
    argv,
    dry: |_, _| Dry::default(),
    chosen: |_| "f2fs-tools 1.15's defaults, without optional features",
};

/// Of every file that mkfs makes, in seconds: any time does, if it is always the same.
const TIME: &str = "1700000000";

fn argv(own: &[String], format: &Format) -> Vec<String> {
    // -r: the checkpoint's number is not drawn.
    let mut argv = strings(&["-q", "-f", "-r"]);
    for (option, value) in [("-U", format.uuid().as_str()), ("-T", TIME)] {
        if !has(own, option) {
            argv.extend(strings(&[option, value]));
        }
    }
    if !has(own, "-t") {
        // No discard: the drive is new, or was made ready before.
        argv.extend(strings(&["-t", "0"]));
    }
    argv
}
