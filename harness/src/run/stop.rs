//! How far a run has been told to stop, and why.

use serde::{Serialize, Serializer};
use std::fmt;
use tokio::sync::watch;

/// How far a run has been told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Go on.
    No,
    /// Start nothing new; let running guests finish.
    Soon(StopReason),
    /// End running guests.
    Now(StopReason),
}

/// Why a run was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT
    Interrupted,
    /// SIGTERM
    Terminated,
    /// SIGHUP
    HungUp,
    /// `--fail-fast`
    FailFast,
    /// A disk that is full, for one.
    NoRecord,
    /// Nobody is there any more who could tell.
    HarnessEnded,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopReason::Interrupted => "interrupted (SIGINT)",
            StopReason::Terminated => "terminated (SIGTERM)",
            StopReason::HungUp => "hung up (SIGHUP)",
            StopReason::FailFast => "a cell was not measured (--fail-fast)",
            StopReason::NoRecord => "the record cannot be written",
            StopReason::HarnessEnded => "the harness ended",
        })
    }
}

/// In events it is its words.
impl Serialize for StopReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What becomes of the guests that run when a run is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// They may finish.
    Finish,
    /// They are ended.
    End,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Running::Finish => "letting guests finish",
            Running::End => "killing guests",
        })
    }
}

/// In events it is its words.
impl Serialize for Running {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Stop {
    /// Tells a run to stop, at least this far. What was asked before stays, with its reason, unless
    /// this is more urgent: a failing disk must not call a SIGTERM off.
    pub fn raise(self, sender: &watch::Sender<Stop>) {
        sender.send_if_modified(|current| {
            let more = self.urgency() > current.urgency();
            if more {
                *current = self;
            }
            more
        });
    }

    fn urgency(self) -> u8 {
        match self {
            Stop::No => 0,
            Stop::Soon(_) => 1,
            Stop::Now(_) => 2,
        }
    }
}
