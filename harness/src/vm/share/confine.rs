//! What keeps the server of a shared directory inside it, whatever a guest makes it do: Landlock, or
//! a root directory of its own where the kernel has no Landlock; no capability that it has no use
//! for; and a list of the system calls that exist for it.

use super::{Access, filter};
use crate::error::{Error, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::{
    fs::Mode,
    io::Errno,
    thread::{CapabilitySet, UnshareFlags, capabilities, set_capabilities},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    os::fd::{AsFd, BorrowedFd},
};

/// How far a server is confined, from what the kernel returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// What Landlock enforces.
    pub landlock: Landlock,
    /// Whether the directory is the process's root.
    pub chroot: bool,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

/// What Landlock enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Landlock {
    /// All that was asked for.
    Full,
    /// What this kernel's version of it knows.
    Partial,
    /// Nothing: the kernel has none.
    None,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            match self.landlock {
                Landlock::Full => Some("Landlock"),
                Landlock::Partial => Some("Landlock (as far as this kernel's version goes)"),
                Landlock::None => None,
            },
            self.chroot.then_some("a root directory of its own"),
            self.seccomp.then_some("seccomp"),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&parts.join(" and ")),
        }
    }
}

/// The newest Landlock whose rights are known here.
const NEWEST: ABI = ABI::V6;

/// Confines this process, which must have one thread, to the directory that is its working directory.
///
/// # Errors
/// When the kernel refuses to filter system calls, or to take capabilities away. What it does not
/// have at all is no error: the rung says so.
pub(super) fn confine(directory: BorrowedFd<'_>, access: Access) -> Result<Rung> {
    let landlock = by_landlock(directory, access).map_err(|e| {
        Error::host("confining the server of a shared directory by Landlock").because(e)
    })?;
    // Landlock alone holds paths; a root of one's own is for kernels without it.
    let chroot = landlock != Landlock::Full && by_root().is_ok();
    drop_capabilities()
        .map_err(|e| Error::host("taking capabilities away").because(io::Error::from(e)))?;
    filter::apply(access)?;
    Ok(Rung {
        landlock,
        chroot,
        seccomp: true,
    })
}

fn by_landlock(
    directory: BorrowedFd<'_>,
    access: Access,
) -> std::result::Result<Landlock, RulesetError> {
    let rights = match access {
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Access::Write => AccessFs::from_all(NEWEST) & !AccessFs::Execute,
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rule(PathBeneath::new(directory, rights))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

/// Makes the working directory the root; in a user namespace of its own where this user may not.
fn by_root() -> io::Result<()> {
    match rustix::process::chroot(".") {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let of_process = |name: &str| format!("/proc/self/{name}");
    // SAFETY: this process has one thread, and shares nothing that others would miss.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
    // As oneself, so that what is made belongs to the same user as outside (user_namespaces(7)).
    fs::write(of_process("setgroups"), "deny")?;
    fs::write(
        of_process("gid_map"),
        format!("{gid} {gid} 1", gid = gid.as_raw()),
    )?;
    fs::write(
        of_process("uid_map"),
        format!("{uid} {uid} 1", uid = uid.as_raw()),
    )?;
    Ok(rustix::process::chroot(".")?)
}

/// What a server that root started keeps: reading what belongs to others.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER);

fn drop_capabilities() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective &= KEPT;
    sets.permitted &= KEPT;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets)?;
    rustix::thread::set_no_new_privs(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_is_said_in_words() {
        let rung = |landlock, chroot, seccomp| {
            let rung = Rung {
                landlock,
                chroot,
                seccomp,
            };
            rung.to_string()
        };
        assert_eq!(rung(Landlock::Full, false, true), "Landlock and seccomp");
        assert_eq!(
            rung(Landlock::None, true, true),
            "a root directory of its own and seccomp"
        );
        assert_eq!(rung(Landlock::None, false, true), "seccomp");
        assert_eq!(rung(Landlock::None, false, false), "nothing");
    }
}
