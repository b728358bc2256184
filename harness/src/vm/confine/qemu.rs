//! The system calls of QEMU, and of the tools that are tried here: what QEMU 7.2 to 11 makes on the way from its loader to a guest with our
//! devices under TCG, KVM and vfio (strace(1)), and their equals on other C libraries and kernels.
//!
//! Not among them: whatever starts a program or a process, makes or names a socket, changes who or where
//! the process is, reaches into another one, or is a second way around this list (io_uring, bpf,
//! userfaultfd, open_by_handle_at).

use super::calls::{Calls, PROCESS, int, when, word};
use seccompiler::{
    BackendError, BpfProgram,
    SeccompCmpOp::{Eq, MaskedEq, Ne},
    sock_filter,
};

/// Files, by descriptors or by paths that Landlock knows.
const FILES: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_stat,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_write,
    libc::SYS_writev,
];

/// A drive with `aio=native`.
const AIO: &[libc::c_long] = &[
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    IO_PGETEVENTS,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
];

/// arch/x86/entry/syscalls/syscall_64.tbl; the crate has no name for it.
const IO_PGETEVENTS: libc::c_long = 333;

/// Sockets that it inherits or is handed, which are connected already.
const SOCKETS: &[libc::c_long] = &[
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// The rest of what a process does by itself and to itself.
const OWN: &[libc::c_long] = &[
    libc::SYS_arch_prctl,
    libc::SYS_clock_getres,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_epoll_create,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd,
    libc::SYS_getcpu,
    libc::SYS_getgid,
    libc::SYS_getppid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_nanosleep,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_pipe2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_select,
    libc::SYS_set_tid_address,
    libc::SYS_setrlimit,
    libc::SYS_signalfd,
    libc::SYS_signalfd4,
    libc::SYS_sysinfo,
    libc::SYS_time,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_uname,
];

/// Of fcntl(2): nothing that makes the kernel send signals (F_SETOWN, F_SETSIG).
const FCNTL: &[libc::c_int] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
    libc::F_GETPIPE_SZ,
    libc::F_SETPIPE_SZ,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// Of prctl(2): not PR_SET_PDEATHSIG, by which the process dies with the harness.
const PRCTL: &[libc::c_int] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_SET_TIMERSLACK,
    libc::PR_CAPBSET_READ,
    libc::PR_MCE_KILL,
    PR_SET_VMA,
];

/// linux/prctl.h: the C library names its own memory (CONFIG_ANON_VMA_NAME).
const PR_SET_VMA: libc::c_int = 0x53_56_4d_41;

/// Stands for the process's own id, which is not known before the fork: no process has it (PID_MAX_LIMIT is
/// 1 << 22).
const OWN_PID: u32 = 0x7eed_5e1f;

/// Rules that name the process itself.
const OF_OWN_PID: usize = 2;

/// System V shared memory, in which fio keeps its jobs.
const SHARED_MEMORY: &[libc::c_long] = &[
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_shmget,
];

/// What lets one execve(2) through, and no other: three words in the registers of arguments that the call does
/// not have. Whoever is executed does not learn them: the kernel clears its registers, its memory is new, and a
/// filter cannot be read without CAP_SYS_ADMIN.
pub type Pass = [u64; 3];

/// QEMU's filter, for a process that does not exist yet.
#[derive(Clone, Debug)]
pub struct Filter {
    program: BpfProgram,
    own_pid: Vec<usize>,
}

impl Filter {
    /// One that lets this pass through, and System V shared memory if that is wanted; none if the pass
    /// happens to hold a word that has a meaning.
    ///
    /// # Errors
    /// When the filter would be longer than the kernel takes.
    pub fn with(pass: Pass, shared_memory: bool) -> Result<Option<Filter>, BackendError> {
        let program = program(pass, shared_memory)?;
        let compares = |at: &sock_filter| u32::from(at.code) == JUMP_IF_EQUAL && at.k == OWN_PID;
        let own_pid: Vec<usize> = (0..program.len())
            .filter(|at| compares(&program[*at]))
            .collect();
        Ok((own_pid.len() == OF_OWN_PID).then_some(Filter { program, own_pid }))
    }

    /// Makes it the filter of the process with this id.
    pub fn of(&mut self, pid: u32) -> &BpfProgram {
        for at in &self.own_pid {
            self.program[*at].k = pid;
        }
        &self.program
    }
}

const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;

fn program(pass: Pass, shared_memory: bool) -> Result<BpfProgram, BackendError> {
    let own = |index| int(index, Eq, OWN_PID);
    let [a, b, c] = pass;
    let stream = libc::SOCK_STREAM.unsigned_abs();
    // Typing into a terminal, and what is like it (ioctl_tty(2)).
    let no_typing = when(&[
        int(1, Ne, libc::TIOCSTI as u32),
        int(1, Ne, libc::TIOCLINUX as u32),
    ])?;
    let shared = if shared_memory { SHARED_MEMORY } else { &[] };
    Calls::of(&[PROCESS, FILES, AIO, SOCKETS, OWN, shared])?
        .and(
            libc::SYS_execve,
            vec![when(&[word(3, Eq, a), word(4, Eq, b), word(5, Eq, c)])?],
        )
        .and(libc::SYS_fcntl, one_of(1, FCNTL)?)
        .and(libc::SYS_ioctl, vec![no_typing])
        .and(libc::SYS_prctl, one_of(0, PRCTL)?)
        .and(
            libc::SYS_prlimit64,
            vec![when(&[int(0, Eq, 0)])?, when(&[own(0)])?],
        )
        // Streams alone: a datagram may have any address.
        .and(
            libc::SYS_socketpair,
            vec![when(&[
                int(0, Eq, libc::AF_UNIX.unsigned_abs()),
                int(1, MaskedEq(0xf), stream),
            ])?],
        )
        .and(libc::SYS_tgkill, vec![when(&[own(0)])?])
        .program()
}

/// Rules of which one holds where the argument is one of these.
fn one_of(
    index: u8,
    values: &[libc::c_int],
) -> Result<Vec<seccompiler::SeccompRule>, BackendError> {
    let values = values.iter().map(|value| value.unsigned_abs());
    values.map(|value| when(&[int(index, Eq, value)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_starts_a_program_reaches_a_network_or_touches_another_process() {
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_accept4,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_send_signal,
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_chroot,
            libc::SYS_open_by_handle_at,
            libc::SYS_io_uring_setup,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_truncate,
            libc::SYS_unlink,
            libc::SYS_rename,
            libc::SYS_setuid,
            libc::SYS_sched_setaffinity,
        ] {
            for list in [PROCESS, FILES, AIO, SOCKETS, OWN, SHARED_MEMORY] {
                assert!(!list.contains(&call), "{call}");
            }
        }
    }

    #[test]
    fn a_filter_names_its_own_process_and_no_other() {
        let mut filter = Filter::with([1, 2, 3], false).unwrap().unwrap();
        let named = |program: &BpfProgram, pid| program.iter().filter(|at| at.k == pid).count();
        assert_eq!(named(filter.of(4_000_001), 4_000_001), OF_OWN_PID);
        assert_eq!(named(filter.of(4_000_002), 4_000_001), 0);
        assert_eq!(named(filter.of(4_000_002), OWN_PID), 0);
        // A pass that looks like the stand-in would be altered with it.
        let alike = Filter::with([OWN_PID.into(), 2, 3], false);
        assert!(alike.unwrap().is_none());
    }
}
