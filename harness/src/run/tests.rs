//! The run loop with a scripted executor: no machine, no clock.

mod gallery;
mod measured_again;
mod session;
mod subjects;

use super::*;
use crate::{
    compare::fixture,
    digest::Sha256,
    error::Error,
    kernel::BootBy,
    plan::{CellPlan, KernelPlan, PreparedKernel},
    record::{CellResult, Outcome},
    scenario::Scenario,
    store::Store,
    vm::{Spec, Time},
    vocabulary::{Accel, Lane},
};
use diorama_wire::{Clock, StopBy};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::Path,
};

/// What a script does when a guest is started.
#[derive(Clone, Debug)]
enum Act {
    /// The boot fails, or the cell ends, like this.
    Fail(Outcome),
    /// Works, after the run was told to stop.
    Stop(Stop),
    /// Never ends.
    Hang,
    /// Works, after saying this of itself.
    Say(Doing, &'static str),
    /// Works, after the run directory went away.
    Vanish,
    /// Boots, but its checkpoint cannot be kept.
    NotSaved(&'static str),
}

/// Plays a script: guest -> what it does; every other guest works.
struct Scripted {
    acts: BTreeMap<String, Act>,
    stop: watch::Sender<Stop>,
    results: PathBuf,
    iops: Cell<f64>,
    started: RefCell<Vec<String>>,
}

impl Scripted {
    async fn act(&self, guest: String, watch: &Watch) -> Result<(), Outcome> {
        self.started.borrow_mut().push(guest.clone());
        match self.acts.get(&guest).cloned() {
            None => {}
            Some(Act::Fail(outcome)) => return Err(outcome),
            Some(Act::Stop(stop)) => stop.raise(&self.stop),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Say(doing, detail)) => watch(doing, detail),
            Some(Act::NotSaved(_)) => {}
            Some(Act::Vanish) => std::fs::remove_dir_all(&self.results).expect("removed"),
        }
        // Lets the scheduler see a stop before the guest's end.
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Executor for Scripted {
    type Checkpoint = String;

    async fn checkpoint(
        &self,
        kernel: &KernelPlan,
        _cpu: usize,
        watch: Watch,
    ) -> Result<Booted<String>, Outcome> {
        let name = kernel.record.name.clone();
        let guest = format!("boot {name}");
        self.act(guest.clone(), &watch).await?;
        if let Some(Act::NotSaved(why)) = self.acts.get(&guest) {
            return Ok(Booted::NotSaved {
                why: (*why).to_owned(),
            });
        }
        Ok(Booted::Saved(Checkpointed {
            memory: format!("memory of {name}"),
            handle: name,
            cached: false,
            wall_s: 5.0,
            cpu_s: 4.0,
        }))
    }

    async fn cell(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&String>,
        _cpu: usize,
        watch: Watch,
    ) -> Outcome {
        let name = &kernel.record.name;
        let saved = !matches!(
            self.acts.get(&format!("boot {name}")),
            Some(Act::NotSaved(_))
        );
        assert_eq!(
            from,
            (saved && cell.key.lane.is_exact()).then_some(name),
            "from its kernel's checkpoint, if there is one"
        );
        match self.act(cell.key.to_string(), &watch).await {
            Ok(()) => {
                let mut measured = fixture::measured(self.iops.get(), 4096);
                let release = kernel.record.release.clone();
                measured.guest.boot.release = release.expect("a release");
                Outcome::Measured(Box::new(measured))
            }
            Err(outcome) => outcome,
        }
    }
}

/// A place for runs of one small plan: 6.12 and 7.2, ext4, read-4k and write-4k.
struct Stage {
    dir: tempfile::TempDir,
    plan: Rc<Plan>,
    cache: Option<CellCache>,
    script: Rc<Scripted>,
    session: Option<record::Session>,
}

struct Seen {
    finished: Result<Finished, Error>,
    events: Vec<Event>,
    started: Vec<String>,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path().join("cache")).expect("a store");
        Stage {
            plan: Rc::new(plan()),
            cache: CellCache::of(Lane::EXACT, store),
            session: None,
            script: script(dir.path(), &[]),
            dir,
        }
    }

    fn run(&mut self, acts: &[(&str, Act)], known: Known) -> Seen {
        let iops = self.script.iops.get();
        self.script = script(self.dir.path(), acts);
        self.script.iops.set(iops);
        let results = self.dir.path().join("results");
        let now = jiff::Timestamp::UNIX_EPOCH;
        let dir = RunDir::create(&results, "small", now).expect("a run directory");
        let options = Options {
            cpus: vec![0],
            checkpoints: true,
            expected_s: BTreeMap::new(),
        };
        let session = Session {
            plan: self.plan.clone(),
            executor: self.script.clone(),
            cache: self.cache.clone(),
            options,
            stop: self.script.stop.clone(),
        };
        let order = Recording {
            dir,
            known,
            session: self.session.clone(),
            notes: Vec::new(),
        };
        let mut events = Vec::new();
        let mut listen = |event: &Event| events.push(event.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let finished =
            tokio::task::LocalSet::new().block_on(&runtime, session.record(order, &mut listen));
        let started = self.script.started.borrow().clone();
        Seen {
            finished,
            events,
            started,
        }
    }
}

fn script(dir: &Path, acts: &[(&str, Act)]) -> Rc<Scripted> {
    Rc::new(Scripted {
        acts: acts
            .iter()
            .map(|(guest, act)| ((*guest).to_owned(), act.clone()))
            .collect(),
        stop: watch::channel(Stop::No).0,
        results: dir.join("results"),
        iops: Cell::new(50_000.0),
        started: RefCell::default(),
    })
}

fn plan() -> Plan {
    plan_of(fixture::results().scenario)
}

fn plan_of(mut scenario: Scenario) -> Plan {
    let results = fixture::results();
    let time = match scenario.clock {
        Clock::Instructions => Time::Instructions,
        Clock::Wall => Time::Wall(Accel::Tcg),
    };
    scenario
        .kernels
        .retain(|k| ["6.12", "7.2"].contains(&k.name.as_str()));
    scenario
        .subjects
        .retain(|s| ["6.12", "7.2"].contains(&s.kernel.as_str()));
    scenario.filesystems.retain(|f| f.name == "ext4");
    scenario.workloads.retain(|w| w.name.ends_with("-4k"));
    let prepared = results
        .kernels
        .into_iter()
        .filter(|k| ["6.12", "7.2"].contains(&k.name.as_str()))
        .map(|record| PreparedKernel {
            subject: record.subject(),
            version: None,
            blind: false,
            machine: Ok((
                Spec {
                    kernel: "vmlinux".into(),
                    kernel_sha256: Sha256::of(record.name.as_bytes()),
                    boot: BootBy::Pvh,
                    initramfs: "initramfs".into(),
                    initramfs_sha256: record.initramfs.expect("the fixture has it"),
                    cmdline: Spec::cmdline(Clock::Instructions, 1, &[]),
                    memory_mib: 1024,
                    smp: 1,
                    time,
                    drive: None,
                    shares: Vec::new(),
                },
                StopBy::Pvpanic,
            )),
            modules: None,
            unsupported: Vec::new(),
            record,
        })
        .collect();
    Plan::new(scenario, prepared, results.vmm)
}

/// Cell -> the word for its outcome and why, in plan order.
fn words(results: &Results) -> String {
    let line = |c: &CellResult| {
        let text = format!("{}: {} {}", c.key, c.outcome.word(), c.outcome.why());
        text.trim_end().to_owned()
    };
    let lines: Vec<String> = results.cells.iter().map(line).collect();
    lines.join("\n")
}

/// results.json as a reader finds it.
fn on_disk(finished: &Finished) -> Results {
    let path = finished.dir.to_str().expect("UTF-8");
    record::open(Path::new("/nowhere"), path)
        .expect("a record")
        .1
}

fn completed(events: &[Event]) -> Vec<String> {
    let key = |e: &Event| match e {
        Event::CellFinished { result } => Some(result.key.to_string()),
        _ => None,
    };
    events.iter().filter_map(key).collect()
}

fn tell(events: &[Event]) -> String {
    let line = |event: &Event| match event {
        Event::CellFinished { result } => {
            format!("cell-finished {} {}", result.key, result.outcome.word())
        }
        Event::SampleFinished { sample } => {
            format!(
                "sample-finished {}, {} {}",
                sample.key,
                sample.at,
                sample.outcome.word()
            )
        }
        Event::GuestStarted { guest, cpu, .. } => format!("guest-started {guest} on {cpu}"),
        Event::CheckpointReady { kernel, .. } => format!("checkpoint-ready {kernel}"),
        Event::CheckpointNotSaved { kernel, why } => {
            format!("checkpoint-not-saved {kernel}: {why}")
        }
        Event::CheckpointFailed { kernel, why, .. } => format!("checkpoint-failed {kernel}: {why}"),
        Event::RunStarted { cells, cached, .. } => {
            format!("run-started: {cells} cells, {cached} cached")
        }
        Event::RunFinished { measured, cells } => format!("run-finished: {measured} of {cells}"),
        Event::Note { text } => format!("note {text}"),
        Event::Stopping { why, guests } => format!("stopping: {why}; {guests}"),
        Event::Progress { guest, phase, .. } => format!("progress {guest} {}", phase.word()),
        Event::CellVerified {
            cell, differences, ..
        } => format!("verified {cell}: {differences:?}"),
    };
    let lines: Vec<String> = events.iter().map(line).collect();
    lines.join("\n")
}

fn fault() -> Outcome {
    Outcome::GuestFault {
        why: "kernel panic".into(),
        console: vec!["last words".into()],
    }
}

#[test]
fn boots_come_first_and_every_cell_is_told_of_once() {
    let mut stage = Stage::new();
    let seen = stage.run(&[], Known::Use);
    insta::assert_snapshot!(tell(&seen.events), @r"
    run-started: 4 cells, 0 cached
    guest-started boot 6.12 on 0
    checkpoint-ready 6.12
    guest-started boot 7.2 on 0
    checkpoint-ready 7.2
    guest-started 6.12/ext4/read-4k on 0
    cell-finished 6.12/ext4/read-4k measured
    guest-started 6.12/ext4/write-4k on 0
    cell-finished 6.12/ext4/write-4k measured
    guest-started 7.2/ext4/read-4k on 0
    cell-finished 7.2/ext4/read-4k measured
    guest-started 7.2/ext4/write-4k on 0
    cell-finished 7.2/ext4/write-4k measured
    run-finished: 4 of 4
    ");
    let finished = seen.finished.unwrap();
    assert_eq!(on_disk(&finished), finished.results);
    let jsonl = std::fs::read_to_string(finished.dir.join("events.jsonl")).unwrap();
    assert_eq!(jsonl.lines().count(), seen.events.len());
}

#[test]
fn a_failed_boot_costs_its_own_cells_and_no_others() {
    let mut stage = Stage::new();
    let seen = stage.run(&[("boot 6.12", Act::Fail(fault()))], Known::Use);
    let finished = seen.finished.unwrap();
    insta::assert_snapshot!(words(&on_disk(&finished)), @r"
    6.12/ext4/read-4k: guest fault kernel panic
    6.12/ext4/write-4k: guest fault kernel panic
    7.2/ext4/read-4k: measured
    7.2/ext4/write-4k: measured
    ");
    assert_eq!(completed(&seen.events).len(), 4);
    assert_eq!(finished.stopped, Stop::No);
}

/// On a full disk a checkpoint cannot be saved, and nothing else is lost.
#[test]
fn a_checkpoint_that_cannot_be_kept_costs_no_cell_and_is_noted() {
    let acts = [("boot 6.12", Act::NotSaved("writing ram.img; disk full"))];
    let mut stage = Stage::new();
    let seen = stage.run(&acts, Known::Use);
    let finished = seen.finished.unwrap();
    let results = on_disk(&finished);
    assert!(results.cells.iter().all(|c| c.outcome.measured().is_some()));
    insta::assert_snapshot!(results.notes.join("\n"), @"6.12: its checkpoint could not be saved, so each of its cells boots on its own; this takes longer but gives the same digits (writing ram.img; disk full)");
    let events = tell(&seen.events);
    assert!(
        events.contains("checkpoint-not-saved 6.12: writing ram.img; disk full\nnote 6.12: "),
        "{events}"
    );
    assert!(events.contains("checkpoint-ready 7.2"), "{events}");
}

#[test]
fn a_failed_cell_costs_no_others() {
    let mut stage = Stage::new();
    let seen = stage.run(&[("7.2/ext4/read-4k", Act::Fail(fault()))], Known::Use);
    insta::assert_snapshot!(words(&on_disk(&seen.finished.unwrap())), @r"
    6.12/ext4/read-4k: measured
    6.12/ext4/write-4k: measured
    7.2/ext4/read-4k: guest fault kernel panic
    7.2/ext4/write-4k: measured
    ");
}

#[test]
fn stop_soon_lets_the_guest_finish_and_the_next_run_measures_only_the_rest() {
    let mut stage = Stage::new();
    let stop = Act::Stop(Stop::Soon(StopReason::Interrupted));
    let seen = stage.run(&[("6.12/ext4/read-4k", stop)], Known::Use);
    let finished = seen.finished.unwrap();
    insta::assert_snapshot!(words(&on_disk(&finished)), @r"
    6.12/ext4/read-4k: measured
    6.12/ext4/write-4k: not run interrupted (SIGINT)
    7.2/ext4/read-4k: not run interrupted (SIGINT)
    7.2/ext4/write-4k: not run interrupted (SIGINT)
    ");
    assert_eq!(finished.stopped, Stop::Soon(StopReason::Interrupted));
    assert_eq!(completed(&seen.events).len(), 4, "each cell is told of");

    let resumed = stage.run(&[], Known::Use);
    assert!(!resumed.started.contains(&"6.12/ext4/read-4k".to_owned()));
    assert_eq!(resumed.started.len(), 2 + 3, "{:?}", resumed.started);
    let third = stage.run(&[], Known::Use);
    assert_eq!(third.started, [""; 0], "everything is known: nothing boots");
}

#[test]
fn stop_now_ends_a_guest_that_hangs() {
    let acts = [
        (
            "6.12/ext4/read-4k",
            Act::Stop(Stop::Now(StopReason::Terminated)),
        ),
        ("6.12/ext4/write-4k", Act::Hang),
    ];
    let mut stage = Stage::new();
    let seen = stage.run(&acts, Known::Use);
    let finished = seen.finished.unwrap();
    assert_eq!(finished.stopped, Stop::Now(StopReason::Terminated));
    assert_eq!(on_disk(&finished), finished.results);
    let events = tell(&seen.events);
    assert!(
        events.contains("stopping: terminated (SIGTERM); killing guests"),
        "{events}"
    );
    assert_eq!(completed(&seen.events).len(), 4);
}

/// A run that is told to stop before its first guest starts none.
#[test]
fn a_stop_before_the_first_guest_is_not_missed() {
    let stage = Stage::new();
    let options = Options {
        cpus: vec![0],
        checkpoints: true,
        expected_s: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    Stop::Soon(StopReason::HungUp).raise(&stage.script.stop);
    let mut events = Vec::new();
    tokio::task::LocalSet::new().block_on(
        &runtime,
        scheduler::run(
            stage.plan.clone(),
            vec![Task::once(0, 0)],
            stage.script.clone(),
            &options,
            stage.script.stop.subscribe(),
            async |event| events.push(event),
        ),
    );
    assert_eq!(stage.script.started.borrow().len(), 0);
    assert_eq!(completed(&events).len(), 1);
}

#[test]
fn a_stop_is_never_called_off_by_a_lesser_one() {
    let (sender, _) = watch::channel(Stop::No);
    Stop::Now(StopReason::Terminated).raise(&sender);
    Stop::Soon(StopReason::NoRecord).raise(&sender);
    assert_eq!(*sender.borrow(), Stop::Now(StopReason::Terminated));
}

#[test]
fn verify_names_what_differs_and_keeps_what_was_known() {
    let mut stage = Stage::new();
    stage.run(&[], Known::Use).finished.unwrap();
    let same = stage.run(&[], Known::Verify).finished.unwrap();
    assert_eq!(same.verification.map(|v| v.identical), Some(4));

    stage.script.iops.set(50_010.0);
    let other = stage.run(&[], Known::Verify).finished.unwrap();
    let verification = other.verification.clone().unwrap();
    assert_eq!(
        (verification.identical, verification.different.len()),
        (0, 4)
    );
    let (_, differences) = &verification.different[0];
    assert!(differences[0].contains("repetitions[0]"), "{differences:?}");

    let notes = on_disk(&other).notes;
    assert!(
        notes
            .iter()
            .any(|n| n.contains("EQUAL INPUTS, DIFFERENT DIGITS")),
        "{notes:?}"
    );

    stage.script.iops.set(50_000.0);
    let again = stage.run(&[], Known::Verify).finished.unwrap();
    assert_eq!(
        again.verification.map(|v| v.identical),
        Some(4),
        "the first digits stay known"
    );
}

#[test]
fn a_record_that_cannot_be_written_stops_the_run_and_loses_no_cell() {
    let mut stage = Stage::new();
    let seen = stage.run(&[("6.12/ext4/read-4k", Act::Vanish)], Known::Use);
    let error = seen.finished.unwrap_err();
    assert_eq!(error.exit(), crate::error::Exit::Host);
    assert_eq!(error.to_string(), "recording run small-19700101T000000Z");
    let next = error.next_step().unwrap();
    assert!(next.contains("in the cell cache"), "{next}");
    assert!(
        seen.started.len() < 6,
        "it goes on for nothing: {:?}",
        seen.started
    );
    let resumed = stage.run(&[], Known::Use);
    assert!(!resumed.started.contains(&"6.12/ext4/read-4k".to_owned()));
}

#[test]
fn a_retry_is_noted_in_the_record() {
    let acts = [("boot 7.2", Act::Say(Doing::Retry, "no progress for 180 s"))];
    let mut stage = Stage::new();
    let finished = stage.run(&acts, Known::Use).finished.unwrap();
    assert_eq!(
        on_disk(&finished).notes,
        ["boot 7.2: no progress for 180 s"]
    );
}

/// A digit that changed on the disk is still a number: only the checksum tells.
#[test]
fn an_altered_cell_is_measured_again_and_said_to_be() {
    let mut stage = Stage::new();
    stage.run(&[], Known::Use).finished.unwrap();
    let inputs = stage.plan.kernels[0].cells[0].inputs.unwrap();
    let root = stage.dir.path().join("cache/derived/cell");
    let path = root.join(inputs.to_string()).join("cell.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let altered = text.replacen("\"ios\":1", "\"ios\":2", 1);
    assert_ne!(text, altered);
    std::fs::write(&path, altered).unwrap();

    let seen = stage.run(&[], Known::Use);
    assert_eq!(
        seen.started.len(),
        2,
        "one boot, one cell: {:?}",
        seen.started
    );
    let notes = on_disk(&seen.finished.unwrap()).notes;
    assert!(
        notes[0].ends_with("was altered; measuring it again"),
        "{notes:?}"
    );
}

/// Its manifest is right and its digest is asked for, but it is another kernel's answer.
#[test]
fn a_cached_cell_that_another_kernel_measured_is_no_figure() {
    let mut stage = Stage::new();
    let first = stage.run(&[], Known::Use).finished.unwrap().results;
    let inputs = |kernel: usize| stage.plan.kernels[kernel].cells[0].inputs.unwrap();
    let of_6_12 = first.cells[0].outcome.measured().unwrap();
    stage
        .cache
        .as_ref()
        .unwrap()
        .put(&inputs(1), of_6_12)
        .unwrap();

    let seen = stage.run(&[], Known::Use);
    assert_eq!(seen.started, ["boot 7.2", "7.2/ext4/read-4k"]);
    let again = on_disk(&seen.finished.unwrap());
    assert_eq!(again.cells[2].outcome, first.cells[2].outcome);
    let note = &again.notes[0];
    assert!(
        note.starts_with("7.2/ext4/read-4k: in the cached cell the guest runs 6.12.117"),
        "{note}"
    );
    assert!(note.ends_with("measuring it again"), "{note}");
}
