//! What is measured, and when: each cell once in the exact lane, a session's blocks in the metal lane.

use super::Plan;
use crate::{metal, metal::Arm, record::Turn};

/// One guest's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// Index into [`Plan::kernels`].
    pub kernel: usize,
    /// Index into that kernel's cells.
    pub cell: usize,
    /// Which of the cell's turns in a session; none where it is measured once.
    pub turn: Option<Turn>,
}

impl Task {
    /// A cell that is measured once.
    #[must_use]
    pub fn once(kernel: usize, cell: usize) -> Task {
        Task {
            kernel,
            cell,
            turn: None,
        }
    }

    /// The cell, whichever turn it is.
    #[must_use]
    pub fn cell(self) -> (usize, usize) {
        (self.kernel, self.cell)
    }
}

impl Plan {
    /// Everything that a session measures, in its order: block by block; in a block, one file system and
    /// workload after the other, so that what is compared is measured close together; of each, the
    /// baseline twice and every other kernel once, in an order of the seed's ([`metal::order`]). Empty
    /// if the baseline is not among the kernels.
    ///
    /// A single block is a look, from which nothing is concluded: there the baseline is booted once, like
    /// the others. Cells that cannot run are left out.
    #[must_use]
    pub fn session(&self, blocks: u32, seed: u64) -> Vec<Task> {
        let Some(baseline) = self
            .kernels
            .iter()
            .position(|kernel| self.scenario.is_baseline(&kernel.subject))
        else {
            return Vec::new();
        };
        let others: Vec<usize> = (0..self.kernels.len()).filter(|k| *k != baseline).collect();
        let cells = self.kernels[baseline].cells.len();
        let mut tasks = Vec::new();
        for block in 0..blocks {
            for cell in 0..cells {
                // An order of its own for each, numbered through the session.
                let number = u32::try_from(cells).unwrap_or(u32::MAX);
                let number = block.wrapping_mul(number).wrapping_add(cell as u32);
                for arm in metal::order(seed, number, others.len()) {
                    let (kernel, second) = match arm {
                        Arm::A => (baseline, false),
                        Arm::APrime => (baseline, true),
                        Arm::Kernel { index } => (others[index], false),
                    };
                    if second && blocks == 1 {
                        continue;
                    }
                    let can_run = self.kernels[kernel].cells.get(cell);
                    if can_run.is_some_and(|cell| cell.settled.is_none()) {
                        tasks.push(Task {
                            kernel,
                            cell,
                            turn: Some(Turn { block, second }),
                        });
                    }
                }
            }
        }
        tasks
    }
}
