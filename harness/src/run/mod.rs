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
pub use qemu::{CHECKPOINTS, Qemu};
pub use scheduler::Options;
pub use seen::Seen;
pub use stop::{Running, Stop, StopReason};
pub use symbols::SymbolTables;
pub use verify::Verification;

use crate::{
    clock,
    digest::Sha256,
    error::{Error, Result},
    plan::{CellPlan, KernelPlan, Plan},
    record::{CellResult, Measured, Origin, Outcome, Results, RunDir, SCHEMA},
    scenario::CellKey,
};
use std::{collections::BTreeMap, path::PathBuf, rc::Rc};
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
};

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
    /// What a reader must know from the start.
    pub notes: Vec<String>,
}

impl<E: Executor> Session<E> {
    /// Measures cells (pairs of kernel and cell indices into the plan); `sink` is told of
    /// everything, and of each cell's end exactly once.
    pub(crate) async fn measure(&self, cells: Vec<(usize, usize)>, sink: impl AsyncFnMut(Event)) {
        scheduler::run(
            self.plan.clone(),
            cells,
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
        let todo = recorder.look_up();
        recorder.begin(self.options.cpus.len());
        self.measure(todo, async |event| recorder.take(event).await)
            .await;
        recorder.settle().await;
        recorder.end()
    }
}

/// Keeps results.json and events.jsonl up to date. After the first failure to write it asks the
/// run to stop and writes no more.
struct Recorder<'a> {
    plan: &'a Plan,
    dir: RunDir,
    started: String,
    cells: Vec<CellResult>,
    notes: Vec<String>,
    listen: &'a mut dyn FnMut(&Event),
    stop: &'a watch::Sender<Stop>,
    failed: Option<Error>,
    cache: Option<&'a CellCache>,
    known: Known,
    /// What was known of cells that are measured again, by their place.
    before: BTreeMap<usize, Measured>,
    verification: Option<Verification>,
    /// Cells whose place in the cache another process has.
    later: Vec<JoinHandle<Result<()>>>,
    /// Cells that were measured and could not be put into the cell cache.
    uncached: usize,
}

