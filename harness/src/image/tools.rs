//! Programs of the guest: mkfs with its loader and libraries, out of an unpacked package tree.

use crate::error::{Error, Result};
use diorama_wire::FsKind;
use object::{
    Endianness,
    elf::{DT_NEEDED, FileHeader64, PT_INTERP},
    read::{
        ReadRef,
        elf::{Dyn, FileHeader, ProgramHeader},
    },
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

/// A file of the guest: absolute path, permission bits, content.
pub type GuestFile = (String, u32, Vec<u8>);

/// Where Debian's loader looks without a cache.
const LIBRARIES: &str = "/lib/x86_64-linux-gnu";

/// The program that makes a file system.
#[must_use]
pub fn mkfs(kind: FsKind) -> &'static str {
    match kind {
        FsKind::Ext4 => "/sbin/mkfs.ext4",
        FsKind::Xfs => "/sbin/mkfs.xfs",
    }
}

/// The programs for the file systems, what they are linked against, and their configuration.
///
/// # Errors
/// When the tree lacks one of them.
pub fn collect(tree: &Path, kinds: &[FsKind]) -> Result<Vec<GuestFile>> {
    let mut files = BTreeMap::new();
    let mut libraries = Vec::new();
    for kind in kinds {
        let path = mkfs(*kind);
        let bytes = read(tree, path)?;
        let links =
            links(&bytes).map_err(|e| e.while_(format!("reading {path} of the guest's tools")))?;
        if let Some(loader) = links.loader {
            files.insert(loader.clone(), (0o755, read(tree, &loader)?));
        }
        libraries.extend(links.libraries);
        files.insert(path.to_owned(), (0o755, bytes));
        if *kind == FsKind::Ext4 {
            let path = "/etc/mke2fs.conf";
            files.insert(path.to_owned(), (0o644, read(tree, path)?));
        }
    }
    while let Some(name) = libraries.pop() {
        let path = format!("{LIBRARIES}/{name}");
        // The loader is also a library of the C library; it is in its own place already.
        let loaded = files.keys().any(|at| at.ends_with(&format!("/{name}")));
        if loaded {
            continue;
        }
        let bytes = read(tree, &path)?;
        libraries.extend(links(&bytes)?.libraries);
        files.insert(path, (0o755, bytes));
    }
    Ok(files
        .into_iter()
        .map(|(path, (mode, bytes))| (path, mode, bytes))
        .collect())
}

/// What an ELF file is linked against.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// PT_INTERP; absent in a static program and in a library.
    pub loader: Option<String>,
    /// DT_NEEDED
    pub libraries: Vec<String>,
}

/// Reads what an ELF file is linked against.
///
/// # Errors
/// When the bytes are no 64-bit ELF file.
pub fn links(elf: &[u8]) -> Result<Links> {
    parse_links(elf).map_err(|e| Error::input("reading an ELF file's dynamic section").because(e))
}

fn parse_links(elf: &[u8]) -> object::read::Result<Links> {
    let header = FileHeader64::<Endianness>::parse(elf)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, elf)?;
    let mut out = Links::default();
    // The string table is named by address; loadable segments tell where that is in the file.
    let (mut strings, mut needed) = (None, Vec::new());
    for segment in segments {
        if segment.p_type(endian) == PT_INTERP {
            let (at, size) = segment.file_range(endian);
            let text = elf.read_bytes_at(at, size).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            out.loader = Some(text.trim_end_matches('\0').to_owned());
        }
        for entry in segment.dynamic(endian, elf)?.unwrap_or_default() {
            match entry.tag(endian) {
                DT_NEEDED => needed.push(entry.val(endian)),
                object::elf::DT_STRTAB => strings = Some(entry.val(endian)),
                _ => {}
            }
        }
    }
    for offset in needed {
        let address = strings.unwrap_or(0).wrapping_add(offset);
        let name = segments
            .iter()
            .find_map(|s| {
                s.data_range(endian, elf, address, 1)
                    .ok()
                    .flatten()
                    .map(|_| s)
            })
            .and_then(|s| {
                let start = address - s.p_vaddr(endian) + s.p_offset(endian);
                let rest = elf.get(usize::try_from(start).ok()?..)?;
                let end = rest.iter().position(|b| *b == 0)?;
                Some(String::from_utf8_lossy(&rest[..end]).into_owned())
            });
        out.libraries.extend(name);
    }
    Ok(out)
}

/// Reads a guest path out of the tree, whose top may or may not have merged /usr.
fn read(tree: &Path, path: &str) -> Result<Vec<u8>> {
    let file = find(tree, Path::new(path), 0).ok_or_else(|| {
        Error::fetch(format!("the guest's tools lack {path}"))
            .hint("refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`")
    })?;
    fs::read(&file).map_err(|e| Error::io("reading", &file, e))
}

/// Follows symbolic links inside of the tree: an absolute one starts at the tree's top, and none
/// leads out of it.
fn find(tree: &Path, path: &Path, depth: u32) -> Option<PathBuf> {
    if depth > 16 {
        return None;
    }
    let inner = normal(path);
    let places = [tree.join(&inner), tree.join("usr").join(&inner)];
    places.into_iter().find_map(|place| {
        let kind = place.symlink_metadata().ok()?.file_type();
        if !kind.is_symlink() {
            return kind.is_file().then_some(place);
        }
        let target = fs::read_link(&place).ok()?;
        let from_top = place.strip_prefix(tree).ok()?.parent()?.join(target);
        find(tree, &from_top, depth + 1)
    })
}

/// The path without `.` and `..`, relative to the tree's top. An absolute part starts over.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::Prefix(_) => out.clear(),
            Component::CurDir => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn symbolic_links_stay_inside_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("usr/sbin")).unwrap();
        fs::write(dir.path().join("secret"), "no").unwrap();
        fs::write(tree.join("usr/sbin/mke2fs"), "yes").unwrap();
        symlink("mke2fs", tree.join("usr/sbin/mkfs.ext4")).unwrap();
        symlink("/sbin/mke2fs", tree.join("usr/sbin/mkfs.abs")).unwrap();
        symlink("../../../secret", tree.join("usr/sbin/mkfs.out")).unwrap();
        symlink("mkfs.loop", tree.join("usr/sbin/mkfs.loop")).unwrap();
        assert_eq!(read(&tree, "/sbin/mkfs.ext4").unwrap(), b"yes");
        assert_eq!(read(&tree, "/sbin/mkfs.abs").unwrap(), b"yes");
        assert!(read(&tree, "/sbin/mkfs.out").is_err());
        insta::assert_snapshot!(read(&tree, "/sbin/mkfs.loop").unwrap_err().render(), @r"
        error: the guest's tools lack /sbin/mkfs.loop
          next: refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`
        ");
    }

    #[test]
    fn a_programs_links_are_read() {
        let me = fs::read(std::env::current_exe().unwrap()).unwrap();
        let links = links(&me).unwrap();
        assert!(links.loader.is_some_and(|loader| loader.starts_with('/')));
        assert!(
            links
                .libraries
                .iter()
                .any(|name| name.starts_with("libc.so"))
        );
    }
}
