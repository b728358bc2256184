//! Where a guest's instructions went: what the TCG plugin saw, with the kernel's names (pure).
//!
//! * [`Symbols`] are the guest's own functions;
//! * [`Stacks`] are chains of them, with the instructions that each executed;
//! * [`drive`] tells the model device's moving of data from everything else.

pub mod drive;
mod stacks;
mod symbols;

pub use stacks::{Stack, Stacks, USER};
pub use symbols::{Symbol, Symbols};
