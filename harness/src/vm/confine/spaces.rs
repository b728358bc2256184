//! Namespaces of a process's own (namespaces(7)): a network without an interface, System V objects and a
//! host name that are nobody else's.
//!
//! No mount namespace: as long as it shows the same files it hides nothing, and Landlock holds the paths.
//! No PID namespace: one holds only the children of who enters it, and PR_SET_PDEATHSIG could not be
//! checked in it ([`super::super::child::die_with`]); signals are Landlock's and seccomp's.

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    thread::UnshareFlags,
};
use std::{ffi::CStr, io, sync::OnceLock};

/// What a program that the harness starts gets.
const OF_PROGRAMS: UnshareFlags = UnshareFlags::NEWNET
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS);

/// Namespaces to enter, made ready before a fork.
#[derive(Clone, Debug)]
pub struct Spaces {
    flags: UnshareFlags,
    /// In a new user namespace, this user is itself and the only one (user_namespaces(7)).
    maps: Option<[String; 2]>,
}

impl Spaces {
    /// A user namespace, in which this user may enter the others.
    pub fn of_own_user(flags: UnshareFlags) -> Spaces {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let map = |id: u32| format!("{id} {id} 1");
        Spaces {
            flags: flags | UnshareFlags::NEWUSER,
            maps: Some([map(gid.as_raw()), map(uid.as_raw())]),
        }
    }

    /// Those of a program, where this kernel and user have them: tried, once. Root stays in its user
    /// namespace: in another one a file of somebody else's would not be its own.
    pub fn of_programs() -> Option<Spaces> {
        static HERE: OnceLock<Option<Spaces>> = OnceLock::new();
        let find = || {
            let spaces = match rustix::process::geteuid().is_root() {
                true => Spaces {
                    flags: OF_PROGRAMS,
                    maps: None,
                },
                false => Spaces::of_own_user(OF_PROGRAMS),
            };
            spaces.can_be_entered().then_some(spaces)
        };
        HERE.get_or_init(find).clone()
    }

    /// Whether a user namespace is among them.
    pub fn has_own_user(&self) -> bool {
        self.maps.is_some()
    }

    /// Enters them; the process must have one thread. Only system calls.
    ///
    /// # Errors
    /// When the kernel or its administrator refuses; half of it may be done then.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: a process with one thread shares nothing that others would miss.
        unsafe { rustix::thread::unshare_unsafe(self.flags) }?;
        let Some([gid_map, uid_map]) = &self.maps else {
            return Ok(());
        };
        write(c"/proc/self/setgroups", "deny")?;
        write(c"/proc/self/gid_map", gid_map)?;
        write(c"/proc/self/uid_map", uid_map)
    }

    /// Whether they can: in a process that is there for nothing else, because a kernel may make a
    /// namespace and refuse the map.
    fn can_be_entered(&self) -> bool {
        // SAFETY: the child makes only system calls, and ends.
        match unsafe { libc::fork() } {
            -1 => false,
            0 => {
                let status = i32::from(self.enter().is_err());
                // SAFETY: nothing of the parent's is to be run at its end.
                unsafe { libc::_exit(status) }
            }
            child => {
                let mut status = -1;
                loop {
                    // SAFETY: the status is written to a variable of that type.
                    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
                    if waited == child {
                        return status == 0;
                    }
                    if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                        return false;
                    }
                }
            }
        }
    }
}

/// Writes a file of the kernel's with one call.
fn write(path: &CStr, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::io::write(&file, text.as_bytes())? {
        n if n == text.len() => Ok(()),
        _ => Err(Errno::IO.into()),
    }
}
