//! The system calls of a shared directory's server: virtiofsd's own list (its src/seccomp.rs), without
//! those that it needs for what is switched off here (other users' identities, file handles, a pool of
//! threads, syslog). Any other does not exist for it: ENOSYS, for which libraries have an answer.

use super::Access;
use crate::{
    error::{Error, Result},
    vm::confine::{Calls, PROCESS, install, int, when},
};
use seccompiler::{BackendError, BpfProgram, SeccompCmpOp};

/// What it does besides [`PROCESS`]: its connection to QEMU, and its library's ways.
const SERVER: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_fcntl,
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
    install(&program).map_err(|e| refused(e.to_string()))
}

fn program(access: Access) -> std::result::Result<BpfProgram, BackendError> {
    let write = match access {
        Access::Read => &[][..],
        Access::Write => WRITE,
    };
    let name = int(0, SeccompCmpOp::Eq, libc::PR_SET_NAME.unsigned_abs());
    Calls::of(&[PROCESS, SERVER, READ, write])?
        .and(libc::SYS_prctl, vec![when(&[name])?])
        .program()
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
            for list in [PROCESS, SERVER, READ, WRITE] {
                assert!(!list.contains(&call), "{call}");
            }
        }
        for access in [Access::Read, Access::Write] {
            assert!(!program(access).unwrap().is_empty());
        }
    }
}
