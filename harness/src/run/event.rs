//! The typed event stream: the record and the terminal are fed by the same values.

use crate::record::{CellResult, MemoryDigests};
use serde::Serialize;

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
        /// Cells that cannot run, as known before any boot.
        settled: usize,
        /// Guests at once.
        jobs: usize,
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
        /// [`diorama_wire::Phase::name`], or a host-side step.
        phase: String,
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
        /// What stopped the run.
        why: String,
        /// What becomes of the guests that run.
        guests: &'static str,
    },
    /// The run is over.
    RunFinished {
        /// Cells with figures.
        measured: usize,
        /// All cells.
        cells: usize,
    },
}

/// A host-side step in [`Event::Progress`]: something cached was altered and is made anew.
pub(super) const REBUILD: &str = "rebuild";

/// A host-side step in [`Event::Progress`]: a guest is tried once more.
pub(super) const RETRY: &str = "retry";

impl Event {
    /// What a reader of the results must know of this event, besides its outcome.
    pub(super) fn noteworthy(&self) -> Option<String> {
        match self {
            Event::Progress {
                guest,
                phase,
                detail,
            } if phase == REBUILD || phase == RETRY => Some(format!("{guest}: {detail}")),
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
    },
}

impl std::fmt::Display for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Guest::Boot { kernel } => write!(f, "boot {kernel}"),
            Guest::Cell { cell } => f.write_str(cell),
        }
    }
}
