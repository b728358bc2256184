//! ext4 by Debian bookworm's e2fsprogs 1.47.0.

use super::{Dry, Facts, Format, has, strings};
use diorama_wire::FsKind;

pub(super) const FACTS: Facts = Facts {
    kind: FsKind::Ext4,
    module: "ext4",
    purpose: "for cells on ext4",
    mkfs: "/sbin/mkfs.ext4",
    tools: super::GUEST_TOOLS,
    // mke2fs' defaults: without it every file system would be made for a floppy disk.
    files: &["/etc/mke2fs.conf"],
    argv,
    dry: |_, block| Dry {
        words: strings(&["-n"]),
        variables: vec![("MKE2FS_DEVICE_SECTSIZE", block.to_string())],
    },
    chosen: |_| "e2fsprogs 1.47's features, a 4 MiB journal",
};

/// On top of none: e2fsprogs 1.47's defaults in Debian, without `resize_inode`, which reserves blocks
/// for growing. All are known since Linux 3.6 (metadata_csum).
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,\
    sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

fn argv(own: &[String], format: &Format) -> Vec<String> {
    let uuid = format.uuid();
    let mut argv = strings(&["-q", "-F"]);
    if !has(own, "-U") {
        argv.extend(strings(&["-U", &uuid]));
    }
    if !has(own, "-E") {
        // What mkfs would leave to the kernel's background is done at once, or need not be.
        let tables = match format.zeroed {
            true => "assume_storage_prezeroed=1",
            false => "lazy_itable_init=0,lazy_journal_init=0",
        };
        let extended = format!("hash_seed={uuid},nodiscard,{tables}");
        argv.extend(["-E".to_owned(), extended]);
    }
    if own.is_empty() {
        // 4 MiB is the smallest journal of 4 KiB blocks; 128 inodes are a file's and to spare.
        let chosen = [
            "-b", "4096", "-I", "256", "-N", "128", "-m", "0", "-J", "size=4", "-O", FEATURES,
        ];
        argv.extend(strings(&chosen));
    }
    argv
}
