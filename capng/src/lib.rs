//! The part of the crate `capng` that virtiofsd uses, by capget(2) and capset(2).
//!
//! The original links libcap-ng, a C library that most machines have no headers or link of:
//! whoever tries Diorama would need root to install it. Names and meaning are the original's
//! (capng 0.2, cap-ng.h): [`update`] changes a state of the calling thread's own, and [`apply`]
//! gives it to the kernel.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::{cell::Cell, ops::BitOr};

/// A capability's number, as in capability.h.
pub type Capability = u32;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The kernel refuses.
    System(rustix::io::Errno),
    /// There is no such capability.
    NoSuchCapability,
    /// Nothing of this kind is supported.
    Unsupported,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::System(errno) => errno.fmt(f),
            Error::NoSuchCapability => f.write_str("no such capability"),
            Error::Unsupported => f.write_str("not supported"),
        }
    }
}

impl std::error::Error for Error {}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Sets of a thread (`capng_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(u32);

impl Type {
    /// What it may do now.
    pub const EFFECTIVE: Type = Type(1);
    /// What it may take up.
    pub const PERMITTED: Type = Type(2);
    /// What programs that it starts may have.
    pub const INHERITABLE: Type = Type(4);
}

impl BitOr for Type {
    type Output = Type;
    fn bitor(self, other: Type) -> Type {
        Type(self.0 | other.0)
    }
}

/// What a call is about (`capng_select_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(u32);

impl Set {
    /// The sets of [`Type`].
    pub const CAPS: Set = Set(16);
    /// The bounding set.
    pub const BOUNDS: Set = Set(32);
    /// Both.
    pub const BOTH: Set = Set(48);
}

/// What to do with a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it out.
    DROP,
    /// Put it in.
    ADD,
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub struct CUpdate {
    /// What to do.
    pub action: Action,
    /// In which sets.
    pub cap_type: Type,
    /// With which capability.
    pub capability: Capability,
}

thread_local! {
    /// What [`apply`] will set; none as long as nobody changed anything.
    static STATE: Cell<Option<CapabilitySets>> = const { Cell::new(None) };
}

fn current() -> Result<CapabilitySets> {
    capabilities(None).map_err(Error::System)
}

/// Empties the state.
pub fn clear(_set: Set) {
    STATE.set(Some(CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    }));
}

/// Takes the state from the calling thread.
///
/// # Errors
/// When the kernel refuses.
pub fn get_caps_process() -> Result<()> {
    STATE.set(Some(current()?));
    Ok(())
}

/// Changes the state.
///
/// # Errors
/// When a capability does not exist.
pub fn update(updates: Vec<CUpdate>) -> Result<()> {
    let mut state = match STATE.get() {
        Some(state) => state,
        None => current()?,
    };
    for CUpdate {
        action,
        cap_type,
        capability,
    } in updates
    {
        let bit = bit(capability)?;
        let sets = [
            (Type::EFFECTIVE, &mut state.effective),
            (Type::PERMITTED, &mut state.permitted),
            (Type::INHERITABLE, &mut state.inheritable),
        ];
        for (kind, set) in sets {
            if cap_type.0 & kind.0 != 0 {
                set.set(bit, action == Action::ADD);
            }
        }
    }
    STATE.set(Some(state));
    Ok(())
}

/// Gives the state to the calling thread. Its bounding set stays: who may start no program has no
/// use for it.
///
/// # Errors
/// When the kernel refuses, or the bounding set alone was asked for.
pub fn apply(set: Set) -> Result<()> {
    if set == Set::BOUNDS {
        return Err(Error::Unsupported);
    }
    let state = match STATE.get() {
        Some(state) => state,
        None => current()?,
    };
    set_capabilities(None, state).map_err(Error::System)
}

/// Whether the calling thread has a capability in a set.
#[must_use]
pub fn have_capability(which: Type, capability: Capability) -> bool {
    let (Ok(sets), Ok(bit)) = (current(), bit(capability)) else {
        return false;
    };
    let set = match which {
        Type::EFFECTIVE => sets.effective,
        Type::PERMITTED => sets.permitted,
        Type::INHERITABLE => sets.inheritable,
        _ => return false,
    };
    set.contains(bit)
}

fn bit(capability: Capability) -> Result<CapabilitySet> {
    let bit = 1u64
        .checked_shl(capability)
        .ok_or(Error::NoSuchCapability)?;
    CapabilitySet::from_bits(bit).ok_or(Error::NoSuchCapability)
}

/// A capability by its name without `CAP_`, in whatever case.
///
/// # Errors
/// When there is none of this name.
pub fn name_to_capability(name: &str) -> Result<Capability> {
    let wanted = name.to_ascii_uppercase();
    CapabilitySet::all()
        .iter_names()
        .find(|(known, _)| *known == wanted)
        .map(|(_, bit)| bit.bits().trailing_zeros())
        .ok_or(Error::NoSuchCapability)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of include/uapi/linux/capability.h.
    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(name_to_capability("DAC_OVERRIDE"), Ok(1));
        assert_eq!(name_to_capability("fsetid"), Ok(4));
        assert_eq!(name_to_capability("SYS_ADMIN"), Ok(21));
        assert_eq!(name_to_capability("FLY"), Err(Error::NoSuchCapability));
    }

    #[test]
    fn what_is_dropped_is_gone_from_this_thread_alone() {
        let fsetid = name_to_capability("FSETID").expect("a name");
        let had = have_capability(Type::EFFECTIVE, fsetid);
        let without = std::thread::spawn(move || {
            let drop = CUpdate {
                action: Action::DROP,
                cap_type: Type::EFFECTIVE,
                capability: fsetid,
            };
            update(vec![drop]).expect("a change");
            apply(Set::CAPS).expect("applied");
            have_capability(Type::EFFECTIVE, fsetid)
        });
        assert!(!without.join().expect("a thread"));
        assert_eq!(have_capability(Type::EFFECTIVE, fsetid), had);
    }
}
