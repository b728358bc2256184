//! Something of one's own done with each cell, from the checkpoints and in the order of a measurement.

use super::{
    Event, Executor, Qemu, Session,
    executor::{Booted, Watch},
};
use crate::{
    plan::{CellPlan, KernelPlan, Task},
    record::Outcome,
    scenario::CellKey,
    vm::Checkpoint,
};
use std::rc::Rc;

/// Boots as [`Qemu`] does, and leaves cells to `cell`.
struct Each<F> {
    qemu: Rc<Qemu>,
    cell: F,
}

impl<F> Executor for Each<F>
where
    F: AsyncFn(&KernelPlan, &CellPlan, Option<&Rc<Checkpoint>>, usize, Watch) -> Outcome + 'static,
{
    type Checkpoint = Rc<Checkpoint>;

    async fn checkpoint(
        &self,
        kernel: &KernelPlan,
        cpu: usize,
        watch: Watch,
    ) -> Result<Booted<Rc<Checkpoint>>, Outcome> {
        self.qemu.checkpoint(kernel, cpu, watch).await
    }

    async fn cell(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        watch: Watch,
    ) -> Outcome {
        (self.cell)(kernel, cell, from, cpu, watch).await
    }
}

impl Session<Qemu> {
    /// Has `cell` done for these cells (pairs of kernel and cell indices into the plan), several at once. Returns
    /// those that were not measured, with what came of them.
    pub(super) async fn each<F>(
        &self,
        cells: Vec<(usize, usize)>,
        cell: F,
        listen: &mut dyn FnMut(&Event),
    ) -> Vec<(CellKey, Outcome)>
    where
        F: AsyncFn(&KernelPlan, &CellPlan, Option<&Rc<Checkpoint>>, usize, Watch) -> Outcome
            + 'static,
    {
        let session = Session {
            plan: self.plan.clone(),
            executor: Rc::new(Each {
                qemu: self.executor.clone(),
                cell,
            }),
            cache: self.cache.clone(),
            options: self.options.clone(),
            stop: self.stop.clone(),
        };
        let mut failed = Vec::new();
        let sink = async |event: Event| {
            if let Event::CellFinished { result } = &event
                && result.outcome.measured().is_none()
            {
                failed.push((result.key.clone(), result.outcome.clone()));
            }
            listen(&event);
        };
        let tasks = cells.into_iter().map(|(k, c)| Task::once(k, c)).collect();
        session.measure(tasks, sink).await;
        failed
    }
}
