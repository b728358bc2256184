//! Puts boots and cells on the host's cores.
//!
//! Cells of the exact lane are independent of each other, so order is free: boots come first, because
//! they are what other work waits for; cells follow in the order given, which in the metal lane is a
//! session's. Every guest is pinned to one core of its own.

use super::{
    event::{Event, Guest},
    executor::{Booted, Executor, Watch},
    stop::{Running, Stop, StopReason},
};
use crate::{
    clock,
    plan::{MachinePlan, Plan, Task},
    record::{CellResult, Origin, Outcome, Sample},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// How a plan is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// One guest at a time for each of these host CPUs. Never empty.
    pub cpus: Vec<usize>,
    /// Whether cells start from checkpoints, where the guest can.
    pub checkpoints: bool,
    /// How long each guest took last time, in seconds, by [`Guest`]'s text.
    pub expected_s: BTreeMap<String, f64>,
}

#[derive(Clone, Copy)]
enum Work {
    Boot { kernel: usize },
    Cell(Task),
}

enum Done<C> {
    Boot {
        kernel: usize,
        result: Result<Booted<C>, Outcome>,
    },
    Cell(Task, Outcome),
}

enum State<C> {
    /// Its cells boot by themselves.
    NotNeeded,
    Wanted,
    Running,
    There(C),
}

/// Does the tasks of `todo` and tells `sink` of everything as it happens. Each of them gets exactly one
/// [`Event::CellFinished`], or [`Event::SampleFinished`] if it is one turn of several.
pub async fn run<E: Executor>(
    plan: Rc<Plan>,
    todo: Vec<Task>,
    executor: Rc<E>,
    options: &Options,
    mut stop: watch::Receiver<Stop>,
    mut sink: impl AsyncFnMut(Event),
) {
    let mut waiting = todo;
    // Subjects whose machines are the same have one checkpoint, which the first of them boots.
    let boots = plan.boots();
    let mut states: Vec<State<E::Checkpoint>> = plan
        .kernels
        .iter()
        .enumerate()
        .map(|(k, kernel)| {
            let can = kernel
                .machine
                .as_ref()
                .is_some_and(MachinePlan::can_checkpoint);
            let needed = boots[k] == k && waiting.iter().any(|task| boots[task.kernel] == k);
            if can && needed && options.checkpoints {
                State::Wanted
            } else {
                State::NotNeeded
            }
        })
        .collect();
    let mut started = BTreeSet::new();
    let mut free = options.cpus.clone();
    let mut running: JoinSet<(usize, Done<E::Checkpoint>)> = JoinSet::new();
    let (progress, mut progressed) = mpsc::unbounded_channel::<Event>();
    // A run may have been told to stop before it got here: that is no change any more.
    let mut told = *stop.borrow_and_update();
    announce(told, &mut sink).await;

    while !matches!(told, Stop::Now(_)) {
        while told == Stop::No
            && let Some(cpu) = free.last().copied()
            && let Some(work) = next(&states, &boots, &waiting, &started)
        {
            free.pop();
            let (kernel, guest, timed_as) = match work {
                Work::Boot { kernel } => {
                    states[kernel] = State::Running;
                    let name = plan.kernels[kernel].subject.to_string();
                    let guest = Guest::Boot { kernel: name };
                    let timed_as = guest.to_string();
                    (kernel, guest, timed_as)
                }
                Work::Cell(task) => {
                    started.insert(task);
                    let key = &plan.kernels[task.kernel].cells[task.cell].key;
                    (
                        boots[task.kernel],
                        Guest::cell(key, task.turn),
                        key.timed_as(),
                    )
                }
            };
            let expected_s = options.expected_s.get(&timed_as).copied();
            sink(Event::GuestStarted {
                guest: guest.clone(),
                cpu,
                expected_s,
            })
            .await;
            let watch = watcher(guest, progress.clone());
            let (plan, executor) = (plan.clone(), executor.clone());
            let from = match (work, &states[kernel]) {
                (Work::Cell(_), State::There(checkpoint)) => Some(checkpoint.clone()),
                _ => None,
            };
            running.spawn_local(async move {
                (
                    cpu,
                    perform(&plan, &*executor, work, from, cpu, watch).await,
                )
            });
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some(event) = progressed.recv() => sink(event).await,
            changed = stop.changed(), if !matches!(told, Stop::Now(_)) => {
                told = if changed.is_ok() { *stop.borrow() } else { Stop::Now(StopReason::HarnessEnded) };
                announce(told, &mut sink).await;
                if let Stop::Now(_) = told {
                    break;
                }
            }
            Some(joined) = running.join_next() => match joined {
                Ok((cpu, done)) => {
                    while let Ok(event) = progressed.try_recv() {
                        sink(event).await;
                    }
                    free.push(cpu);
                    settle((&plan, &boots), done, &mut states, &mut waiting, &mut sink).await;
                }
                // A panic in a task is a bug; it must not look like a measured cell.
                Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                Err(_) => {}
            },
        }
    }
    // Dropping the set ends the guests that still run: their processes are killed with them.
    running.shutdown().await;
    let why = match told {
        Stop::No => "not finished".to_owned(),
        Stop::Soon(why) | Stop::Now(why) => why.to_string(),
    };
    let finished = Outcome::NotRun { why };
    for task in waiting {
        finish(&plan, task, finished.clone(), &mut sink).await;
    }
}

