//! fio for the guest: Debian's program with the loader and libraries of its own release, in a
//! directory of its own, so that mkfs and fio need not come from the same tool set.

use super::{stand_in, tools::GuestFile};
use crate::{error::Result, store::elf};
use diorama_wire::FIO_DIR;
use std::{collections::BTreeMap, path::Path};

/// The program, below an unpacked tool set.
const PROGRAM: &str = "usr/bin/fio";

/// fio, its loader and libraries, and the stand-ins for those libraries that are left out
/// (`stand_ins` of images/images.toml), all below [`FIO_DIR`].
///
/// # Errors
/// When the tree lacks one of them.
pub fn collect(tree: &Path, stand_ins: &[String]) -> Result<Vec<GuestFile>> {
    let closure = elf::closure(tree, &[PROGRAM], stand_ins)
        .map_err(|e| e.while_("collecting fio for the guest"))?;
    let mut files = BTreeMap::new();
    for (name, bytes) in closure.read(tree)? {
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        files.insert(name.into_owned(), bytes);
    }
    let loader = closure.interpreter.as_deref().and_then(Path::file_name);
    let loader = loader.map(|name| name.to_string_lossy().into_owned());
    let program = files.get("fio").map(Vec::as_slice).unwrap_or_default();
    let libraries: Vec<&[u8]> = files.values().map(Vec::as_slice).collect();
    let library = stand_in::library(&stand_in::missing(program, &libraries)?);
    for name in stand_ins {
        files.insert(name.clone(), library.clone());
    }
    // The agent starts it by this name.
    if let Some(bytes) = loader.and_then(|name| files.remove(&name)) {
        files.insert("ld.so".to_owned(), bytes);
    }
    Ok(files
        .into_iter()
        .map(|(name, bytes)| (format!("{FIO_DIR}/{name}"), 0o755, bytes))
        .collect())
}
