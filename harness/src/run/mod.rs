//! Running a plan: what is known already is taken from the cache, the rest is measured, and
//! everything is recorded as it happens.

mod artifacts;
mod cache;
mod consoles;
mod count;
mod each;
mod event;
mod executor;
mod explain;
mod hosts;
mod qemu;
mod recorder;
mod resume;
mod scheduler;
mod seen;
mod stop;
mod symbols;
mod verify;

#[cfg(test)]
mod tests;

pub use artifacts::Artifacts;
pub use cache::CellCache;
pub use consoles::Consoles;
pub use event::{Doing, Event, Guest};
pub use executor::{Booted, Checkpointed, Executor, Watch};
pub use explain::Profiled;
pub use hosts::{Slots, slots};
pub use qemu::{CHECKPOINTS, Ended, Inside, Qemu, Shell};
pub use resume::{interrupted, left};
pub use scheduler::Options;
pub use seen::Seen;
pub use stop::{Running, Stop, StopReason};
pub use symbols::SymbolTables;
pub use verify::Verification;

use crate::{
    error::Result,
    plan::{Plan, Task},
    record::{self, Results, RunDir},
};
use recorder::Recorder;
use std::{path::PathBuf, rc::Rc};
use tokio::sync::watch;

/// What a run does with what is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Takes it.
    Use,
    /// Measures anyway, and replaces it.
    Replace,
    /// Measures anyway, and compares.
    Verify,
}

/// A run that came to its end, whole or not.
#[derive(Debug)]
pub struct Finished {
    /// What is in results.json.
    pub results: Results,
    /// The run directory.
    pub dir: PathBuf,
    /// What was found where cells were measured again (`--verify`, `--fresh`).
    pub verification: Option<Verification>,
    /// Whether and how the run was told to stop.
    pub stopped: Stop,
}

impl Finished {
    /// Adds what became known only after the last guest to the notes in results.json.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, notes: Vec<String>) -> Result<()> {
        if notes.is_empty() {
            return Ok(());
        }
        self.results.notes.extend(notes);
        record::rewrite(&self.dir, &self.results)
    }
}

/// What cells are measured with, whatever the verb.
#[derive(Debug)]
pub struct Session<E> {
    /// Whose cells.
    pub plan: Rc<Plan>,
    /// What measures one.
    pub executor: Rc<E>,
    /// What was measured before, and where it goes now; none where nothing is kept.
    pub cache: Option<CellCache>,
    /// On which cores, and how.
    pub options: Options,
    /// Whether it has been told to stop.
    pub stop: watch::Sender<Stop>,
}

/// A run directory, and what is to be recorded there.
#[derive(Debug)]
pub struct Recording {
    /// Where.
    pub dir: RunDir,
    /// What becomes of what is known already.
    pub known: Known,
    /// The session that it is one of, in the metal lane, with what was measured before it was interrupted.
    pub session: Option<record::Session>,
    /// What a reader must know from the start.
    pub notes: Vec<String>,
}

impl<E: Executor> Session<E> {
    /// Does tasks; `sink` is told of everything, and of each task's end exactly once.
    pub(crate) async fn measure(&self, tasks: Vec<Task>, sink: impl AsyncFnMut(Event)) {
        scheduler::run(
            self.plan.clone(),
            tasks,
            self.executor.clone(),
            &self.options,
            self.stop.subscribe(),
            sink,
        )
        .await;
    }

    /// Runs the plan into a run directory. `listen` sees every event after it was recorded.
    ///
    /// # Errors
    /// When the record cannot be written. Cells measured until then are in the cell cache, and in
    /// the record as far as it could be written.
    pub async fn record(
        &self,
        order: Recording,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<Finished> {
        let mut recorder =
            Recorder::new(&self.plan, self.cache.as_ref(), order, &self.stop, listen);
        let todo = recorder.todo();
        recorder.begin(self.options.cpus.len());
        self.measure(todo, async |event| recorder.take(event).await)
            .await;
        recorder.settle().await;
        recorder.end()
    }
}
