//! What root may do that others may not (capabilities(7)), for a process that root starts.

use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_no_new_privs};

/// Reading and writing what belongs to others: all that makes root's files root's.
pub const FILES_OF_OTHERS: CapabilitySet =
    CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// Takes all other capabilities away for good, from what the process executes, too. Only system calls.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_only(kept: CapabilitySet) -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective &= kept;
    sets.permitted &= kept;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets)?;
    // An execve by root gives no more than it had, then (no_new_privs(5)).
    set_no_new_privs(true)
}
