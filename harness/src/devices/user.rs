//! Who runs us, and how much memory they may lock, by /proc/self (proc_pid_status(5),
//! proc_pid_limits(5)).

use super::host::{AS_THE_HOST, Host};
use crate::{
    error::{Error, Result},
    files,
};

/// What a guest locks besides its RAM: with QEMU 7.2 and one controller, less than this; in bytes.
const BESIDES_RAM: u64 = 256 << 10;

/// CAP_IPC_LOCK, by its number in capability.h.
const IPC_LOCK: u32 = 14;

/// The user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Effective user id.
    pub uid: u32,
    /// Whether no limit of locked memory holds.
    pub ipc_lock: bool,
    /// Bytes that may be locked (RLIMIT_MEMLOCK): now, and at most. `u64::MAX` stands for any number.
    pub memlock: (u64, u64),
}

/// Bytes that a guest of so much RAM locks when a device is passed through to it: all that the device
/// could write to.
#[must_use]
pub fn needed(memory_bytes: u64) -> u64 {
    memory_bytes.saturating_add(BESIDES_RAM)
}

impl User {
    /// Who runs this process.
    ///
    /// # Errors
    /// When procfs does not say it.
    pub fn of(host: &Host) -> Result<User> {
        let text = |name: &str| {
            let path = host.proc(name);
            files::read_text(&path, files::TEXT)
                .map_err(|e| Error::io("reading", &path, e).hint(AS_THE_HOST))
        };
        let (status, limits) = (text("self/status")?, text("self/limits")?);
        parse(&status, &limits).ok_or_else(|| {
            Error::host("reading who runs this process, and its limits").hint(AS_THE_HOST)
        })
    }

    /// Whether so many bytes may be locked.
    #[must_use]
    pub fn may_lock(&self, bytes: u64) -> bool {
        self.ipc_lock || self.memlock.0 >= bytes
    }
}

fn parse(status: &str, limits: &str) -> Option<User> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace())
    };
    let capabilities = u64::from_str_radix(field("CapEff:")?.next()?, 16).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))?;
    let mut limits = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(User {
        // Real, effective, saved, of the file system.
        uid: field("Uid:")?.nth(1)?.parse().ok()?,
        ipc_lock: capabilities >> IPC_LOCK & 1 == 1,
        memlock: (limits.next()??, limits.next()??),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_read_off_procfs() {
        let status = "Name:\tdiorama\nUid:\t1000\t1001\t1000\t1000\nCapEff:\t0000000000004000\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max locked memory         8388608              unlimited            bytes\n";
        let user = parse(status, limits).unwrap();
        let expected = User {
            uid: 1001,
            ipc_lock: true,
            memlock: (8 << 20, u64::MAX),
        };
        assert_eq!(user, expected);
        assert!(user.may_lock(u64::MAX));
        let user = parse(&status.replace("4000\n", "0000\n"), limits).unwrap();
        assert!(user.may_lock(8 << 20) && !user.may_lock(needed(8 << 20)));
        assert_eq!(parse(status, ""), None);
        assert_eq!(parse("", limits), None);
        User::of(&Host::here()).unwrap();
    }
}
