//! Programs of the guest: mkfs with its loader and libraries, out of an unpacked package tree.

use crate::{
    error::{Error, Result},
    store::elf,
    vocabulary::mkfs,
};
use diorama_wire::FsKind;
use std::{fs, path::Path};

/// A file of the guest: absolute path, permission bits, content.
pub type GuestFile = (String, u32, Vec<u8>);

/// mke2fs' defaults: without it every file system would be made for a floppy disk.
const MKE2FS_CONF: &str = "/etc/mke2fs.conf";

/// What to do about a tree that lacks something.
const REFRESH: &str =
    "refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`";

/// The programs for the file systems, what they are linked against, and their configuration.
///
/// # Errors
/// When the tree lacks one of them.
pub fn collect(tree: &Path, kinds: &[FsKind]) -> Result<Vec<GuestFile>> {
    let programs: Vec<String> = kinds
        .iter()
        .map(|&kind| format!("usr{}", mkfs(kind)))
        .collect();
    let closure = elf::closure(tree, &programs, &[])
        .map_err(|e| e.while_("collecting mkfs for the guest").hint(REFRESH))?;
    let mut files: Vec<GuestFile> = closure
        .read(tree)?
        .into_iter()
        .map(|(name, bytes)| (guest_path(name), 0o755, bytes))
        .collect();
    if kinds.contains(&FsKind::Ext4) {
        let path = tree.join(MKE2FS_CONF.trim_start_matches('/'));
        let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e).hint(REFRESH))?;
        files.push((MKE2FS_CONF.to_owned(), 0o644, bytes));
    }
    Ok(files)
}

/// Where a file of the tree, whose /usr is merged, is in the guest, which has none.
fn guest_path(name: &Path) -> String {
    format!("/{}", name.strip_prefix("usr").unwrap_or(name).display())
}
