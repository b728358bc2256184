//! How far a process is confined, in words and as a ladder.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a process is confined: each rung has what the ones below it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Not at all.
    Nothing,
    /// System calls are filtered.
    Seccomp,
    /// And only named files can be opened. What a stranger built needs this much.
    Landlock,
    /// And it has a network, IPC and host name of its own.
    Namespaces,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rung {} of {}", *self as u8, Rung::Namespaces as u8)
    }
}

/// What confines a process, from what the kernel returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confined {
    /// What Landlock enforces.
    pub landlock: Landlock,
    /// Whether its directory is the process's root.
    pub chroot: bool,
    /// Whether it has a network, an IPC and a UTS namespace of its own.
    pub namespaces: bool,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

/// What Landlock enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Landlock {
    /// All that was asked for.
    Full,
    /// What this kernel's version of it knows: paths always, TCP, signals and ioctls with later ones.
    Partial,
    /// Nothing: the kernel has none.
    None,
}

impl Confined {
    /// How far that goes. What stands without the rung below it does not count.
    #[must_use]
    pub fn rung(&self) -> Rung {
        match (self.seccomp, self.landlock, self.namespaces) {
            (false, _, _) => Rung::Nothing,
            (true, Landlock::None, _) => Rung::Seccomp,
            (true, _, false) => Rung::Landlock,
            (true, _, true) => Rung::Namespaces,
        }
    }

    /// What a reader of a record must know, where a guest that breaks out of its QEMU is free to read what
    /// this user may.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let rung = self.rung();
        (rung < Rung::Landlock).then(|| {
            format!(
                "QEMU was confined by {self} ({rung}), for want of Landlock: a guest that breaks out of it \
                 reaches this user's files"
            )
        })
    }
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            match self.landlock {
                Landlock::Full => Some("Landlock"),
                Landlock::Partial => Some("Landlock (as far as this kernel's version goes)"),
                Landlock::None => None,
            },
            self.chroot.then_some("a root directory of its own"),
            self.namespaces.then_some("namespaces of its own"),
            self.seccomp.then_some("seccomp"),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        match parts.split_last() {
            None => f.write_str("nothing"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confined(landlock: Landlock, chroot: bool, namespaces: bool, seccomp: bool) -> Confined {
        Confined {
            landlock,
            chroot,
            namespaces,
            seccomp,
        }
    }

    #[test]
    fn what_confines_is_said_in_words() {
        let said = |landlock, chroot, namespaces, seccomp| {
            confined(landlock, chroot, namespaces, seccomp).to_string()
        };
        assert_eq!(
            said(Landlock::Full, false, false, true),
            "Landlock and seccomp"
        );
        assert_eq!(
            said(Landlock::Full, false, true, true),
            "Landlock, namespaces of its own and seccomp"
        );
        assert_eq!(
            said(Landlock::None, true, false, true),
            "a root directory of its own and seccomp"
        );
        assert_eq!(said(Landlock::None, false, false, true), "seccomp");
        assert_eq!(said(Landlock::None, false, false, false), "nothing");
    }

    #[test]
    fn less_than_landlock_is_told_and_more_is_not() {
        let warning = |landlock| confined(landlock, false, true, true).warning();
        insta::assert_snapshot!(
            warning(Landlock::None).unwrap(),
            @"QEMU was confined by namespaces of its own and seccomp (rung 1 of 3), for want of Landlock: a guest that breaks out of it reaches this user's files"
        );
        assert_eq!(warning(Landlock::Partial), None);
    }

    #[test]
    fn a_rung_stands_on_those_below_it() {
        let rung =
            |landlock, namespaces, seccomp| confined(landlock, false, namespaces, seccomp).rung();
        assert_eq!(rung(Landlock::Full, true, false), Rung::Nothing);
        assert_eq!(rung(Landlock::None, true, true), Rung::Seccomp);
        assert_eq!(rung(Landlock::Partial, false, true), Rung::Landlock);
        assert_eq!(rung(Landlock::Full, true, true), Rung::Namespaces);
        assert!(Rung::Nothing < Rung::Seccomp && Rung::Seccomp < Rung::Landlock);
        assert!(Rung::Landlock < Rung::Namespaces);
        assert_eq!(Rung::Landlock.to_string(), "rung 2 of 3");
    }
}
