//! Two-stage stopping: the first SIGINT lets running guests finish, the second ends them; SIGTERM
//! and SIGHUP end them at once. In every case the record is whole when the process ends.

use crate::{
    error::{Error, Exit, Result},
    run::Stop,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Why a run was told to stop, for messages, and the exit code that belongs to it.
pub const INTERRUPTED: &str = "interrupted (SIGINT)";
const TERMINATED: &str = "terminated (SIGTERM)";
const HUNG_UP: &str = "hung up (SIGHUP)";

/// Starts to listen for signals, in a tokio runtime.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen() -> Result<watch::Sender<Stop>> {
    let (stop, _) = watch::channel(Stop::No);
    let install = |kind| signal(kind).map_err(|e| Error::host("listening for signals").because(e));
    let mut interrupt = install(SignalKind::interrupt())?;
    let mut terminate = install(SignalKind::terminate())?;
    let mut hangup = install(SignalKind::hangup())?;
    let sender = stop.clone();
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                _ = interrupt.recv() => match *sender.borrow() {
                    Stop::No => Stop::Soon(INTERRUPTED),
                    Stop::Soon(_) | Stop::Now(_) => Stop::Now(INTERRUPTED),
                },
                _ = terminate.recv() => Stop::Now(TERMINATED),
                _ = hangup.recv() => Stop::Now(HUNG_UP),
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
        Stop::Soon(INTERRUPTED) | Stop::Now(INTERRUPTED) => Some(Exit::Interrupted),
        Stop::Now(_) => Some(Exit::Terminated),
        Stop::Soon(_) | Stop::No => None,
    }
}
