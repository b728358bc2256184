//! Signals. While guests run, stopping has two stages: the first SIGINT lets running guests finish,
//! the second ends them; SIGTERM and SIGHUP end them at once. In every case the record is whole when
//! the process ends; a run that does not get to its end after that is ended. At any other time a signal ends the process at once, with a message: whatever
//! the store holds is complete or a partial download, which the next command resumes.

use super::terminal;
use crate::{
    error::{Error, Exit, Result},
    run::{Stop, StopReason},
};
use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
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
        loop {
            let stop = tokio::select! {
                _ = interrupt.recv() => Stop::Now(StopReason::Interrupted),
                _ = terminate.recv() => Stop::Now(StopReason::Terminated),
                _ = hangup.recv() => Stop::Now(StopReason::HungUp),
                () = until(overdue) => {
                    // What was measured is on the disk; guests end with this process.
                    end(Stop::Now(overdue.map_or(StopReason::Interrupted, |(why, _)| why)));
                    continue;
                }
            };
            if !RUN_LISTENS.load(Ordering::SeqCst) {
                end(stop);
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
