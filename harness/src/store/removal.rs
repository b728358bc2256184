//! Removing what the store made: by directory descriptors, so that no link leads out of it, not even
//! one that is put there meanwhile.

use crate::error::{Error, Result};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, statat, unlinkat},
    io::Errno,
};
use std::{ffi::OsStr, path::Path};

/// Removes a file, a link (never what it points to) or a directory, read-only directories too;
/// nothing there is no error.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::internal(format!(
            "removing {}, which has no parent",
            path.display()
        )));
    };
    directory(CWD, parent.as_os_str())
        .and_then(|parent| remove(&parent, name))
        .or_else(|e| match e {
            Errno::NOENT => Ok(()),
            e => Err(Error::io("removing", path, e.into())),
        })
}

fn remove(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let kind = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(kind.st_mode) != FileType::Directory {
        return unlinkat(parent, name, AtFlags::empty());
    }
    let dir = directory(parent, name)?;
    let mode = Mode::from_raw_mode(fstat(&dir)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        fchmod(&dir, mode | Mode::RWXU)?;
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        use std::os::unix::ffi::OsStrExt as _;
        match remove(&dir, OsStr::from_bytes(name.to_bytes())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// A directory, and no link to one.
fn directory(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    #[test]
    fn read_only_trees_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("t");
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/f"), "x").unwrap();
        fs::set_permissions(tree.join("sub"), Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(&tree, Permissions::from_mode(0o555)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
        remove_tree(&tree.join("neither/this")).unwrap();
    }

    #[test]
    fn a_link_goes_and_what_it_points_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("thesis.txt"), "x").unwrap();
        let tree = dir.path().join("t");
        fs::create_dir(&tree).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink(outside.join("thesis.txt"), tree.join("file")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        // Below a parent that is a link there is nothing of the store's.
        symlink(&outside, dir.path().join("parent")).unwrap();
        remove_tree(&dir.path().join("parent/thesis.txt")).unwrap_err();
        assert!(outside.join("thesis.txt").exists());
    }
}
