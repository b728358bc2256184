//! XFS by Debian bookworm's xfsprogs 6.1.0.

use super::{Dry, Facts, Format, has, strings};
use crate::vocabulary::KernelVersion;
use diorama_wire::FsKind;

pub(super) const FACTS: Facts = Facts {
    kind: FsKind::Xfs,
    module: "xfs",
    purpose: "for cells on XFS",
    mkfs: "/sbin/mkfs.xfs",
    tools: super::GUEST_TOOLS,
    files: &[],
    argv,
    dry: |own, block| {
        let mut words = strings(&["-N"]);
        if !has(own, "-s") {
            words.extend(["-s".to_owned(), format!("size={block}")]);
        }
        Dry {
            words,
            variables: Vec::new(),
        }
    },
    chosen: |oldest| match oldest >= BIGTIME {
        true => "xfsprogs 6.1's features (bigtime and inobtcount among them), an 8 MiB log",
        false => "xfsprogs 6.1's features without bigtime and inobtcount, an 8 MiB log",
    },
};

/// The first kernel with bigtime and inobtcount (fs/xfs/libxfs/xfs_format.h).
const BIGTIME: KernelVersion = KernelVersion(5, 10);

fn argv(own: &[String], format: &Format) -> Vec<String> {
    let uuid = format.uuid();
    let mut argv = strings(&["-q", "-f", "-K"]);
    if !own.is_empty() {
        if !own.iter().any(|word| word.contains("uuid=")) {
            argv.extend(["-m".to_owned(), format!("uuid={uuid}")]);
        }
        return argv;
    }
    let new = u8::from(format.oldest >= BIGTIME);
    // Without --unsupported the log would have at least 64 MiB, all of it written; it changes
    // nothing else here (mkfs/xfs_mkfs.c, validate_supported).
    argv.extend(strings(&["--unsupported", "-m"]));
    argv.push(format!(
        "uuid={uuid},crc=1,finobt=1,rmapbt=0,reflink=1,bigtime={new},inobtcount={new}"
    ));
    let chosen = [
        "-i",
        "size=512,sparse=1,nrext64=0",
        "-d",
        "agcount=2",
        "-l",
        "size=8m",
    ];
    argv.extend(strings(&chosen));
    argv
}
