//! What is asked of the kernel besides reading its files: a seam, behind which tests put a simulated
//! one.

use rustix::fs::{Access, FileType, Mode, OFlags, access, major, minor, stat};
use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A block device, by its number.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Anything else.
    Other,
}

/// How a device node is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading.
    Read,
    /// For reading, and a block device so that no file system, swap or other exclusive opener may have
    /// it at the same time (O_EXCL without O_CREAT, open(2)): EBUSY if one has.
    Claim,
    /// For reading and writing, and claimed.
    ClaimWrite,
    /// For reading and writing.
    Write,
}

/// The kernel, as far as devices are concerned.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// What a path names, links followed.
    ///
    /// # Errors
    /// Those of stat(2).
    fn node(&self, path: &Path) -> io::Result<Node>;

    /// Opens a device node.
    ///
    /// # Errors
    /// Those of open(2).
    fn open(&self, path: &Path, how: Open) -> io::Result<File>;

    /// Whether this process may write the file.
    ///
    /// # Errors
    /// Those of access(2).
    fn may_write(&self, path: &Path) -> io::Result<()>;

    /// Writes an attribute of sysfs, in one write(2).
    ///
    /// # Errors
    /// Those of open(2) and write(2); which, is the driver's choice.
    fn write(&self, path: &Path, text: &str) -> io::Result<()>;

    /// Lets time pass.
    fn pause(&self, time: Duration);
}

/// The kernel of this machine.
#[derive(Debug)]
pub struct System;

impl Kernel for System {
    fn node(&self, path: &Path) -> io::Result<Node> {
        let stat = stat(path)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::BlockDevice => Node::Block {
                major: major(stat.st_rdev),
                minor: minor(stat.st_rdev),
            },
            _ => Node::Other,
        })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<File> {
        let how = match how {
            Open::Read => OFlags::RDONLY,
            Open::Claim => OFlags::RDONLY | OFlags::EXCL,
            Open::ClaimWrite => OFlags::RDWR | OFlags::EXCL,
            Open::Write => OFlags::RDWR,
        };
        // A QEMU that inherited it would keep the device after us.
        let flags = how | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    fn may_write(&self, path: &Path) -> io::Result<()> {
        Ok(access(path, Access::WRITE_OK)?)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = File::options().write(true).open(path)?;
        let written = file.write(text.as_bytes())?;
        if written == text.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_of_this_machine_is_asked() {
        let kernel = System;
        assert_eq!(kernel.node(Path::new("/dev/null")).unwrap(), Node::Other);
        assert!(kernel.node(Path::new("/dev/no-such-node")).is_err());
        assert!(kernel.open(Path::new("/dev/null"), Open::Write).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("attribute");
        std::fs::write(&file, "before").unwrap();
        assert!(kernel.may_write(&file).is_ok());
        // As sysfs's attributes it is neither made nor cut.
        kernel.write(&file, "AFT").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "AFTore");
        assert!(kernel.write(&dir.path().join("none"), "x").is_err());
    }
}
