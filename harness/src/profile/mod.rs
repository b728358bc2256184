//! Where a guest's instructions went: what the TCG plugin saw, with the kernel's names (pure).
//!
//! * [`Symbols`] are the guest's own functions;
//! * [`Stacks`] are chains of them, with the instructions that each executed;
//! * [`drive`] tells the model device's moving of data from everything else;
//! * [`Layer`] is the part of the I/O path that a chain belongs to;
//! * [`Explanation`] adds them up for one cell and holds another kernel's against it;
//! * [`flame`] draws them.

pub mod drive;
mod explain;
pub mod flame;
mod layer;
mod stacks;
mod symbols;
#[cfg(test)]
mod testing;

pub use explain::{Explanation, FunctionPart, LayerPart, Pair, Side, Total};
pub use layer::Layer;
pub use stacks::{Stack, Stacks, USER};
pub use symbols::{Symbol, Symbols};
