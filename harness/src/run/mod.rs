//! Running a plan: what is known already is taken from the cache, the rest is measured, and
//! everything is recorded as it happens.

mod cache;
mod consoles;
mod event;
mod executor;
mod explain;
mod hosts;
mod qemu;
mod scheduler;
mod seen;
mod symbols;
mod verify;

#[cfg(test)]
mod tests;

pub use cache::CellCache;
pub use consoles::Consoles;
pub use event::{Event, Guest};
pub use executor::{Booted, Checkpointed, Executor, Watch};
pub use explain::{Explainer, Profiled, explain};
pub use hosts::{Slots, slots};
pub use qemu::{CHECKPOINTS, Qemu};
pub use scheduler::{Options, Stop};
pub use seen::Seen;
pub use verify::Verification;

use crate::{
    clock,
    error::{Error, Result},
    plan::Plan,
    record::{CellResult, Origin, Outcome, Results, RunDir, SCHEMA},
};
use std::{collections::BTreeMap, path::PathBuf, rc::Rc};
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

/// Runs a plan into a run directory. `listen` sees every event after it was recorded.
///
/// # Errors
/// When the record cannot be written. Cells measured until then are in the cell cache, and in the
/// record as far as it could be written.
#[allow(
    clippy::too_many_arguments,
    reason = "each is a separate seam of the tests"
)]
pub async fn perform<E: Executor>(
    plan: Rc<Plan>,
    executor: Rc<E>,
    cache: &CellCache,
    known: Known,
    options: &Options,
    dir: RunDir,
    notes: Vec<String>,
    stop: &watch::Sender<Stop>,
    listen: &mut dyn FnMut(&Event),
) -> Result<Finished> {
    let mut recorder = Recorder::new(&plan, dir, notes, stop, listen);
    let mut todo = Vec::new();
    let mut before = BTreeMap::new();
    for (k, kernel) in plan.kernels.iter().enumerate() {
        for (c, cell) in kernel.cells.iter().enumerate() {
            let cached = match cell.inputs.map(|inputs| cache.get(&inputs)) {
                None => None,
                Some(Ok(cached)) => cached.filter(|measured| {
                    let mistaken = kernel.mistaken_for(&measured.guest.boot);
                    recorder.notes.extend(mistaken.as_ref().map(|why| {
                        let key = &cell.key;
                        format!("{key}: in the cached cell {why}; measuring it again")
                    }));
                    mistaken.is_none()
                }),
                Some(Err(error)) => {
                    let text = format!("{}: {error}; measuring it again", cell.key);
                    recorder.notes.push(text);
                    None
                }
            };
            let at = recorder.index(k, c);
            match (cell.settled.clone(), cached, known) {
                (Some(outcome), _, _) => recorder.cells[at] = recorder.result(at, outcome),
                (None, Some(measured), Known::Use) => {
                    let outcome = Outcome::Measured(Box::new(measured));
                    recorder.cells[at] = CellResult {
                        origin: Origin::Cached,
                        ..recorder.result(at, outcome)
                    };
                }
                (None, cached, _) => {
                    todo.push((k, c));
                    before.extend(cached.map(|measured| (at, measured)));
                }
            }
        }
    }
    let cached = recorder.count(|c| c.origin == Origin::Cached);
    let settled = plan.cells().filter(|(_, c)| c.settled.is_some()).count();
    recorder.tell(Event::RunStarted {
        run_id: recorder.dir.run_id().to_owned(),
        lane: plan.scenario.lane.to_string(),
        cells: recorder.cells.len(),
        cached,
        settled,
        jobs: options.cpus.len(),
    });
    for note in recorder.notes.clone() {
        recorder.tell(Event::Note { text: note });
    }
    recorder.save();

    let mut later = Vec::new();
    let mut verification = (known != Known::Use).then(Verification::default);
    let sink = |event: Event| {
        if let Event::CellFinished { result } = &event {
            let at = recorder.position(result);
            recorder.cells[at] = (**result).clone();
            if let (Some(inputs), Outcome::Measured(measured)) = (&result.inputs, &result.outcome) {
                let verified = verification
                    .as_mut()
                    .map(|v| v.add(&result.key, before.get(&at), measured));
                // What was known stays when it differs: both are evidence, and the record has one.
                let keep = known == Known::Replace || verified.as_ref().is_none_or(Vec::is_empty);
                if keep && cache.is_busy(inputs) {
                    // Not here: signals are heard by this thread.
                    let (cache, inputs) = (cache.clone(), *inputs);
                    let measured = (**measured).clone();
                    later.push(tokio::task::spawn_blocking(move || {
                        cache.put(&inputs, &measured)
                    }));
                } else if keep && let Err(error) = cache.put(inputs, measured) {
                    recorder.not_cached(&error);
                }
                // A cell that nothing is known of was not verified.
                if let Some(differences) = verified.filter(|_| before.contains_key(&at)) {
                    if !differences.is_empty() {
                        let differences = differences.join("; ");
                        recorder.note(format!(
                            "{}: EQUAL INPUTS, DIFFERENT DIGITS from those measured before: \
                             {differences}",
                            result.key
                        ));
                    }
                    recorder.tell(Event::CellVerified {
                        cell: result.key.to_string(),
                        differences,
                        memory: measured.memory.clone(),
                    });
                }
            }
            recorder.tell(event);
            recorder.save();
        } else {
            let note = event.noteworthy();
            recorder.tell(event);
            if let Some(text) = note {
                recorder.note(text);
            }
        }
    };
    scheduler::run(
        plan.clone(),
        todo,
        executor,
        options,
        stop.subscribe(),
        sink,
    )
    .await;

    let mut told = stop.subscribe();
    for put in later {
        // Whoever is told to stop at once waits for nobody; the record has the cell.
        let done = tokio::select! {
            done = put => done.unwrap_or_else(|e| Err(Error::internal("caching a cell").because(e))),
            _ = told.wait_for(|stop| matches!(stop, Stop::Now(_))) => {
                Err(Error::host("another process holds its cache entry"))
            }
        };
        if let Err(error) = done {
            recorder.not_cached(&error);
        }
    }
    let measured = recorder.count(|c| c.outcome.measured().is_some());
    recorder.tell(Event::RunFinished {
        measured,
        cells: recorder.cells.len(),
    });
    recorder.save();
    let stopped = *stop.borrow();
    let (results, dir) = recorder.finish()?;
    Ok(Finished {
        results,
        dir,
        verification,
        stopped,
    })
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
    /// Cells that were measured and could not be put into the cell cache.
    uncached: usize,
}

impl<'a> Recorder<'a> {
    fn new(
        plan: &'a Plan,
        dir: RunDir,
        notes: Vec<String>,
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
            dir,
            started,
            cells,
            notes,
            listen,
            stop,
            failed: None,
            uncached: 0,
        }
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

    fn result(&self, at: usize, outcome: Outcome) -> CellResult {
        CellResult {
            outcome,
            ..self.cells[at].clone()
        }
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
            Stop::Soon("the record cannot be written").raise(self.stop);
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
