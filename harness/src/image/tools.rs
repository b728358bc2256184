//! Programs of the guest: mkfs with its loader and libraries, out of unpacked package trees.

use crate::{
    error::{Error, Result},
    filesystem,
    store::elf,
};
use diorama_wire::FsKind;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A file of the guest: absolute path, permission bits, content.
pub type GuestFile = (String, u32, Vec<u8>);

/// Unpacked tool sets, by their names.
pub type Trees = BTreeMap<&'static str, PathBuf>;

/// What to do about a tree that lacks something.
const REFRESH: &str =
    "refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`";

/// The programs for the file systems, what they are linked against, and their configuration. Tool
/// sets are of one release of Debian: of a library that several have, the first one's serves all.
///
/// # Errors
/// When a tree lacks one of them.
pub fn collect(trees: &Trees, kinds: &[FsKind]) -> Result<Vec<GuestFile>> {
    let mut files: Vec<GuestFile> = Vec::new();
    for set in filesystem::tool_sets(kinds) {
        let tree = trees
            .get(set)
            .ok_or_else(|| Error::internal(format!("the tool set {set} was not unpacked")))?;
        let known: BTreeSet<String> = files.iter().map(|(path, ..)| path.clone()).collect();
        let more = of_set(set, tree, kinds)?.into_iter();
        files.extend(more.filter(|(path, ..)| !known.contains(path)));
    }
    Ok(files)
}

fn of_set(set: &str, tree: &Path, kinds: &[FsKind]) -> Result<Vec<GuestFile>> {
    let wanted: Vec<_> = filesystem::TABLE
        .iter()
        .filter(|facts| facts.tools == set && kinds.contains(&facts.kind))
        .collect();
    let programs: Vec<String> = wanted
        .iter()
        .map(|facts| format!("usr{}", facts.mkfs))
        .collect();
    let closure = elf::closure(tree, &programs, &[])
        .map_err(|e| e.while_("collecting mkfs for the guest").hint(REFRESH))?;
    let mut files: Vec<GuestFile> = closure
        .read(tree)?
        .into_iter()
        .map(|(name, bytes)| (guest_path(name), 0o755, bytes))
        .collect();
    for name in wanted.iter().flat_map(|facts| facts.files) {
        let path = tree.join(name.trim_start_matches('/'));
        let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e).hint(REFRESH))?;
        files.push(((*name).to_owned(), 0o644, bytes));
    }
    Ok(files)
}

/// Where a file of the tree, whose /usr is merged, is in the guest, which has none.
fn guest_path(name: &Path) -> String {
    format!("/{}", name.strip_prefix("usr").unwrap_or(name).display())
}
