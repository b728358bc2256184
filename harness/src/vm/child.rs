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

/// The same, and no others but the standard streams: whoever started the harness may have left some open in
/// all its children. The descriptors are sorted.
pub(super) fn inherit_only(inherited: &[RawFd]) -> io::Result<()> {
    let flag = libc::CLOSE_RANGE_CLOEXEC;
    match each_range_between(inherited, |first, last| close_range(first, last, flag)) {
        Ok(()) => {}
        // A kernel before 5.11.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => close_on_exec(),
        Err(e) => return Err(e),
    }
    let_through(inherited)
}

/// Closes all descriptors but the standard streams and these, which are sorted. The process has just begun and
/// owns none of the others.
pub(super) fn close_others(kept: &[RawFd]) -> io::Result<()> {
    match each_range_between(kept, |first, last| close_range(first, last, 0)) {
        // A kernel before 5.9 has no such call.
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        done => done,
    }
}

/// The numbers above those of the standard streams, without these.
fn each_range_between(
    kept: &[RawFd],
    mut take: impl FnMut(u32, u32) -> io::Result<()>,
) -> io::Result<()> {
    let mut first = 3;
    for end in kept.iter().map(|fd| fd.unsigned_abs()).chain([u32::MAX]) {
        if first < end {
            take(first, end - 1)?;
        }
        first = end.saturating_add(1).max(first);
    }
    Ok(())
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: takes numbers; whose descriptors these are is the caller's business.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One by one, as far as numbers usually go.
fn close_on_exec() {
    for fd in 3..(1 << 16) {
        // SAFETY: takes numbers; one that is not open is refused.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// A name under which a process opens again what it has open, or inherits, as `fd`.
pub(super) fn own_path(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_but_those_kept_are_taken() {
        let ranges = |kept: &[RawFd]| {
            let mut taken = Vec::new();
            each_range_between(kept, |first, last| {
                taken.push((first, last));
                Ok(())
            })
            .unwrap();
            taken
        };
        let end = u32::MAX - 1;
        assert_eq!(ranges(&[]), [(3, end)]);
        assert_eq!(ranges(&[1, 3, 4, 9]), [(5, 8), (10, end)]);
        assert_eq!(ranges(&[7, 7]), [(3, 6), (8, end)]);
    }
}
