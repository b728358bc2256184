//! The contents of an emulated drive: a file without a name, gone with whoever has it open.

use super::spec::{EmulatedDrive, own_path};
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags, open};
use std::{
    fs::File,
    os::fd::{AsRawFd as _, RawFd},
    path::Path,
};

/// An empty drive of this size in a directory, sparse.
///
/// # Errors
/// When the directory's file system cannot hold it, or has no O_DIRECT, without which the host's page
/// cache would be what is measured.
pub fn image(of: &EmulatedDrive, directory: &Path) -> Result<File> {
    let making = |e| Error::io("making a drive's image in", directory, e);
    let file = tempfile::tempfile_in(directory).map_err(making)?;
    file.set_len(of.size).map_err(making)?;
    takes_direct(file.as_raw_fd()).map_err(|e| {
        Error::host(format!(
            "opening a drive's image in {} with O_DIRECT",
            directory.display()
        ))
        .because(e)
        .hint("set DIORAMA_CACHE to a directory on ext4, XFS or btrfs")
    })?;
    Ok(file)
}

fn takes_direct(image: RawFd) -> std::io::Result<()> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    open(own_path(image), flags, Mode::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    #[test]
    fn an_image_has_its_size_and_no_name() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let drive = EmulatedDrive {
            serial: "S1".into(),
            size: 64 << 20,
            block_size: 512,
            queues: 1,
            backing: Backing::Image,
        };
        let image = image(&drive, directory.path()).unwrap();
        assert_eq!(image.metadata().unwrap().len(), 64 << 20);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let drive = EmulatedDrive {
            serial: "S1".into(),
            size: 64 << 20,
            block_size: 512,
            queues: 1,
            backing: Backing::Image,
        };
        let error = image(&drive, Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
