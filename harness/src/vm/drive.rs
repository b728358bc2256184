//! The contents of an emulated drive: a file without a name, gone with whoever has it open.

use super::{
    child::own_path,
    spec::{Backing, Drive},
};
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags, open};
use std::{
    fs::File,
    os::fd::{AsRawFd as _, RawFd},
    path::Path,
};

/// What a machine's drive holds when it starts, if that is a file of its own: nothing, sparse, in a directory.
///
/// # Errors
/// When the directory's file system cannot hold it, or has no O_DIRECT, without which the host's page
/// cache would be what is measured.
pub fn contents(drive: Option<&Drive>, directory: &Path) -> Result<Option<File>> {
    match drive {
        Some(Drive::Emulated(drive)) if drive.backing == Backing::Image => {
            image(drive.size, directory).map(Some)
        }
        _ => Ok(None),
    }
}

fn image(size: u64, directory: &Path) -> Result<File> {
    let making = |e| Error::io("making a drive's image in", directory, e);
    let file = tempfile::tempfile_in(directory).map_err(making)?;
    file.set_len(size).map_err(making)?;
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

    #[test]
    fn an_image_has_its_size_and_no_name() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let image = image(64 << 20, directory.path()).unwrap();
        assert_eq!(image.metadata().unwrap().len(), 64 << 20);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = image(64 << 20, Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
