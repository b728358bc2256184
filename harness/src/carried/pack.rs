//! The tar: the same bytes from the same files, wherever and whenever it is made.

use crate::error::{Error, Result};
use crate::files;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where the agent is in it; the plugin lies beside it.
pub const AGENT: &str = "agent/diorama-agent";

/// What is taken from a checkout: whole directories, and files.
const DIRECTORIES: [&str; 3] = ["images", "kernels", "scenarios"];
const FILES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Packs a checkout's data, the built agent and its plugin.
///
/// # Errors
/// When a file cannot be read, or is none.
pub fn pack(checkout: &Path, agent: &Path, plugin: &Path) -> Result<Vec<u8>> {
    let mut all: BTreeMap<String, (PathBuf, u32)> = BTreeMap::new();
    for name in DIRECTORIES {
        gather(&checkout.join(name), name, &mut all)?;
    }
    for name in FILES {
        all.insert(name.to_owned(), (checkout.join(name), 0o644));
    }
    let directory = AGENT
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    let name = plugin.file_name().unwrap_or_default().to_string_lossy();
    all.insert(format!("{directory}/{name}"), (plugin.to_owned(), 0o644));
    all.insert(AGENT.to_owned(), (agent.to_owned(), 0o755));

    let packing = |e| Error::internal("packing what the program carries").because(e);
    let mut tar = tar::Builder::new(Vec::new());
    for (name, (path, mode)) in all {
        let bytes =
            files::read(&path, files::PROGRAM).map_err(|e| Error::io("reading", &path, e))?;
        // Neither owner nor time: zero.
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, name, bytes.as_slice())
            .map_err(packing)?;
    }
    tar.into_inner().map_err(packing)
}

/// All regular files below a directory, but those that editors and systems keep for themselves.
fn gather(directory: &Path, name: &str, all: &mut BTreeMap<String, (PathBuf, u32)>) -> Result<()> {
    let failed = |e| Error::io("reading", directory, e);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, own) = (entry.path(), entry.file_name());
        let own = own
            .to_str()
            .ok_or_else(|| Error::input(format!("the name of {} is not UTF-8", path.display())))?;
        if own.starts_with('.') || own.ends_with('~') {
            continue;
        }
        let name = format!("{name}/{own}");
        if entry.file_type().map_err(failed)?.is_dir() {
            gather(&path, &name, all)?;
        } else {
            all.insert(name, (path, 0o644));
        }
    }
    Ok(())
}
