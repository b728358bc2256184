//! What keeps the server of a shared directory inside it, whatever a guest makes it do: Landlock, or
//! a root directory of its own where the kernel has no Landlock; no capability that it has no use
//! for; and a list of the system calls that exist for it.

use super::{Access, filter};
use crate::{
    error::{Error, Result},
    vm::confine::{Confined, FILES_OF_OTHERS, Landlock, NEWEST, Spaces, keep_only, restrict_self},
};
use landlock::{Access as _, AccessFs, BitFlags};
use rustix::{
    fs::Mode,
    io::Errno,
    thread::{CapabilitySet, UnshareFlags},
};
use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
};

/// Confines this process, which must have one thread, to the directory that is its working directory.
///
/// # Errors
/// When the kernel refuses to filter system calls, or to take capabilities away. What it does not
/// have at all is no error: the rung says so.
pub(super) fn confine(directory: BorrowedFd<'_>, access: Access) -> Result<Confined> {
    let landlock = restrict_self(&[(directory, rights(access))]).map_err(|e| {
        Error::host("confining the server of a shared directory by Landlock").because(e)
    })?;
    // Landlock alone holds paths; a root of one's own is for kernels without it.
    let chroot = landlock != Landlock::Full && by_root().is_ok();
    // What a server that root started keeps: reading what belongs to others.
    keep_only(FILES_OF_OTHERS | CapabilitySet::FOWNER)
        .map_err(|e| Error::host("taking capabilities away").because(io::Error::from(e)))?;
    filter::apply(access)?;
    Ok(Confined {
        landlock,
        chroot,
        namespaces: false,
        seccomp: true,
    })
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    match access {
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Access::Write => AccessFs::from_all(NEWEST) & !AccessFs::Execute,
    }
}

/// Makes the working directory the root; in a user namespace of its own where this user may not.
fn by_root() -> io::Result<()> {
    match rustix::process::chroot(".") {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    // As oneself, so that what is made belongs to the same user as outside.
    Spaces::of_own_user(UnshareFlags::empty()).enter()?;
    Ok(rustix::process::chroot(".")?)
}

/// The directory of this process's descriptors, for a server that will not see /proc any more.
pub(super) fn own_descriptors() -> io::Result<fs::File> {
    use rustix::fs::OFlags;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/proc/self/fd", flags, Mode::empty())?.into())
}

/// Makes a directory this process's working directory.
pub(super) fn enter(directory: &impl AsFd) -> io::Result<()> {
    Ok(rustix::process::fchdir(directory)?)
}
