//! A plugin of QEMU's TCG (docs/devel/tcg-plugins.rst in QEMU) that counts the guest's executed
//! instructions, each by itself, in the windows that the agent marks.
//!
//! The guest cannot notice: the plugin changes neither what is executed nor the instruction clock,
//! and the marks are no-operations that the agent executes whether or not somebody looks.
//!
//! * [`calls`] is the bookkeeping: who called whom, on which stack, and how many instructions each
//!   executed there. It knows nothing of QEMU.
//! * [`decode`] recognises the few kinds of x86-64 instructions that it depends on.
//! * [`format`](mod@format) is what the plugin leaves behind, and how to read it.
//! * `plugin` (a feature) is the part that QEMU loads, and `cpus` tells for it which CPU executes.
//!
//! No standard library: the plugin is loaded beside whatever C library its QEMU runs with.

#![no_std]

extern crate alloc;

pub mod calls;
#[cfg(feature = "plugin")]
mod cpus;
pub mod decode;
pub mod format;
#[cfg(feature = "plugin")]
mod plugin;
