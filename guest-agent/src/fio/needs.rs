//! What fio, and starting it, need of the kernel: looked at only when it failed, so that a kernel
//! whose configuration nobody knew is told what it lacks.

use crate::fail::Fail;
use diorama_wire::config;
use std::io;

/// The failure, or what the kernel lacks where that explains it.
pub fn explain(fail: Box<Fail>) -> Box<Fail> {
    match lacking(&errno) {
        lacks if lacks.is_empty() => fail,
        lacks => {
            let options: Vec<&str> = lacks.iter().map(|(option, _)| *option).collect();
            let what: Vec<&str> = lacks.iter().map(|(_, what)| *what).collect();
            Fail::unsupported(
                format!(
                    "fio needs {}, which the kernel lacks ({fail})",
                    what.join(", ")
                ),
                &options,
            )
        }
    }
}

/// Something fio needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Unix,
    SysVIpc,
    TimerFd,
}

/// Each with the errors that say that it is not there at all, its option and its name.
const NEEDS: [(Need, &[i32], &str, &str); 3] = [
    (
        Need::Unix,
        &[libc::EAFNOSUPPORT, libc::ENOSYS],
        config::UNIX,
        "Unix sockets",
    ),
    (
        Need::SysVIpc,
        &[libc::ENOSYS],
        config::SYSVIPC,
        "System V shared memory",
    ),
    (Need::TimerFd, &[libc::ENOSYS], config::TIMERFD, "timerfd"),
];

fn lacking(errno: &dyn Fn(Need) -> Option<i32>) -> Vec<(&'static str, &'static str)> {
    NEEDS
        .into_iter()
        .filter(|(need, absent, ..)| errno(*need).is_some_and(|errno| absent.contains(&errno)))
        .map(|(_, _, option, what)| (option, what))
        .collect()
}

/// Tries it; the error, if it fails.
fn errno(need: Need) -> Option<i32> {
    // SAFETY: each takes and returns numbers; the descriptor, if one comes of it, is closed below.
    let fd = unsafe {
        match need {
            Need::Unix => libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
            Need::TimerFd => libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC),
            // A key that nobody uses: ENOENT where there is shared memory.
            Need::SysVIpc => libc::shmget(0x6469_6f72, 1, 0),
        }
    };
    if fd < 0 {
        return io::Error::last_os_error().raw_os_error();
    }
    if need != Need::SysVIpc {
        // SAFETY: a descriptor of ours that nothing else owns.
        unsafe { libc::close(fd) };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_at_all_explains_a_failure() {
        let none = lacking(&|need| match need {
            Need::Unix => Some(libc::EMFILE),
            Need::SysVIpc => Some(libc::ENOENT),
            Need::TimerFd => None,
        });
        assert_eq!(none, []);
        let two = lacking(&|need| match need {
            Need::Unix => Some(libc::EAFNOSUPPORT),
            Need::SysVIpc => Some(libc::ENOSYS),
            Need::TimerFd => None,
        });
        let options: Vec<_> = two.iter().map(|(option, _)| *option).collect();
        assert_eq!(options, ["CONFIG_UNIX", "CONFIG_SYSVIPC"]);
    }

    #[test]
    fn a_failure_on_a_kernel_that_has_everything_stays_itself() {
        assert_eq!(explain(Fail::step("fio ended")).to_string(), "fio ended");
    }
}
