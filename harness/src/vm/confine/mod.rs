//! What holds a process that others may have in their hands: a QEMU, which its guest may have taken over
//! or which a stranger built; and the server of a shared directory.
//!
//! QEMU is confined by the harness, between fork and exec ([`Launch`]), so that not even its loader runs
//! free; its own `-sandbox` would be the stranger's word. What this kernel enforces is [`Confined`], read
//! off what it returned; how far that goes is a [`Rung`].

mod bounds;
mod calls;
mod capabilities;
mod launch;
mod paths;
mod program;
mod qemu;
mod rung;
mod spaces;

pub use bounds::Bounds;
pub(super) use calls::{Calls, PROCESS, install, int, when};
pub(super) use capabilities::{FILES_OF_OTHERS, keep_only};
pub use launch::{Launch, check, possible};
pub(super) use paths::{NEWEST, restrict_self};
pub use rung::{Confined, Landlock, Rung};
pub(super) use spaces::Spaces;