impl<'a> Recorder<'a> {
    fn new(
        plan: &'a Plan,
        cache: Option<&'a CellCache>,
        order: Recording,
        stop: &'a watch::Sender<Stop>,
        listen: &'a mut dyn FnMut(&Event),
    ) -> Recorder<'a> {
        let cells = plan
            .cells()
            .map(|(_, cell)| CellResult {
                key: cell.key.clone(),
                inputs: cell.inputs,
                origin: Origin::Measured,
                outcome: Outcome::NotRun {
                    why: "not started".into(),
                },
            })
            .collect();
        let started = clock::now().map_or_else(
            |_| "unknown".to_owned(),
            |now| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        );
        Recorder {
            plan,
            dir: order.dir,
            started,
            cells,
            notes: order.notes,
            listen,
            stop,
            failed: None,
            cache,
            known: order.known,
            before: BTreeMap::new(),
            verification: (order.known != Known::Use).then(Verification::default),
            later: Vec::new(),
            uncached: 0,
        }
    }

    /// Takes what is known; returns the cells that are to be measured.
    fn look_up(&mut self) -> Vec<(usize, usize)> {
        let mut todo = Vec::new();
        for (k, kernel) in self.plan.kernels.iter().enumerate() {
            for (c, cell) in kernel.cells.iter().enumerate() {
                let cached = self.cached(kernel, cell);
                let at = self.index(k, c);
                match (cell.settled.clone(), cached, self.known) {
                    (Some(outcome), _, _) => self.cells[at].outcome = outcome,
                    (None, Some(measured), Known::Use) => {
                        self.cells[at].origin = Origin::Cached;
                        self.cells[at].outcome = Outcome::Measured(Box::new(measured));
                    }
                    (None, cached, _) => {
                        todo.push((k, c));
                        self.before.extend(cached.map(|measured| (at, measured)));
                    }
                }
            }
        }
        todo
    }

    /// What is known of a cell; why something is not believed is noted.
    fn cached(&mut self, kernel: &KernelPlan, cell: &CellPlan) -> Option<Measured> {
        let cached = self.cache?.get(&cell.inputs?);
        match cached {
            Ok(cached) => cached.filter(|measured| {
                let mistaken = kernel.mistaken_for(&measured.guest.boot);
                self.notes.extend(mistaken.as_ref().map(|why| {
                    let key = &cell.key;
                    format!("{key}: in the cached cell {why}; measuring it again")
                }));
                mistaken.is_none()
            }),
            Err(error) => {
                let text = format!("{}: {error}; measuring it again", cell.key);
                self.notes.push(text);
                None
            }
        }
    }

    fn begin(&mut self, jobs: usize) {
        let cached = self.count(|c| c.origin == Origin::Cached);
        let settled = self
            .plan
            .cells()
            .filter(|(_, c)| c.settled.is_some())
            .count();
        self.tell(Event::RunStarted {
            run_id: self.dir.run_id().to_owned(),
            lane: self.plan.scenario.lane().to_string(),
            cells: self.cells.len(),
            cached,
            settled,
            jobs,
        });
        for text in self.notes.clone() {
            self.tell(Event::Note { text });
        }
        self.save();
    }

    /// Takes in what happened.
    async fn take(&mut self, event: Event) {
        let Event::CellFinished { result } = &event else {
            let note = event.noteworthy();
            self.tell(event);
            if let Some(text) = note {
                self.note(text);
            }
            return;
        };
        let at = self.position(result);
        self.cells[at] = (**result).clone();
        if let (Some(inputs), Outcome::Measured(measured)) = (&result.inputs, &result.outcome) {
            self.measured(at, &result.key, inputs, measured).await;
        }
        self.tell(event);
        self.save();
    }

    /// Compares a measured cell with what was known, if that is asked for, and keeps it.
    async fn measured(&mut self, at: usize, key: &CellKey, inputs: &Sha256, measured: &Measured) {
        let before = self.before.get(&at);
        let verified = (self.verification.as_mut()).map(|v| v.add(key, before, measured));
        // What was known stays when it differs: both are evidence, and the record has one.
        if self.known == Known::Replace || verified.as_ref().is_none_or(Vec::is_empty) {
            self.keep(inputs, measured).await;
        }
        // A cell that nothing is known of was not verified.
        let Some(differences) = verified.filter(|_| self.before.contains_key(&at)) else {
            return;
        };
        if !differences.is_empty() {
            let differences = differences.join("; ");
            self.note(format!(
                "{key}: EQUAL INPUTS, DIFFERENT DIGITS from those measured before: {differences}"
            ));
        }
        self.tell(Event::CellVerified {
            cell: key.to_string(),
            differences,
            memory: measured.memory.clone(),
        });
    }

    /// Puts a cell into the cache, off this thread, which hears signals and looks after guests.
    async fn keep(&mut self, inputs: &Sha256, measured: &Measured) {
        let Some(cache) = self.cache else { return };
        let busy = cache.is_busy(inputs);
        let (cache, inputs, measured) = (cache.clone(), *inputs, measured.clone());
        let put = tokio::task::spawn_blocking(move || cache.put(&inputs, &measured));
        if busy {
            self.later.push(put);
        } else if let Err(error) = put_ended(put.await) {
            self.not_cached(&error);
        }
    }

    /// Waits for cells whose place in the cache another process had.
    async fn settle(&mut self) {
        let mut told = self.stop.subscribe();
        for put in std::mem::take(&mut self.later) {
            // Whoever is told to stop at once waits for nobody; the record has the cell.
            let done = tokio::select! {
                done = put => put_ended(done),
                _ = told.wait_for(|stop| matches!(stop, Stop::Now(_))) => {
                    Err(Error::host("another process holds its cache entry"))
                }
            };
            if let Err(error) = done {
                self.not_cached(&error);
            }
        }
    }

    fn end(mut self) -> Result<Finished> {
        let measured = self.count(|c| c.outcome.measured().is_some());
        self.tell(Event::RunFinished {
            measured,
            cells: self.cells.len(),
        });
        self.save();
        let (stopped, verification) = (*self.stop.borrow(), self.verification.take());
        let (results, dir) = self.finish()?;
        Ok(Finished {
            results,
            dir,
            verification,
            stopped,
        })
    }

    fn index(&self, kernel: usize, cell: usize) -> usize {
        self.plan.kernels[..kernel]
            .iter()
            .map(|k| k.cells.len())
            .sum::<usize>()
            + cell
    }

    fn position(&self, result: &CellResult) -> usize {
        self.cells
            .iter()
            .position(|c| c.key == result.key)
            .expect("a result belongs to a cell of the plan")
    }

    fn count(&self, what: impl Fn(&CellResult) -> bool) -> usize {
        self.cells.iter().filter(|c| what(c)).count()
    }

    fn note(&mut self, text: String) {
        self.notes.push(text.clone());
        self.tell(Event::Note { text });
    }

    fn not_cached(&mut self, error: &Error) {
        self.uncached += 1;
        self.note(format!("a cell could not be cached: {}", error.render()));
    }

    fn tell(&mut self, event: Event) {
        if self.failed.is_none() {
            let written = self.dir.event(&event);
            self.check(written);
        }
        (self.listen)(&event);
    }

    fn save(&mut self) {
        if self.failed.is_none() {
            let written = self
                .dir
                .write_json("results.json", &self.results())
                .map(drop);
            self.check(written);
        }
    }

    fn check(&mut self, written: Result<()>) {
        if let Err(error) = written {
            self.failed = Some(error);
            Stop::Soon(StopReason::NoRecord).raise(self.stop);
        }
    }

    fn results(&self) -> Results {
        Results {
            schema: SCHEMA,
            run_id: self.dir.run_id().to_owned(),
            started: self.started.clone(),
            diorama: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: self.plan.scenario.clone(),
            kernels: self
                .plan
                .kernels
                .iter()
                .map(|kernel| {
                    let mut record = kernel.record.clone();
                    record.release = record.release.or_else(|| self.release_of(&record.name));
                    record
                })
                .collect(),
            vmm: self.plan.vmm.clone(),
            cells: self.cells.clone(),
            notes: self.notes.clone(),
            replay: self.dir.replay().map(str::to_owned),
            formatting: self.dir.formatting().to_vec(),
        }
    }

    /// uname -r as a guest of this kernel reported it.
    fn release_of(&self, kernel: &str) -> Option<String> {
        let cell = self.cells.iter().filter(|c| c.key.kernel == kernel);
        cell.filter_map(|c| c.outcome.measured())
            .map(|m| m.guest.boot.release.clone())
            .next()
    }

    fn finish(self) -> Result<(Results, PathBuf)> {
        let results = self.results();
        let Some(error) = self.failed else {
            return Ok((results, self.dir.path().to_owned()));
        };
        let measured = results
            .cells
            .iter()
            .filter(|c| c.outcome.measured().is_some())
            .count();
        let hint = match (measured - self.uncached.min(measured), self.uncached) {
            (0, 0) => "free some disk space, then run the same command again".to_owned(),
            (kept, 0) => format!(
                "the {kept} cells measured so far are in the cell cache: free some disk space, \
                 then run the same command again to resume from there"
            ),
            (kept, lost) => format!(
                "free some disk space for the cache as well: {kept} of the measured cells are in \
                 it, {lost} are not and will be measured again"
            ),
        };
        Err(error
            .hint(hint)
            .while_(format!("recording run {}", results.run_id)))
    }
}

fn put_ended(ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|e| Err(Error::internal("caching a cell").because(e)))
}
