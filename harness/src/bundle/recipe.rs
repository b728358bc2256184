//! An initramfs as a list of files of the parts: packed once for all kernels, put together again when
//! the image is replayed, without any of the logic that chose them (pure).

use super::{
    limits,
    manifest::{CpioEntry, FileRef, Recipe},
};
use crate::{
    digest::Sha256,
    image::cpio::{self, Archive},
};

/// Takes an initramfs apart. `place` says where each file of it goes, and takes its contents.
///
/// # Errors
/// When it is not one of ours: why.
pub fn take_apart(
    initramfs: &[u8],
    mut place: impl FnMut(&str, u32, Vec<u8>) -> FileRef,
) -> Result<Recipe, String> {
    let archive = Archive::parse(initramfs)?;
    let entries = archive.entries().map(|(path, entry)| {
        let path = path.to_owned();
        match entry {
            cpio::CpioEntry::Directory => CpioEntry::Directory { path },
            cpio::CpioEntry::File { mode, data } => CpioEntry::File {
                file: place(&path, *mode, data.clone()),
                path,
                mode: *mode,
            },
            cpio::CpioEntry::CharDevice { mode, major, minor } => CpioEntry::CharDevice {
                path,
                mode: *mode,
                major: *major,
                minor: *minor,
            },
        }
    });
    Ok(Recipe {
        entries: entries.collect(),
        sha256: Sha256::of(initramfs),
        size: initramfs.len() as u64,
    })
}

/// Puts it together again, out of what `read` gives for each file (of at most so many bytes), and checks
/// that it is what it was.
///
/// # Errors
/// When it is not, or a file cannot be had: why.
pub fn put_together(
    recipe: &Recipe,
    read: impl Fn(&FileRef, u64) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    let mut archive = Archive::default();
    let mut left = recipe.size.min(limits::INITRAMFS);
    for entry in &recipe.entries {
        match entry {
            CpioEntry::Directory { path } => archive.directory(path),
            CpioEntry::File { path, mode, file } => {
                let bytes = read(file, left)?;
                left = left.saturating_sub(bytes.len() as u64);
                archive.file(path, *mode, bytes);
            }
            CpioEntry::CharDevice {
                path,
                mode,
                major,
                minor,
            } => archive.char_device(path, *mode, *major, *minor),
        }
    }
    let bytes = archive.to_bytes();
    match Sha256::of(&bytes) == recipe.sha256 && bytes.len() as u64 == recipe.size {
        true => Ok(bytes),
        false => Err("its parts do not give the initramfs that the manifest names".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_initramfs_comes_together_as_it_was_and_in_no_other_way() {
        let mut archive = Archive::default();
        archive.file("/init", 0o755, b"agent".to_vec());
        archive.char_device("/dev/console", 0o600, 5, 1);
        archive.directory("/mnt");
        archive.file("/lib/modules/xfs.ko", 0o644, b"xfs".to_vec());
        let bytes = archive.to_bytes();
        let mut parts = BTreeMap::new();
        let recipe = take_apart(&bytes, |path, _, data| {
            let sha256 = Sha256::of(&data);
            parts.insert(path.to_owned(), data);
            FileRef {
                part: "guest".into(),
                path: path.into(),
                sha256,
            }
        })
        .unwrap();
        let read = |file: &FileRef, _| Ok(parts[&file.path].clone());
        assert_eq!(put_together(&recipe, read), Ok(bytes));
        let mut other = recipe.clone();
        if let CpioEntry::CharDevice { minor, .. } = &mut other.entries[1] {
            *minor = 2;
        }
        other.entries.swap(0, 1);
        assert!(put_together(&other, read).is_err() || other == recipe);
        other.entries.pop();
        assert!(put_together(&other, read).is_err());
        // No more is read than the archive can have.
        let greedy = |_: &FileRef, most: u64| match most <= recipe.size {
            true => Err("too much".to_owned()),
            false => panic!("{most}"),
        };
        assert_eq!(put_together(&recipe, greedy), Err("too much".into()));
    }
}
