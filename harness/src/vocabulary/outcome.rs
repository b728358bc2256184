//! What came of a cell: a failure is data, like a figure.

use super::Accel;
use diorama_wire::CellReport;
use serde::{Deserialize, Serialize};

/// Whether a cell was measured in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In this run.
    Measured,
    /// Equal inputs had been measured before.
    Cached,
}

/// What came of a cell. A failure is never a zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Outcome {
    /// Measured, and its own answer checked.
    Measured(Box<Measured>),
    /// It ran, but its answer was wrong.
    WrongResult {
        /// The guest's words.
        why: String,
    },
    /// Panic, oops, or an agent that ended or failed a step.
    GuestFault {
        /// What was seen.
        why: String,
        /// The console's last lines.
        console: Vec<String>,
    },
    /// A phase exceeded its deadline.
    TimedOut {
        /// Name of the phase.
        phase: String,
        /// The deadline in seconds.
        after_s: f64,
        /// The console's last lines.
        console: Vec<String>,
    },
    /// What the scenario asks for is refused, by mkfs for one: bad input, and no kernel's fault.
    Refused {
        /// The guest's words, with the program's own complaint.
        why: String,
    },
    /// The kernel lacks something the cell needs.
    Unsupported {
        /// The message shown.
        why: String,
        /// The CONFIG_ options that are missing.
        config: Vec<String>,
    },
    /// The host side failed.
    HarnessFailed {
        /// Where.
        stage: String,
        /// The rendered error.
        why: String,
    },
    /// The run was stopped before its turn came.
    NotRun {
        /// What stopped the run.
        why: String,
    },
}

impl Outcome {
    /// The word that tables and events show.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Measured(_) => "measured",
            Outcome::WrongResult { .. } => "wrong result",
            Outcome::GuestFault { .. } => "guest fault",
            Outcome::TimedOut { .. } => "timed out",
            Outcome::Refused { .. } => "refused",
            Outcome::Unsupported { .. } => "unsupported",
            Outcome::HarnessFailed { .. } => "harness failed",
            Outcome::NotRun { .. } => "not run",
        }
    }

    /// Why there are no figures, in one sentence; empty when there are.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Outcome::Measured(_) => String::new(),
            Outcome::WrongResult { why }
            | Outcome::Refused { why }
            | Outcome::GuestFault { why, .. }
            | Outcome::NotRun { why } => why.clone(),
            Outcome::TimedOut { phase, after_s, .. } => {
                format!("the guest was still in phase `{phase}` after {after_s:.0} s")
            }
            Outcome::Unsupported { why, config } if config.is_empty() => why.clone(),
            Outcome::Unsupported { why, config } => format!("{why} ({})", config.join(", ")),
            Outcome::HarnessFailed { stage, why } => format!("{stage}: {why}"),
        }
    }

    /// The word, and why: `wrong result (torn)`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.why() {
            why if why.is_empty() => self.word().to_owned(),
            why => format!("{} ({why})", self.word()),
        }
    }

    /// The measured cell, if it is one.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Outcome::Measured(measured) => Some(measured),
            _ => None,
        }
    }
}

/// A measured cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Everything the guest said. In the exact lane equal inputs give an equal report.
    pub guest: CellReport,
    /// The instructions that it executed, counted one by one; absent where the VMM cannot count, and
    /// outside the exact lane.
    pub instructions: Option<Instructions>,
    /// Digests of the guest's memory.
    pub memory: MemoryDigests,
    /// Host-side facts that may differ between two equal runs.
    pub host: HostSide,
}

/// Executed instructions, counted one by one by a plugin of the VMM's. Exact: the guest cannot notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Instructions of all CPUs in the span of each repetition, in order. For fio's cells: from its
    /// start to its end, less those of the run that [`diorama_wire::FioOverhead`] describes.
    pub executed: Vec<u64>,
    /// The model device's own work; absent where the kernel has no names for its functions
    /// (`CONFIG_KALLSYMS`).
    pub drive: Option<DriveWork>,
}

/// What the model device did in place of a drive's DMA, in the first repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveWork {
    /// I/Os of that repetition's span.
    pub ios: u64,
    /// Instructions that found and moved their data.
    pub instructions: u64,
}

/// Digests (BLAKE3 over the numbers and contents of all pages that are not zero) of the guest's
/// whole memory, in hex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryDigests {
    /// At the checkpoint; absent for a guest that cannot stop itself.
    pub checkpoint: Option<String>,
    /// After the measurement; absent for a guest that cannot stop itself.
    pub end: Option<String>,
}

/// Host-side facts that may differ between two equal runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostSide {
    /// How results came back: "vhost-user-vsock" or "vhost-vsock".
    pub vsock: String,
    /// From start or restore to the report, in seconds of the host's clock.
    pub wall_s: f64,
    /// The same in CPU seconds of the QEMU process.
    pub cpu_s: f64,
    /// Whether the cell started from a checkpoint.
    pub checkpoint: bool,
    /// What executed the guest.
    pub accel: Accel,
}
