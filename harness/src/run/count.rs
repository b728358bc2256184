//! What each engine costs in user space, counted one by one: every cell profiled twice, with fewer and with more
//! I/Os. What fio costs at its start and its end is in both.

use super::{Event, Qemu, Session, executor::Watch};
use crate::{
    compare::agreement::UserInstructions,
    error::{Error, Exit, Result},
    plan::{CellPlan, KernelPlan},
    record::Outcome,
    scenario::{CellKey, in_fios_words},
    vm::Checkpoint,
};
use diorama_wire::Bound;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Fewer and more I/Os of a repetition.
const IOS: [u64; 2] = [2_000, 12_000];

impl Session<Qemu> {
    /// The cells that [`Session::count_user`] takes (pairs of kernel and cell indices into the plan). User space
    /// does not see the file system: the scenario's first is enough.
    #[must_use]
    pub fn countable(&self) -> Vec<(usize, usize)> {
        let plan = &self.plan;
        let first = plan.scenario.filesystems.first();
        let wanted = |cell: &CellPlan| {
            cell.settled.is_none() && first.is_some_and(|f| f.name == cell.key.filesystem)
        };
        let kernels = plan.kernels.iter().enumerate();
        kernels
            .flat_map(|(k, kernel)| {
                kernel
                    .cells
                    .iter()
                    .enumerate()
                    .map(move |(c, cell)| (k, c, cell))
            })
            .filter_map(|(k, c, cell)| wanted(cell).then_some((k, c)))
            .collect()
    }

    /// User-space instructions per I/O of each cell's engine, several cells at once.
    ///
    /// # Errors
    /// When a cell is not counted: the first one, and why.
    pub async fn count_user(
        &self,
        cells: Vec<(usize, usize)>,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<UserInstructions> {
        let mut runs = BTreeMap::new();
        for (k, c) in &cells {
            let cell = &self.plan.kernels[*k].cells[*c];
            let both = [with_ios(cell, IOS[0])?, with_ios(cell, IOS[1])?];
            runs.insert(cell.key.clone(), both);
        }
        let found = Rc::new(RefCell::new(UserInstructions::new()));
        let (qemu, kept) = (self.executor.clone(), found.clone());
        let twice = async move |kernel: &KernelPlan,
                                cell: &CellPlan,
                                from: Option<&Rc<Checkpoint>>,
                                cpu: usize,
                                watch: Watch| {
            let [fewer, more] = &runs[&cell.key];
            let quiet = Box::new(|_, _: &str| {});
            let fewer = match qemu.explain(kernel, fewer, from, cpu, quiet).await {
                Ok(seen) => seen,
                Err(outcome) => return outcome,
            };
            let more = match qemu.explain(kernel, more, from, cpu, watch).await {
                Ok(seen) => seen,
                Err(outcome) => return outcome,
            };
            let user = per_io([&fewer, &more].map(|(measured, seen)| {
                let repetitions = &measured.guest.repetitions;
                (
                    seen.stacks.user(),
                    repetitions.iter().map(|r| r.span_ios).sum(),
                )
            }));
            let key = (cell.key.subject.to_string(), cell.key.workload.clone());
            kept.borrow_mut().insert(key, user);
            Outcome::Measured(Box::new(more.0))
        };
        let failed = self.each(cells, twice, listen).await;
        match failed.first() {
            Some((key, outcome)) => Err(ended(key, outcome)),
            None => Ok(found.take()),
        }
    }
}

/// The same cell with one repetition of so many I/Os.
fn with_ios(cell: &CellPlan, ios: u64) -> Result<CellPlan> {
    let mut cell = cell.clone();
    cell.job.workload.bound = Bound::Ios(ios);
    cell.job.measure.repetitions = 1;
    // No more than either, so that the warm-up is the same in both.
    cell.job.measure.warmup_ios = IOS[0];
    cell.job.measure.ramp_time_ns = 0;
    if cell.job.fio.is_some() {
        let fio = in_fios_words(&cell.job.workload);
        cell.job.fio = Some(fio.map_err(Error::input)?);
    }
    Ok(cell)
}

/// Of two runs, each with its instructions and its I/Os, what an I/O costs.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_io([fewer, more]: [(u64, u64); 2]) -> f64 {
    (more.0 as f64 - fewer.0 as f64) / (more.1 as f64 - fewer.1 as f64)
}

fn ended(key: &CellKey, outcome: &Outcome) -> Error {
    Error::new(
        Exit::Incomplete,
        format!(
            "{key}: counting user-space instructions: {}: {}",
            outcome.word(),
            outcome.why()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_runs_have_is_nobodys_io() {
        let start_and_end = 1_000_000;
        let run = |ios| (start_and_end + 130 * ios, ios);
        assert!((per_io([run(2_000), run(12_000)]) - 130.0).abs() < 1e-9);
    }
}
