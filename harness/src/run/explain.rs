//! Profiling cells: each beside its plain run, whose every digit and byte of memory it must repeat.

use super::{CellCache, Event, Executor as _, Qemu, Seen, Session, executor::Watch};
use crate::{
    compare::differences,
    plan::{CellPlan, KernelPlan},
    profile::Side,
    record::{Measured, Outcome},
    scenario::CellKey,
    vm::{Checkpoint, blocking},
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// A cell that was profiled.
#[derive(Clone, Debug)]
pub struct Profiled {
    /// The cell's key.
    pub key: CellKey,
    /// As it is measured without being profiled.
    pub plain: Measured,
    /// Whether that run was known before.
    pub known: bool,
    /// As it was measured while it was profiled.
    pub measured: Measured,
    /// What it executed.
    pub seen: Seen,
}

impl Profiled {
    /// Its profile.
    #[must_use]
    pub fn side(&self) -> Side {
        let repetitions = &self.measured.guest.repetitions;
        Side {
            kernel: self.key.subject.to_string(),
            ios: repetitions.iter().map(|r| r.span_ios).sum(),
            stacks: self.seen.stacks.clone(),
        }
    }

    /// What profiling changed of the digits and of the guest's memory: nothing, or it is an alarm.
    #[must_use]
    pub fn perturbed(&self) -> Vec<String> {
        // The drive's work is that of one window when measured, of all when profiled.
        let comparable = |measured: &Measured| {
            let mut measured = measured.clone();
            if let Some(instructions) = &mut measured.instructions {
                instructions.drive = None;
            }
            measured
        };
        differences(&comparable(&self.plain), &comparable(&self.measured))
    }
}

/// Profiles cells by [`Qemu::explain`]; what is found is kept until it is taken.
#[derive(Debug)]
struct Explainer {
    qemu: Rc<Qemu>,
    cache: Option<CellCache>,
    found: RefCell<BTreeMap<String, Profiled>>,
}

impl Explainer {
    /// The plain run, and whether it was known.
    async fn plain(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
    ) -> Result<(Measured, bool), Outcome> {
        // One that was altered is measured again, like one that is not there.
        let kept = self.cache.as_ref().zip(cell.inputs);
        let known = kept.and_then(|(cache, inputs)| cache.get(&inputs).ok()?);
        if let Some(known) = known {
            return Ok((known, true));
        }
        let quiet = Box::new(|_, _: &str| {});
        match self.qemu.cell(kernel, cell, from, cpu, quiet).await {
            Outcome::Measured(measured) => {
                if let Some((cache, inputs)) = kept {
                    let (cache, kept) = (cache.clone(), measured.clone());
                    // A cache that cannot be written costs the next run's time and nothing here.
                    let _ = blocking("caching a cell", move || cache.put(&inputs, &kept)).await;
                }
                Ok((*measured, false))
            }
            failed => Err(failed),
        }
    }

    /// Profiles one, beside its plain run.
    async fn profile(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        watch: Watch,
    ) -> Outcome {
        let (plain, known) = match self.plain(kernel, cell, from, cpu).await {
            Ok(plain) => plain,
            Err(outcome) => return outcome,
        };
        match self.qemu.explain(kernel, cell, from, cpu, watch).await {
            Ok((measured, seen)) => {
                let outcome = Outcome::Measured(Box::new(measured.clone()));
                let profiled = Profiled {
                    key: cell.key.clone(),
                    plain,
                    known,
                    measured,
                    seen,
                };
                let key = cell.key.to_string();
                self.found.borrow_mut().insert(key, profiled);
                outcome
            }
            Err(outcome) => outcome,
        }
    }
}

impl Session<Qemu> {
    /// Profiles cells of the plan (pairs of kernel and cell indices), several at once. Returns them
    /// by name, and every cell that could not be profiled with what came of it.
    pub async fn explain(
        &self,
        cells: Vec<(usize, usize)>,
        listen: &mut dyn FnMut(&Event),
    ) -> (BTreeMap<String, Profiled>, Vec<(CellKey, Outcome)>) {
        let explainer = Rc::new(Explainer {
            qemu: self.executor.clone(),
            cache: self.cache.clone(),
            found: RefCell::default(),
        });
        let plan = &self.plan;
        let mut failed = Vec::new();
        let (settled, todo): (Vec<_>, Vec<_>) = cells
            .into_iter()
            .partition(|(k, c)| plan.kernels[*k].cells[*c].settled.is_some());
        for (k, c) in settled {
            let cell = &plan.kernels[k].cells[c];
            failed.extend(cell.settled.clone().map(|why| (cell.key.clone(), why)));
        }
        let profiling = explainer.clone();
        let profile = async move |kernel: &KernelPlan,
                                  cell: &CellPlan,
                                  from: Option<&Rc<Checkpoint>>,
                                  cpu: usize,
                                  watch: Watch| {
            profiling.profile(kernel, cell, from, cpu, watch).await
        };
        failed.extend(self.each(todo, profile, listen).await);
        (explainer.found.take(), failed)
    }
}
