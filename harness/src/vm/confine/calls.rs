//! seccomp: the list of the system calls that exist for a process. Any other does not: ENOSYS, for which
//! libraries have an answer, and no way to tell it from an old kernel.

use rustix::io::Errno;
use seccompiler::{
    BackendError, BpfProgram, BpfProgramRef, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::{collections::BTreeMap, io};

/// Memory, threads, time and waiting: what every process here does.
pub const PROCESS: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

/// A list that is being written.
#[derive(Clone, Debug, Default)]
pub struct Calls(BTreeMap<i64, Vec<SeccompRule>>);

impl Calls {
    /// These calls, whatever their arguments are; and of clone(2) what makes a thread and no process.
    /// clone3's arguments cannot be looked at, and libraries go back to clone.
    ///
    /// # Errors
    /// Never: the rule is a constant.
    pub fn of(lists: &[&[libc::c_long]]) -> Result<Calls, BackendError> {
        let always = lists.iter().copied().flatten();
        let calls = Calls(always.map(|call| (*call, Vec::new())).collect());
        let thread = libc::CLONE_THREAD as u64;
        let is_thread = word(0, SeccompCmpOp::MaskedEq(thread), thread);
        Ok(calls.and(libc::SYS_clone, vec![when(&[is_thread])?]))
    }

    /// And this one, where one of the rules holds.
    #[must_use]
    pub fn and(mut self, call: libc::c_long, rules: Vec<SeccompRule>) -> Calls {
        self.0.insert(call, rules);
        self
    }

    /// The filter.
    ///
    /// # Errors
    /// When it would be longer than the kernel takes.
    pub fn program(self) -> Result<BpfProgram, BackendError> {
        let nothing = SeccompAction::Errno(libc::ENOSYS as u32);
        let (allow, arch) = (SeccompAction::Allow, TargetArch::x86_64);
        SeccompFilter::new(self.0, nothing, allow, arch)?.try_into()
    }
}

/// A condition on an argument: which, how much of it, how, with what.
type Condition = (u8, SeccompCmpArgLen, SeccompCmpOp, u64);

/// A condition on an argument that the kernel takes for a C int, whatever its upper half holds.
pub fn int(index: u8, how: SeccompCmpOp, value: u32) -> Condition {
    (index, SeccompCmpArgLen::Dword, how, value.into())
}

/// A condition on all of an argument.
pub fn word(index: u8, how: SeccompCmpOp, value: u64) -> Condition {
    (index, SeccompCmpArgLen::Qword, how, value)
}

/// A rule that holds where all these conditions do.
///
/// # Errors
/// When there is no such argument.
pub fn when(conditions: &[Condition]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().cloned();
    let conditions = conditions
        .map(|(index, length, how, value)| SeccompCondition::new(index, length, how, value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// Whether this kernel filters system calls (seccomp(2), NOTES): what it says to no filter at all.
pub fn available() -> bool {
    let nothing = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel refuses the null pointer and changes nothing.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            nothing,
            0,
            0,
        )
    };
    done != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// Filters the calling thread's system calls from here on; it must have no_new_privs. Only system calls.
///
/// Kernels before 5.16 would also switch off the CPU's speculation for it, which may cost a tenth and more of its time;
/// later ones do not, and nor does this (SECCOMP_FILTER_FLAG_SPEC_ALLOW).
///
/// # Errors
/// When the kernel does not take the filter.
pub fn install(filter: BpfProgramRef<'_>) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        // SAFETY: the kernel copies the program, whose length is given.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        let error = io::Error::last_os_error();
        match done {
            0 => return Ok(()),
            // A flag that a kernel before 4.17 does not know.
            _ if flags != 0 && error.raw_os_error() == Some(libc::EINVAL) => {}
            _ => return Err(error),
        }
    }
    Err(Errno::INVAL.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_filters_says_so_and_filters_nothing_yet() {
        assert!(available());
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("Seccomp:\t0"), "{status}");
    }

    #[test]
    fn a_thread_that_is_filtered_has_what_is_listed_and_nothing_else() {
        let listed = Calls::of(&[PROCESS, &[libc::SYS_getppid]]).unwrap();
        let program = listed.program().unwrap();
        let filtered = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            install(&program).unwrap();
            // SAFETY: neither call takes a pointer.
            let (listed, other) = unsafe {
                let listed = libc::syscall(libc::SYS_getppid);
                (listed, libc::syscall(libc::SYS_getuid))
            };
            let why = io::Error::last_os_error().raw_os_error();
            (listed > 0, other, why)
        });
        assert_eq!(filtered.join().unwrap(), (true, -1, Some(libc::ENOSYS)));
    }
}
