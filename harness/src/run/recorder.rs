//! Takes in what happens, and keeps the record up to date with it.

use super::{
    CellCache, Event, Finished, Known, Recording, Stop, StopReason, Verification, resume::left,
};
use crate::{
    clock,
    digest::Sha256,
    error::{Error, Result},
    plan::{CellPlan, KernelPlan, Plan, Task},
    record::{
        CellResult, MachineRecord, Measured, Origin, Outcome, Results, RunDir, SCHEMA, Sample,
        Session,
    },
    scenario::{CellKey, SubjectKey},
};
use std::{collections::BTreeMap, path::PathBuf};
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
};

/// Keeps results.json and events.jsonl up to date. After the first failure to write it asks the
/// run to stop and writes no more.
pub(super) struct Recorder<'a> {
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
    /// The session, in the metal lane.
    session: Option<Session>,
    /// How many of its turns each cell still awaits there, by its place.
    awaited: BTreeMap<usize, usize>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
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
                job: Some(cell.job.clone()),
                origin: Origin::Measured,
                outcome: Outcome::NotRun {
                    why: "not started".into(),
                },
            })
            .collect();
        let started = clock::stamp().unwrap_or_else(|| "unknown".to_owned());
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
            session: order.session,
            awaited: BTreeMap::new(),
        }
    }

    /// Takes what is known; returns what is to be measured.
    pub(super) fn todo(&mut self) -> Vec<Task> {
        let mut cells = self.look_up();
        let Some(session) = &self.session else {
            return cells;
        };
        let tasks = left(session, self.plan);
        for task in &tasks {
            let at = self.index(task.kernel, task.cell);
            *self.awaited.entry(at).or_default() += 1;
        }
        // What an interrupted session measured whole is this one's.
        cells.retain(|cell| {
            !self
                .awaited
                .contains_key(&self.index(cell.kernel, cell.cell))
        });
        for cell in cells {
            self.merge(self.index(cell.kernel, cell.cell));
        }
        tasks
    }

    /// Takes what is known; returns the cells that are to be measured.
    fn look_up(&mut self) -> Vec<Task> {
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
                        todo.push(Task::once(k, c));
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

    pub(super) fn begin(&mut self, jobs: usize) {
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
            samples: self.session.as_ref().map(|session| {
                let known = session.samples.len();
                [known + self.awaited.values().sum::<usize>(), known]
            }),
        });
        for text in self.notes.clone() {
            self.tell(Event::Note { text });
        }
        self.save();
    }

    /// Takes in what happened.
    pub(super) async fn take(&mut self, event: Event) {
        if let Event::SampleFinished { sample } = &event {
            let sample = (**sample).clone();
            self.tell(event);
            self.sampled(sample);
            return;
        }
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

    /// Takes in one boot of a session; its cell's end with the last of them.
    fn sampled(&mut self, sample: Sample) {
        let of = |cell: &CellResult| cell.key == sample.key;
        let at = self.cells.iter().position(of);
        let at = at.expect("a sample belongs to a cell of the plan");
        let begun = !matches!(sample.outcome, Outcome::NotRun { .. });
        let before = &mut self.cells[at].outcome;
        if !begun && matches!(before, Outcome::NotRun { .. }) {
            *before = sample.outcome.clone();
        }
        if begun && sample.outcome.measured().is_none() {
            let (key, turn) = (&sample.key, sample.at);
            let (word, why) = (sample.outcome.word(), sample.outcome.why());
            self.note(format!("{key}, {turn}: {word}: {why}"));
        }
        if let Some(session) = self.session.as_mut().filter(|_| begun) {
            session.samples.push(sample);
            self.merge(at);
        }
        let awaited = self.awaited.entry(at).or_insert(1);
        *awaited = awaited.saturating_sub(1);
        if *awaited == 0 {
            let result = Box::new(self.cells[at].clone());
            self.tell(Event::CellFinished { result });
        }
        self.save();
    }

    /// Makes a cell what its samples come to.
    fn merge(&mut self, at: usize) {
        let session = self.session.as_ref();
        if let Some(outcome) = session.and_then(|session| session.outcome(&self.cells[at].key)) {
            self.cells[at].outcome = outcome;
        }
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
    pub(super) async fn settle(&mut self) {
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

    pub(super) fn end(mut self) -> Result<Finished> {
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
                    record.release = record.release.or_else(|| self.release_of(&kernel.subject));
                    record
                })
                .collect(),
            vmm: self.plan.vmm.clone(),
            machines: self.plan.kernels.iter().filter_map(machine).collect(),
            cells: self.cells.clone(),
            session: self.session.clone(),
            notes: self.notes.clone(),
            replay: self.dir.replay().map(str::to_owned),
            formatting: self.dir.formatting().to_vec(),
        }
    }

    /// uname -r as a guest of this kernel reported it.
    fn release_of(&self, subject: &SubjectKey) -> Option<String> {
        let cell = self.cells.iter().filter(|c| c.key.subject == *subject);
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

/// What a kernel's machine is, for the record.
fn machine(kernel: &KernelPlan) -> Option<MachineRecord> {
    let machine = kernel.machine.as_ref()?;
    Some(MachineRecord {
        name: kernel.record.name.clone(),
        variant: kernel.subject.variant.clone(),
        digest: machine.checkpoint,
        covers: machine.inputs.clone(),
    })
}

fn put_ended(ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|e| Err(Error::internal("caching a cell").because(e)))
}
