//! Reading files that somebody names: regular ones only, and no more than a kind of file may have.
//! A device, a pipe or a file without end is an error at once, and never memory or patience lost.
//! And writing one whole, or not at all.

use crate::{error, units::show_bytes};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io::{Error, ErrorKind, Read as _, Result, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

/// Scenarios, fio's job files, declarations, kernel configurations; in bytes.
pub const TEXT: u64 = 4 << 20;
/// Lock files, lists of modules, manifests of the store's; in bytes.
pub const LIST: u64 = 64 << 20;
/// Programs, kernel modules with debug information, records of runs; in bytes.
pub const PROGRAM: u64 = 512 << 20;
/// Kernels, compressed or not; in bytes.
pub const KERNEL: u64 = 1 << 30;

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of the system; `InvalidInput` for anything else than a regular file, `FileTooLarge` for
/// one that is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, size) = open(path, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // It may grow meanwhile, and files of /proc have no size.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        read if read > limit => Err(too_large(read, limit)),
        _ => Ok(bytes),
    }
}

/// Reads a regular file of at most `limit` bytes as UTF-8.
///
/// # Errors
/// Those of [`read`], and `InvalidData` for what is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|e| Error::new(ErrorKind::InvalidData, e))
}

/// Opens a regular file of at most `limit` bytes for reading; its size beside it.
///
/// # Errors
/// Those of [`read`].
pub fn open(path: &Path, limit: u64) -> Result<(File, u64)> {
    // Opening a pipe would wait for its writer, and a terminal must not become ours.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let meta = file.metadata()?;
    let what = match meta.file_type() {
        kind if kind.is_file() && meta.len() > limit => return Err(too_large(meta.len(), limit)),
        kind if kind.is_file() => return Ok((file, meta.len())),
        kind if kind.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("it is {what}, not a regular file"),
    ))
}

fn too_large(size: u64, limit: u64) -> Error {
    Error::new(
        ErrorKind::FileTooLarge,
        format!(
            "it has {size} bytes; at most {} are allowed",
            show_bytes(limit)
        ),
    )
}

/// Writes a file under another name and renames it.
///
/// # Errors
/// When it cannot be written; then nothing of it is left.
pub fn write_atomically(path: &Path, contents: &[u8]) -> error::Result<()> {
    let parent = (path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty()))
    .unwrap_or(Path::new("."));
    let writing = |e| error::Error::io("writing", path, e);
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(writing)?;
    file.write_all(contents).map_err(writing)?;
    file.as_file().sync_data().map_err(writing)?;
    file.persist(path).map_err(|e| writing(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn devices_pipes_directories_and_files_without_end_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let sparse = File::create(at("sparse")).unwrap();
        sparse.set_len(4 << 30).unwrap();
        let words = |path: &Path| read(path, TEXT).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                words(Path::new("/dev/zero")),
                words(&at("pipe")),
                words(dir.path()),
                words(&at("sparse")),
                words(&at("none")),
            ]
            .join("\n"),
            @r"
        it is a device, not a regular file
        it is a named pipe, not a regular file
        is a directory
        it has 4294967296 bytes; at most 4 MiB are allowed
        No such file or directory (os error 2)
        "
        );
    }

    #[test]
    fn a_file_may_have_the_limit_and_no_byte_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert!(read(&path, 4).is_err());
        // No size is known beforehand.
        assert!(read(Path::new("/proc/self/maps"), 10).is_err());
        assert!(!read(Path::new("/proc/self/maps"), TEXT).unwrap().is_empty());
    }
}
