//! Puts boots and cells on the host's cores.
//!
//! Cells are independent of each other, so order is free: boots come first, because they are what
//! other work waits for; cells follow in plan order. Every guest is pinned to one core of its own.

use super::{
    event::{Event, Guest},
    executor::{Booted, Executor, Watch},
    stop::{Running, Stop, StopReason},
};
use crate::{
    plan::{MachinePlan, Plan},
    record::{CellResult, Origin, Outcome},
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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Boot { kernel: usize },
    Cell { kernel: usize, cell: usize },
}

enum Done<C> {
    Boot {
        kernel: usize,
        result: Result<Booted<C>, Outcome>,
    },
    Cell {
        kernel: usize,
        cell: usize,
        outcome: Outcome,
    },
}

enum State<C> {
    /// Its cells boot by themselves.
    NotNeeded,
    Wanted,
    Running,
    There(C),
}

/// Runs the cells of `todo` (pairs of kernel and cell indices into the plan) and tells `sink` of
/// everything as it happens. Every cell of `todo` gets exactly one [`Event::CellFinished`].
pub async fn run<E: Executor>(
    plan: Rc<Plan>,
    todo: Vec<(usize, usize)>,
    executor: Rc<E>,
    options: &Options,
    mut stop: watch::Receiver<Stop>,
    mut sink: impl AsyncFnMut(Event),
) {
    let mut waiting = todo;
    let mut states: Vec<State<E::Checkpoint>> = plan
        .kernels
        .iter()
        .enumerate()
        .map(|(k, kernel)| {
            let can = kernel
                .machine
                .as_ref()
                .is_some_and(MachinePlan::can_checkpoint);
            let needed = waiting.iter().any(|(kernel, _)| *kernel == k);
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
            && let Some(task) = next(&states, &waiting, &started)
        {
            free.pop();
            let guest = match task {
                Task::Boot { kernel } => {
                    states[kernel] = State::Running;
                    Guest::Boot {
                        kernel: plan.kernels[kernel].record.name.clone(),
                    }
                }
                Task::Cell { kernel, cell } => {
                    started.insert((kernel, cell));
                    Guest::Cell {
                        cell: plan.kernels[kernel].cells[cell].key.to_string(),
                    }
                }
            };
            let expected_s = options.expected_s.get(&guest.to_string()).copied();
            sink(Event::GuestStarted {
                guest: guest.clone(),
                cpu,
                expected_s,
            })
            .await;
            let watch = watcher(guest, progress.clone());
            let (plan, executor) = (plan.clone(), executor.clone());
            let from = match (&task, &states[kernel_of(task)]) {
                (Task::Cell { .. }, State::There(checkpoint)) => Some(checkpoint.clone()),
                _ => None,
            };
            running.spawn_local(async move {
                (cpu, work(&plan, &*executor, task, from, cpu, watch).await)
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
                    settle(&plan, done, &mut states, &mut waiting, &mut sink).await;
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
    for (kernel, cell) in waiting {
        finish(&plan, kernel, cell, finished.clone(), &mut sink).await;
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

fn kernel_of(task: Task) -> usize {
    match task {
        Task::Boot { kernel } | Task::Cell { kernel, .. } => kernel,
    }
}

fn next<C>(
    states: &[State<C>],
    waiting: &[(usize, usize)],
    started: &BTreeSet<(usize, usize)>,
) -> Option<Task> {
    let boot = states.iter().position(|s| matches!(s, State::Wanted));
    if let Some(kernel) = boot {
        return Some(Task::Boot { kernel });
    }
    waiting
        .iter()
        .filter(|cell| !started.contains(cell))
        .find(|(k, _)| matches!(states[*k], State::There(_) | State::NotNeeded))
        .map(|(kernel, cell)| Task::Cell {
            kernel: *kernel,
            cell: *cell,
        })
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
async fn work<E: Executor>(
    plan: &Plan,
    executor: &E,
    task: Task,
    from: Option<E::Checkpoint>,
    cpu: usize,
    watch: Watch,
) -> Done<E::Checkpoint> {
    match task {
        Task::Boot { kernel } => {
            let result = executor.checkpoint(&plan.kernels[kernel], cpu, watch).await;
            Done::Boot { kernel, result }
        }
        Task::Cell { kernel, cell } => {
            let of = &plan.kernels[kernel];
            let outcome = executor
                .cell(of, &of.cells[cell], from.as_ref(), cpu, watch)
                .await;
            Done::Cell {
                kernel,
                cell,
                outcome,
            }
        }
    }
}

async fn settle<C>(
    plan: &Plan,
    done: Done<C>,
    states: &mut [State<C>],
    waiting: &mut Vec<(usize, usize)>,
    sink: &mut impl AsyncFnMut(Event),
) {
    match done {
        Done::Boot {
            kernel,
            result: Ok(Booted::Saved(made)),
        } => {
            sink(Event::CheckpointReady {
                kernel: plan.kernels[kernel].record.name.clone(),
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
                kernel: plan.kernels[kernel].record.name.clone(),
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
                kernel: plan.kernels[kernel].record.name.clone(),
                outcome: outcome.word().to_owned(),
                why: outcome.why(),
            })
            .await;
            states[kernel] = State::NotNeeded;
            let (gone, left) = waiting.iter().partition(|(k, _)| *k == kernel);
            *waiting = left;
            let gone: Vec<(usize, usize)> = gone;
            for (kernel, cell) in gone {
                finish(plan, kernel, cell, outcome.clone(), sink).await;
            }
        }
        Done::Cell {
            kernel,
            cell,
            outcome,
        } => {
            waiting.retain(|w| *w != (kernel, cell));
            finish(plan, kernel, cell, outcome, sink).await;
        }
    }
}

async fn finish(
    plan: &Plan,
    kernel: usize,
    cell: usize,
    outcome: Outcome,
    sink: &mut impl AsyncFnMut(Event),
) {
    let cell = &plan.kernels[kernel].cells[cell];
    let result = CellResult {
        key: cell.key.clone(),
        inputs: cell.inputs,
        origin: Origin::Measured,
        outcome,
    };
    sink(Event::CellFinished {
        result: Box::new(result),
    })
    .await;
}
