//! Landlock: which files a process may open, and that it reaches no network and signals nobody
//! (Documentation/userspace-api/landlock.rst).

use super::{Bounds, Landlock};
use crate::error::{Error, Result};
use ::landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::Errno,
};
use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    thread,
};

/// The newest Landlock whose rights are known here.
pub const NEWEST: ABI = ABI::V6;

/// What may be done with an open file, or below an open directory.
pub type Rule<'a> = (BorrowedFd<'a>, BitFlags<AccessFs>);

/// Confines the calling thread to what the rules allow.
///
/// # Errors
/// When the kernel refuses. What it does not have is no error: the status says so.
pub fn restrict_self(rules: &[Rule<'_>]) -> std::result::Result<Landlock, RulesetError> {
    Ok(enforced(&ruleset(rules)?.restrict_self()?))
}

fn ruleset(rules: &[Rule<'_>]) -> std::result::Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (file, rights) in rules {
        ruleset = ruleset.add_rule(PathBeneath::new(*file, *rights))?;
    }
    Ok(ruleset)
}

fn enforced(status: &RestrictionStatus) -> Landlock {
    match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    }
}

/// Rules for a program that is about to be started.
#[derive(Debug)]
pub struct Prepared {
    /// The kernel's ruleset, for the child to enter; none where it has no Landlock.
    pub ruleset: Option<OwnedFd>,
    /// What it will enforce: what the kernel returned to a thread that was confined by it.
    pub enforced: Landlock,
}

/// Makes the rules for these bounds, and tries them.
///
/// # Errors
/// When a path cannot be opened though it is there, or the kernel refuses.
pub fn prepare(bounds: &Bounds) -> Result<Prepared> {
    let mut opened: Vec<(OwnedFd, BitFlags<AccessFs>)> = Vec::new();
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let use_ = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let groups = [
        (&bounds.executed, AccessFs::Execute | AccessFs::ReadFile),
        (&bounds.read, read),
        (&bounds.used, use_),
    ];
    for (paths, rights) in groups {
        for path in paths {
            opened.extend(found(path, rights)?);
        }
    }
    let refused = |e: RulesetError| Error::host("preparing to confine QEMU by Landlock").because(e);
    let mut rules: Vec<Rule<'_>> = opened.iter().map(|(fd, r)| (fd.as_fd(), *r)).collect();
    for fd in &bounds.reopened {
        // SAFETY: whoever names the descriptor holds it open meanwhile.
        let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
        rules.push((fd, AccessFs::ReadFile | AccessFs::WriteFile));
    }
    let ruleset = ruleset(&rules).map_err(refused)?;
    let clone = ruleset
        .try_clone()
        .map_err(|e| Error::host("preparing to confine QEMU by Landlock").because(e))?;
    // Landlock confines a thread, and this one is here for nothing else.
    let tried = thread::spawn(move || clone.restrict_self())
        .join()
        .map_err(|_| Error::internal("a thread that tried Landlock panicked"))?;
    Ok(Prepared {
        enforced: enforced(&tried.map_err(refused)?),
        ruleset: ruleset.into(),
    })
}

/// A path that is there, with those rights that make sense for what it is.
fn found(path: &Path, rights: BitFlags<AccessFs>) -> Result<Option<(OwnedFd, BitFlags<AccessFs>)>> {
    let opening = |e: Errno| Error::io("looking at", path, e.into());
    let file = match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        // Whom QEMU cannot find either.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(None),
        Err(e) => return Err(opening(e)),
    };
    let mode = fstat(&file).map_err(opening)?.st_mode;
    let rights = match FileType::from_raw_mode(mode) {
        FileType::Directory => rights,
        _ => rights & !AccessFs::ReadDir,
    };
    Ok(Some((file, rights)))
}
