//! What child processes inherit, and what happens in them between fork and exec: nothing there allocates
//! or takes locks.

use rustix::process::{Pid, Signal};
use std::{io, os::fd::RawFd};

/// Makes the child die with the thread that started it (PR_SET_PDEATHSIG).
pub(super) fn die_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above took effect.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// Lets the program that is executed inherit these descriptors, which the parent holds open.
pub(super) fn let_through(inherited: &[RawFd]) -> io::Result<()> {
    for fd in inherited {
        // SAFETY: the descriptor is open: the parent holds it across the fork.
        let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(*fd) };
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}

/// A name under which a process opens again what it has open, or inherits, as `fd`.
pub(super) fn own_path(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}
