//! What a run leaves behind: results/<run-id>/ with manifest.json, events.jsonl, results.json and
//! the consoles' logs. This file holds the types; they are the documented, versioned schema.

mod dir;

pub use dir::{RunDir, open, write_atomically};

use crate::{
    digest::Sha256,
    scenario::{CellKey, Scenario},
};
use diorama_wire::CellReport;
use serde::{Deserialize, Serialize};

/// Version of results.json and of the cell cache.
pub const SCHEMA: u32 = 3;

/// results.json: everything a comparison or a report needs, and nothing of this host's paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Name of the run's directory.
    pub run_id: String,
    /// Start of the run, RFC 3339, UTC.
    pub started: String,
    /// Version of diorama that measured.
    pub diorama: String,
    /// The scenario, resolved.
    pub scenario: Scenario,
    /// What each kernel was, in the scenario's order.
    pub kernels: Vec<KernelRecord>,
    /// The VMM that ran the guests.
    pub vmm: VmmRecord,
    /// One per cell of the matrix, in plan order (kernel, file system, workload). Never fewer.
    pub cells: Vec<CellResult>,
    /// What a reader must know besides the figures ("6.12: not the locked kernel: ...").
    pub notes: Vec<String>,
    /// The command that gives these digits again, the run's own choices included; absent in records
    /// of earlier versions.
    #[serde(default)]
    pub replay: Option<String>,
    /// With which features file systems were formatted, and for whom: one sentence each.
    #[serde(default)]
    pub formatting: Vec<String>,
}

/// What a kernel was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Its name in the scenario.
    pub name: String,
    /// uname -r, once known.
    pub release: Option<String>,
    /// uname -v of the image: which build it is; absent where the image does not tell, and in records of
    /// earlier versions.
    #[serde(default)]
    pub build: Option<String>,
    /// Where it came from: "Debian linux-image-6.12... 6.12.117-1", "local build".
    pub origin: String,
    /// sha256 of the image that was booted.
    pub image: Option<Sha256>,
    /// sha256 of the initramfs it was booted with.
    pub initramfs: Option<Sha256>,
    /// Whether this is the kernel the lock names. A local build is not (records of earlier versions
    /// say that it is; the scenario tells).
    pub as_locked: bool,
}

/// The VMM that ran the guests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmmRecord {
    /// "QEMU emulator version 10.0.2 (Debian ...)".
    pub version: String,
    /// Digest of the executable and its libraries.
    pub digest: Sha256,
    /// "lock", "system" or "path".
    pub origin: String,
    /// Digest of the plugin that counts instructions; absent where this VMM takes none.
    #[serde(default)]
    pub plugin: Option<Sha256>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// The cell's key.
    pub key: CellKey,
    /// Digest of everything its digits depend on; absent when it never got that far.
    pub inputs: Option<Sha256>,
    /// Whether it was measured in this run or taken from the cache.
    pub origin: Origin,
    /// What came of it.
    pub outcome: Outcome,
}

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
    /// The kernel lacks something the cell needs.
    Unsupported {
        /// The message shown.
        why: String,
        /// The CONFIG_ options that are missing.
        config: Vec<String>,
    },
    /// The host side failed.
    HarnessFailed {
        /// The stage that failed.
        stage: String,
        /// The rendered error.
        why: String,
    },
    /// The run was stopped before its turn came.
    NotRun {
        /// What stopped it.
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;
    use serde_json::Value;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../../docs/results.md");

    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    found.insert(key.clone());
                    keys(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|v| keys(v, found)),
            _ => {}
        }
    }

    #[test]
    fn the_documented_fields_are_those_of_a_record() {
        let results = serde_json::to_value(fixture::results()).unwrap();
        let failures = serde_json::to_value(fixture::with_failures()).unwrap();
        let mut found = BTreeSet::new();
        keys(&results, &mut found);
        keys(&failures, &mut found);
        let documented = |key: &str| {
            [format!("`{key}`"), format!("`{key}[]`")]
                .iter()
                .any(|quoted| PAGE.contains(quoted))
        };
        // Selectors of claims, named in the page's words.
        let missing: Vec<_> = found
            .iter()
            .filter(|key| !documented(key) && !["filesystems", "workloads"].contains(&key.as_str()))
            .collect();
        assert!(missing.is_empty(), "docs/results.md lacks {missing:?}");
        for row in PAGE.lines().filter(|l| l.starts_with("| `")) {
            let name = row.split('`').nth(1).unwrap_or_default();
            let of_cells = PAGE.find(row) < PAGE.find("## manifest.json");
            let known = found.contains(name.trim_end_matches("[]")) || is_outcome(name);
            assert!(known || !of_cells, "a record has no `{name}`: {row}");
        }
    }

    fn is_outcome(word: &str) -> bool {
        let example = serde_json::json!({
            "is": word, "why": "", "console": [], "phase": "", "after_s": 1.0, "config": [],
            "stage": "",
        });
        word == "measured" || serde_json::from_value::<Outcome>(example).is_ok()
    }

    #[test]
    fn the_documented_cell_is_one() {
        let examples: Vec<&str> = PAGE.split("```json\n").skip(1).collect();
        let cell = examples[0].split("```").next().unwrap_or_default();
        let cell: CellResult = serde_json::from_str(cell).unwrap();
        let measured = cell.outcome.measured().unwrap();
        assert_eq!(measured.guest.repetitions.len(), 1);
    }
}
