//! What a program of `cargo xtask dist` carries, so that it needs no checkout and no cargo: the agent and
//! the plugin, built; scenarios, declarations, locks and the archive's keys; the licences.
//!
//! It is a tar in a section of the executable's own ([`section`]), behind its sha256. On first use it
//! is unpacked into the store, like everything derived, and checked there from then on.

mod pack;
pub mod section; // pure

pub use pack::{AGENT, pack};

use crate::{
    digest::Sha256,
    error::{Error, Result},
    store::{Derived, Store},
};
use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Component, Path},
};

/// Bytes of the digest before the tar.
const DIGEST: usize = 32;

/// The kind of derived directory.
const KIND: &str = "carried";

/// Where it is in this program's file.
#[derive(Debug)]
pub struct Carried {
    file: File,
    at: u64,
    len: u64,
    digest: Sha256,
}

/// A copy of a program that carries this.
///
/// # Errors
/// When the program is no 64-bit ELF file, or carries something already.
pub fn attach(program: &[u8], tar: &[u8]) -> Result<Vec<u8>> {
    let mut content = Sha256::of(tar).bytes().to_vec();
    content.extend(tar);
    section::add(program, &content)
        .map_err(|why| Error::input(format!("giving the program what it carries: {why}")))
}

impl Carried {
    /// What this program carries; nothing if cargo built it for a checkout.
    ///
    /// # Errors
    /// When its file cannot be read, or is damaged.
    pub fn here() -> Result<Option<Carried>> {
        // Not current_exe(): the file may have been replaced or removed since.
        Carried::of(Path::new("/proc/self/exe"))
    }

    fn of(program: &Path) -> Result<Option<Carried>> {
        let failed = |e| Error::io("reading this program,", program, e);
        let file = File::open(program).map_err(failed)?;
        let read = |at, len: usize| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes)
        };
        let Some((at, len)) = section::find(read).map_err(failed)? else {
            return Ok(None);
        };
        let mut digest = [0; DIGEST];
        file.read_exact_at(&mut digest, at).map_err(failed)?;
        Ok(Some(Carried {
            at: at + DIGEST as u64,
            len: len.saturating_sub(DIGEST as u64),
            digest: Sha256::from_bytes(digest),
            file,
        }))
    }

    /// The directory with all of it, unpacked and checked. In use as long as it is held.
    ///
    /// # Errors
    /// When the program is damaged, or the disk is full.
    pub fn directory(&self, store: &Store) -> Result<Derived> {
        store.derive_held(KIND, &self.digest, |out| unpack(&self.read()?, out))
    }

    fn read(&self) -> Result<Vec<u8>> {
        let (mut tar, mut file) = (Vec::new(), &self.file);
        (file.seek(SeekFrom::Start(self.at)))
            .and_then(|_| file.take(self.len).read_to_end(&mut tar))
            .map_err(|e| Error::host("reading what this program carries").because(e))?;
        if Sha256::of(&tar) == self.digest {
            return Ok(tar);
        }
        Err(
            Error::fetch("this program's file is damaged: what it carries has another sha256")
                .hint("copy or download the program again, and compare its own sha256"),
        )
    }
}

/// Unpacks the tar: regular files, by plain relative names.
fn unpack(tar: &[u8], out: &Path) -> Result<()> {
    let failed = |e: io::Error| Error::internal("unpacking what this program carries").because(e);
    for entry in tar::Archive::new(tar).entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let name = entry.path().map_err(failed)?.into_owned();
        let plain = name.components().all(|c| matches!(c, Component::Normal(_)));
        if !plain || !entry.header().entry_type().is_file() {
            return Err(Error::internal(format!(
                "this program carries `{}`, which is no plain file",
                name.display()
            )));
        }
        let mode = entry.header().mode().map_err(failed)?;
        let path = out.join(&name);
        let io = |e| Error::io("writing", &path, e);
        fs::create_dir_all(path.parent().unwrap_or(out)).map_err(io)?;
        let mut file = File::create_new(&path).map_err(io)?;
        io::copy(&mut entry, &mut file).map_err(io)?;
        let mode = if mode & 0o111 == 0 { 0o444 } else { 0o555 };
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
