//! The typed event stream: the record and the terminal are fed by the same values.

use super::stop::{Running, StopReason};
use crate::{
    record::{CellResult, MemoryDigests, Sample, Turn},
    scenario::CellKey,
};
use diorama_wire::Phase;
use serde::{Serialize, Serializer};

/// Something that happened in a run, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// Name of the run.
        run_id: String,
        /// Lane of every figure in it.
        lane: String,
        /// Cells of the matrix.
        cells: usize,
        /// Cells whose digits are known already.
        cached: usize,
        /// Cells that will not run: they cannot, as known before any boot, or nobody asked for them.
        settled: usize,
        /// Guests at once.
        jobs: usize,
        /// Boots of the session, and how many of them were measured before it was interrupted; absent
        /// in the exact lane.
        #[serde(skip_serializing_if = "Option::is_none")]
        samples: Option<[usize; 2]>,
    },
    /// Something a reader must know.
    Note {
        /// The note as it is shown.
        text: String,
    },
    /// A guest starts: a boot to its checkpoint, or a cell.
    GuestStarted {
        /// The guest.
        guest: Guest,
        /// Host CPU it is pinned to.
        cpu: usize,
        /// How long it took last time, in seconds.
        expected_s: Option<f64>,
    },
    /// A guest's own progress.
    Progress {
        /// The guest.
        guest: Guest,
        /// What it does, or what is done with it.
        phase: Doing,
        /// Detail; may be empty.
        detail: String,
    },
    /// A kernel's checkpoint is there.
    CheckpointReady {
        /// Which kernel.
        kernel: String,
        /// Whether it was there before.
        cached: bool,
        /// From start to saved, in seconds of the host's clock.
        wall_s: f64,
        /// CPU seconds of QEMU.
        cpu_s: f64,
        /// Digest of the guest's memory.
        memory: String,
    },
    /// A kernel booted to its checkpoint, which could not be kept: its cells boot by themselves.
    CheckpointNotSaved {
        /// Which kernel.
        kernel: String,
        /// The reason.
        why: String,
    },
    /// A kernel's checkpoint could not be made; its cells end with this outcome.
    CheckpointFailed {
        /// Which kernel.
        kernel: String,
        /// The word for the outcome.
        outcome: String,
        /// The reason.
        why: String,
    },
    /// A cell came to its end; the result is whole.
    CellFinished {
        /// The result.
        result: Box<CellResult>,
    },
    /// One boot of a session came to its end. When the last of a cell's has, the cell follows.
    SampleFinished {
        /// What came of it.
        sample: Box<Sample>,
    },
    /// A cell that was measured again was compared with what was known (`--verify`, `--fresh`).
    CellVerified {
        /// The cell.
        cell: String,
        /// What differs; empty when every digit and the memory are equal.
        differences: Vec<String>,
        /// Memory as measured now.
        memory: MemoryDigests,
    },
    /// The run was asked to stop.
    Stopping {
        /// What stopped it.
        why: StopReason,
        /// What becomes of the guests that run.
        guests: Running,
    },
    /// The run is over.
    RunFinished {
        /// Cells with figures.
        measured: usize,
        /// All cells.
        cells: usize,
    },
}

/// What a guest does, or what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The agent is in this phase.
    Phase(Phase),
    /// It is started from its kernel's checkpoint.
    Restore,
    /// It is kept as its kernel's checkpoint.
    Save,
    /// Something cached was altered and is made anew.
    Rebuild,
    /// It is tried once more.
    Retry,
}

impl Doing {
    /// The word that events and the terminal show.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Doing::Phase(phase) => phase.name(),
            Doing::Restore => "restore",
            Doing::Save => "save",
            Doing::Rebuild => "rebuild",
            Doing::Retry => "retry",
        }
    }
}

impl Serialize for Doing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl Event {
    /// What a reader of the results must know of this event, besides its outcome.
    pub(super) fn noteworthy(&self) -> Option<String> {
        match self {
            Event::Progress {
                guest,
                phase: Doing::Rebuild | Doing::Retry,
                detail,
            } => Some(format!("{guest}: {detail}")),
            // What went wrong there, if anything did.
            Event::Progress {
                guest,
                phase: Doing::Phase(Phase::Artifacts),
                detail,
            } if !detail.is_empty() => Some(format!("{guest}: {detail}")),
            Event::CheckpointNotSaved { kernel, why } => Some(format!(
                "{kernel}: its checkpoint could not be saved, so each of its cells boots on its \
                 own; this takes longer but gives the same digits ({why})"
            )),
            _ => None,
        }
    }
}

/// Which guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Guest {
    /// The boot of a kernel to its checkpoint.
    Boot {
        /// Kernel's name.
        kernel: String,
    },
    /// A cell.
    Cell {
        /// Its key as text.
        cell: String,
        /// Which of its turns in a session.
        #[serde(skip_serializing_if = "Option::is_none")]
        turn: Option<Turn>,
    },
}

impl Guest {
    /// A cell, or one of its turns.
    #[must_use]
    pub fn cell(key: &CellKey, turn: Option<Turn>) -> Guest {
        Guest::Cell {
            cell: key.to_string(),
            turn,
        }
    }
}

impl std::fmt::Display for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Guest::Boot { kernel } => write!(f, "boot {kernel}"),
            // Every turn takes as long.
            Guest::Cell { cell, .. } => f.write_str(cell),
        }
    }
}
