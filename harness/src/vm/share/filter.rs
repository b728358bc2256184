//! The system calls of a shared directory's server: virtiofsd's own list (its src/seccomp.rs), without
//! those that it needs for what is switched off here (other users' identities, file handles, a pool of
//! threads, syslog). Any other does not exist for it: ENOSYS, for which libraries have an answer.

use super::Access;
use crate::error::{Error, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Memory, threads, time and the connection to QEMU.
const PROCESS: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_capset,
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
    libc::SYS_fcntl,
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
    libc::SYS_tgkill,
    libc::SYS_umask,
];

/// Files that are read.
const READ: &[libc::c_long] = &[
    libc::SYS_fchdir,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statx,
    libc::SYS_syncfs,
    // To the notifier of a queue, and to standard error.
    libc::SYS_write,
    libc::SYS_writev,
];

/// Files that are written.
const WRITE: &[libc::c_long] = &[
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_ftruncate,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
];

/// Filters this process's system calls from here on.
///
/// # Errors
/// When the kernel cannot.
pub(super) fn apply(access: Access) -> Result<()> {
    let refused = |e: String| {
        Error::host(format!(
            "filtering the system calls of a shared directory's server: {e}"
        ))
        .hint("build the host's kernel with CONFIG_SECCOMP_FILTER")
    };
    let program = program(access).map_err(|e| refused(e.to_string()))?;
    apply_filter(&program).map_err(|e| refused(e.to_string()))
}

fn program(access: Access) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let write = match access {
        Access::Read => &[][..],
        Access::Write => WRITE,
    };
    let always = PROCESS.iter().chain(READ).chain(write);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        always.map(|call| (*call, Vec::new())).collect();
    // Threads, but no processes. clone3's arguments cannot be looked at, and libraries go back to clone.
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(
        libc::SYS_clone,
        vec![first_is(SeccompCmpOp::MaskedEq(thread), thread)?],
    );
    let name = libc::PR_SET_NAME as u64;
    rules.insert(libc::SYS_prctl, vec![first_is(SeccompCmpOp::Eq, name)?]);
    SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::ENOSYS as u32),
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?
    .try_into()
}

/// A rule about a call's first argument.
fn first_is(
    how: SeccompCmpOp,
    value: u64,
) -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, how, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_lets_a_program_be_started_or_a_network_be_reached() {
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_clone3,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_kill,
            libc::SYS_open_by_handle_at,
            libc::SYS_io_uring_setup,
        ] {
            for list in [PROCESS, READ, WRITE] {
                assert!(!list.contains(&call), "{call}");
            }
        }
        for access in [Access::Read, Access::Write] {
            assert!(!program(access).unwrap().is_empty());
        }
    }
}