async fn announce(told: Stop, sink: &mut impl AsyncFnMut(Event)) {
    let (why, guests) = match told {
        Stop::No => return,
        Stop::Soon(why) => (why, Running::Finish),
        Stop::Now(why) => (why, Running::End),
    };
    sink(Event::Stopping { why, guests }).await;
}

fn next<C>(
    states: &[State<C>],
    boots: &[usize],
    waiting: &[Task],
    started: &BTreeSet<Task>,
) -> Option<Work> {
    let boot = states.iter().position(|s| matches!(s, State::Wanted));
    if let Some(kernel) = boot {
        return Some(Work::Boot { kernel });
    }
    waiting
        .iter()
        .filter(|task| !started.contains(task))
        .find(|task| {
            let state = &states[boots[task.kernel]];
            matches!(state, State::There(_) | State::NotNeeded)
        })
        .map(|task| Work::Cell(*task))
}

fn watcher(guest: Guest, to: mpsc::UnboundedSender<Event>) -> Watch {
    Box::new(move |doing, detail| {
        // Nobody listens any more only when the run is being torn down.
        let _ = to.send(Event::Progress {
            guest: guest.clone(),
            phase: doing,
            detail: detail.to_owned(),
        });
    })
}

/// One boot or one cell.
async fn perform<E: Executor>(
    plan: &Plan,
    executor: &E,
    work: Work,
    from: Option<E::Checkpoint>,
    cpu: usize,
    watch: Watch,
) -> Done<E::Checkpoint> {
    match work {
        Work::Boot { kernel } => {
            let result = executor.checkpoint(&plan.kernels[kernel], cpu, watch).await;
            Done::Boot { kernel, result }
        }
        Work::Cell(task) => {
            let of = &plan.kernels[task.kernel];
            let outcome = executor
                .cell(of, &of.cells[task.cell], from.as_ref(), cpu, watch)
                .await;
            Done::Cell(task, outcome)
        }
    }
}

async fn settle<C>(
    (plan, boots): (&Plan, &[usize]),
    done: Done<C>,
    states: &mut [State<C>],
    waiting: &mut Vec<Task>,
    sink: &mut impl AsyncFnMut(Event),
) {
    match done {
        Done::Boot {
            kernel,
            result: Ok(Booted::Saved(made)),
        } => {
            sink(Event::CheckpointReady {
                kernel: plan.kernels[kernel].subject.to_string(),
                cached: made.cached,
                wall_s: made.wall_s,
                cpu_s: made.cpu_s,
                memory: made.memory,
            })
            .await;
            states[kernel] = State::There(made.handle);
        }
        Done::Boot {
            kernel,
            result: Ok(Booted::NotSaved { why }),
        } => {
            sink(Event::CheckpointNotSaved {
                kernel: plan.kernels[kernel].subject.to_string(),
                why,
            })
            .await;
            states[kernel] = State::NotNeeded;
        }
        Done::Boot {
            kernel,
            result: Err(outcome),
        } => {
            sink(Event::CheckpointFailed {
                kernel: plan.kernels[kernel].subject.to_string(),
                outcome: outcome.word().to_owned(),
                why: outcome.why(),
            })
            .await;
            states[kernel] = State::NotNeeded;
            for task in waiting.extract_if(.., |task| boots[task.kernel] == kernel) {
                finish(plan, task, outcome.clone(), sink).await;
            }
        }
        Done::Cell(task, outcome) => {
            waiting.retain(|other| *other != task);
            // What a kernel lacks once, it lacks in every block, and mkfs refuses it again.
            let lacks = matches!(
                outcome,
                Outcome::Unsupported { .. } | Outcome::Refused { .. }
            );
            let why = outcome.why();
            finish(plan, task, outcome, sink).await;
            if lacks {
                let same = |other: &mut Task| other.cell() == task.cell();
                for other in waiting.extract_if(.., same) {
                    let why = why.clone();
                    finish(plan, other, Outcome::NotRun { why }, sink).await;
                }
            }
        }
    }
}

async fn finish(plan: &Plan, task: Task, outcome: Outcome, sink: &mut impl AsyncFnMut(Event)) {
    let cell = &plan.kernels[task.kernel].cells[task.cell];
    let key = cell.key.clone();
    let event = match task.turn {
        None => Event::CellFinished {
            result: Box::new(CellResult {
                key,
                inputs: cell.inputs,
                job: Some(cell.job.clone()),
                origin: Origin::Measured,
                outcome,
            }),
        },
        Some(at) => Event::SampleFinished {
            sample: Box::new(Sample {
                at,
                key,
                ended: clock::stamp().unwrap_or_default(),
                outcome,
            }),
        },
    };
    sink(event).await;
}
