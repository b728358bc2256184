//! Signals. While guests run, stopping has two stages: the first SIGINT lets running guests finish,
//! the second ends them; SIGTERM and SIGHUP end them at once. In every case the record is whole when
//! the process ends; a run that does not get to its end after that is ended. At any other time a signal
//! ends the process at once, with a message: whatever the store holds is complete or a partial
//! download, which the next command resumes. Only what is [`Unfinished`], a device that must be given
//! back, is waited for.

use super::terminal;
use crate::{
    error::{Error, Exit, Result},
    run::{Stop, StopReason},
};
use std::{
    io::Write as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::Instant,
};

/// Whether a run listens, and decides what becomes of a signal.
static RUN_LISTENS: AtomicBool = AtomicBool::new(false);

/// How long a run may take to end after it was told to end at once. It takes milliseconds, unless a
/// disk or another process does not let it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take besides, where something is unfinished: a drive may need a minute to be ready
/// for its driver again (CAP.TO in the NVMe specification).
const PATIENCE_UNFINISHED: Duration = Duration::from_secs(120);

/// What must be done before a signal may end the process.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    unfinished: 0,
    told: None,
    finished: None,
});

struct Waiting {
    /// How many things are unfinished.
    unfinished: u32,
    /// The signal that came meanwhile and that no run heard.
    told: Option<Stop>,
    /// When the last of them was finished.
    finished: Option<Instant>,
}

impl Waiting {
    /// Until when the process may take longer than a run that was told to end, which it does already.
    fn extension(&self, patient: bool, now: Instant) -> Option<Instant> {
        match (self.unfinished, self.finished) {
            (0, finished) => finished
                .map(|at| at + PATIENCE)
                .filter(|until| *until > now),
            _ => (!patient).then(|| now + PATIENCE_UNFINISHED),
        }
    }
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that must be undone before this process ends. While it exists a signal that no run hears
/// is kept, and ends the process afterwards.
#[derive(Debug)]
pub struct Unfinished(());

/// From now on no signal ends the process at once.
#[must_use]
pub fn unfinished() -> Unfinished {
    waiting().unfinished += 1;
    Unfinished(())
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut waiting = waiting();
        waiting.unfinished -= 1;
        waiting.finished = Some(Instant::now());
        let told = waiting.told.filter(|_| waiting.unfinished == 0);
        drop(waiting);
        if let Some(stop) = told {
            end(stop);
        }
    }
}

fn install(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|e| Error::host("listening for signals").because(e))
}

/// From now on a signal ends the process, with a message and the documented exit code, unless a run
/// listens.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn end_the_process() -> Result<()> {
    let starting = |e| Error::host("starting to listen for signals").because(e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(starting)?;
    // Installed before this returns: a thread of its own may take its time to start.
    let entered = runtime.enter();
    let mut interrupt = install(SignalKind::interrupt())?;
    let mut terminate = install(SignalKind::terminate())?;
    let mut hangup = install(SignalKind::hangup())?;
    drop(entered);
    let listen = async move {
        let mut interrupts = 0;
        let mut overdue = None;
        let mut patient = false;
        loop {
            let stop = tokio::select! {
                _ = interrupt.recv() => Stop::Now(StopReason::Interrupted),
                _ = terminate.recv() => Stop::Now(StopReason::Terminated),
                _ = hangup.recv() => Stop::Now(StopReason::HungUp),
                () = until(overdue) => {
                    let why = overdue.map_or(StopReason::Interrupted, |(why, _)| why);
                    let longer = waiting().extension(patient, Instant::now());
                    if let Some(until) = longer {
                        (patient, overdue) = (true, Some((why, until)));
                        continue;
                    }
                    // What was measured is on the disk; guests end with this process.
                    end(Stop::Now(why));
                    continue;
                }
            };
            if !RUN_LISTENS.load(Ordering::SeqCst) {
                end_or_wait(stop);
            }
            interrupts += u32::from(stop == Stop::Now(StopReason::Interrupted));
            if let Stop::Now(why) = stop
                && (why != StopReason::Interrupted || interrupts > 1)
                && overdue.is_none()
            {
                overdue = Some((why, Instant::now() + PATIENCE));
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(listen))
        .map_err(starting)?;
    Ok(())
}

/// Until the deadline; for ever if there is none.
async fn until(deadline: Option<(StopReason, Instant)>) {
    match deadline {
        Some((_, at)) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ends the process, or leaves that to who has something to undo first.
fn end_or_wait(stop: Stop) {
    let mut waiting = waiting();
    if waiting.unfinished == 0 {
        drop(waiting);
        return end(stop);
    }
    waiting.told.get_or_insert(stop);
}

fn end(stop: Stop) {
    if let (Stop::Now(why), Some(exit)) = (stop, exit(stop)) {
        terminal::restore();
        // On a line of its own, whatever progress is being drawn.
        let _ = writeln!(
            std::io::stderr(),
            "\nerror: {why}\n  help: run the same command again: downloads resume where they \
             stopped"
        );
        std::process::exit(exit as i32);
    }
}

/// No run listens any more.
pub fn run_is_over() {
    RUN_LISTENS.store(false, Ordering::SeqCst);
}

/// Starts to listen for a run's signals, in a tokio runtime.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen() -> Result<watch::Sender<Stop>> {
    let (stop, _) = watch::channel(Stop::No);
    let mut interrupt = install(SignalKind::interrupt())?;
    let mut terminate = install(SignalKind::terminate())?;
    let mut hangup = install(SignalKind::hangup())?;
    RUN_LISTENS.store(true, Ordering::SeqCst);
    // One that came when nobody listened yet, and could not end the process.
    if let Some(told) = waiting().told.take() {
        told.raise(&stop);
    }
    let sender = stop.clone();
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                _ = interrupt.recv() => match *sender.borrow() {
                    Stop::No => Stop::Soon(StopReason::Interrupted),
                    Stop::Soon(_) | Stop::Now(_) => Stop::Now(StopReason::Interrupted),
                },
                _ = terminate.recv() => Stop::Now(StopReason::Terminated),
                _ = hangup.recv() => Stop::Now(StopReason::HungUp),
            };
            next.raise(&sender);
        }
    });
    Ok(stop)
}

/// The exit code of a run that was told to stop by a signal.
#[must_use]
pub fn exit(stop: Stop) -> Option<Exit> {
    match stop {
        Stop::Soon(StopReason::Interrupted) | Stop::Now(StopReason::Interrupted) => {
            Some(Exit::Interrupted)
        }
        Stop::Now(_) => Some(Exit::Terminated),
        Stop::Soon(_) | Stop::No => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_must_be_undone_is_waited_for_once_and_the_rest_has_its_time_after_it() {
        let now = Instant::now();
        let waiting = |unfinished, finished| Waiting {
            unfinished,
            told: None,
            finished,
        };
        let idle = waiting(0, None);
        assert_eq!(idle.extension(false, now), None);
        let busy = waiting(1, None);
        assert_eq!(busy.extension(false, now), Some(now + PATIENCE_UNFINISHED));
        assert_eq!(busy.extension(true, now), None);
        let done = waiting(0, Some(now));
        assert_eq!(done.extension(true, now), Some(now + PATIENCE));
        assert_eq!(done.extension(true, now + PATIENCE), None);
    }
}
