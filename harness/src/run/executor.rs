//! The seam between what is to be run and how it is run.

use super::event::Doing;
use crate::{
    plan::{CellPlan, KernelPlan},
    record::Outcome,
};

/// Progress of a guest: what it does, and a detail.
pub type Watch = Box<dyn Fn(Doing, &str)>;

/// A checkpoint as the scheduler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpointed<C> {
    /// What the executor needs to restore it.
    pub handle: C,
    /// Whether it was there before.
    pub cached: bool,
    /// Host seconds it took.
    pub wall_s: f64,
    /// CPU seconds of the VMM.
    pub cpu_s: f64,
    /// Digest of the guest's memory.
    pub memory: String,
}

/// What came of a boot to a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Booted<C> {
    /// Cells start from it.
    Saved(Checkpointed<C>),
    /// The guest got there, but its state could not be kept, on a full disk for one. That costs
    /// time and no cell: each boots by itself.
    NotSaved {
        /// The reason, for the note in the record.
        why: String,
    },
}

/// Makes checkpoints and measures cells: [`super::Qemu`] for real, a script in tests.
#[allow(async_fn_in_trait, reason = "every run stays on one thread")]
pub trait Executor: 'static {
    /// What restoring a checkpoint takes.
    type Checkpoint: Clone + 'static;

    /// Finds or makes a kernel's checkpoint; an error is the outcome of all its cells.
    async fn checkpoint(
        &self,
        kernel: &KernelPlan,
        cpu: usize,
        watch: Watch,
    ) -> Result<Booted<Self::Checkpoint>, Outcome>;

    /// Measures one cell, from a checkpoint or by a boot of its own.
    async fn cell(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Self::Checkpoint>,
        cpu: usize,
        watch: Watch,
    ) -> Outcome;
}
