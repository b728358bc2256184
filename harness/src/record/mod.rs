//! What a run leaves behind: results/<run-id>/ with manifest.json, events.jsonl, results.json and
//! the consoles' logs. This file holds the types; they are the documented, versioned schema.

mod dir;
#[cfg(test)]
pub(crate) mod documented;
mod identity;
mod session;

pub use crate::vocabulary::{
    CellInputs, DriveWork, HostSide, Instructions, MachineInputs, Measured, MemoryDigests, Origin,
    Outcome, VmmRecord,
};
pub use dir::{RunDir, begun, open, parse, rewrite};
pub use identity::contradictions;
pub use session::{Sample, Session, Turn};

use crate::{
    digest::Sha256,
    scenario::{CellKey, Scenario, SubjectKey},
};
use diorama_wire::Job;
use serde::{Deserialize, Serialize};

/// Version of results.json and of the cell cache.
pub const SCHEMA: u32 = 5;

/// The oldest version of results.json that is read: it lacks `machines` and the cells' `job`.
pub const OLDEST_SCHEMA: u32 = 4;

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
    /// What each subject's kernel was, in the scenario's order.
    pub kernels: Vec<KernelRecord>,
    /// The VMM that ran the guests.
    pub vmm: VmmRecord,
    /// Every kernel's machine, in the scenario's order; of a kernel that could not be used there is none.
    /// Empty in records of schema 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineRecord>,
    /// One per cell of the matrix, in plan order (kernel, file system, workload). Never fewer.
    pub cells: Vec<CellResult>,
    /// Every boot by itself, in the metal lane; its cells are what those come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
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
    /// The variant that it was measured with; absent for the scenario as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
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

impl KernelRecord {
    /// Which row it is.
    #[must_use]
    pub fn subject(&self) -> SubjectKey {
        SubjectKey {
            kernel: self.name.clone(),
            variant: self.variant.clone(),
        }
    }
}

/// A row's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// The kernel's name in the scenario.
    pub name: String,
    /// The variant that it is for; absent for the scenario as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Identity of the machine, and of its checkpoint: [`MachineInputs::digest`] of what follows.
    pub digest: Sha256,
    /// What its guests' digits depend on, but for the job.
    pub covers: MachineInputs,
}

impl MachineRecord {
    /// Which row's it is.
    #[must_use]
    pub fn subject(&self) -> SubjectKey {
        SubjectKey {
            kernel: self.name.clone(),
            variant: self.variant.clone(),
        }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// The cell's key.
    pub key: CellKey,
    /// Digest of everything its digits depend on ([`CellInputs`]: the machine of its kernel, its job, the
    /// VMM's plugin); absent when it never got that far.
    pub inputs: Option<Sha256>,
    /// What its guest was asked for; absent in records of schema 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Whether it was measured in this run or taken from the cache.
    pub origin: Origin,
    /// What came of it.
    pub outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../../docs/results.md");

    #[test]
    fn the_documented_fields_are_those_of_a_record() {
        let results = serde_json::to_value(fixture::results()).unwrap();
        let failures = serde_json::to_value(fixture::with_failures()).unwrap();
        let session = serde_json::to_value(fixture::session(1, 1.0)).unwrap();
        let varied = serde_json::to_value(fixture::varied()).unwrap();
        let mut found = BTreeSet::new();
        documented::keys(&results, &mut found);
        documented::keys(&varied, &mut found);
        documented::keys(&session, &mut found);
        documented::keys(&failures, &mut found);
        let documented = |key: &str| documented::has(PAGE, key);
        // Selectors of claims are named in the page's words.
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
