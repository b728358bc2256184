//! manifest.json: what a reader needs to judge a run besides its figures.

use crate::{
    digest::Sha256,
    error::Result,
    host::{facts::HostFacts, hygiene::Hygiene},
    plan::Plan,
    record::{KernelRecord, RunDir, SCHEMA, VmmRecord},
    run::Slots,
    scenario::Lane,
    vocabulary::MachineInputs,
};
use serde::Serialize;
use std::{collections::BTreeMap, env, path::Path};

#[derive(Serialize)]
struct RunManifest<'a> {
    schema: u32,
    run_id: &'a str,
    diorama: &'a str,
    lane: Lane,
    lane_words: String,
    command: Vec<String>,
    host: HostFacts,
    /// What of the host disturbs the figures, by the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    hygiene: Option<&'a Hygiene>,
    vmm: &'a VmmRecord,
    cpus: &'a [usize],
    kernels: Vec<ManifestKernel<'a>>,
    cells: BTreeMap<String, Option<Sha256>>,
}

#[derive(Serialize)]
struct ManifestKernel<'a> {
    record: &'a KernelRecord,
    checkpoint: Option<Sha256>,
    machine: Option<&'a MachineInputs>,
}

/// Writes it into the run's directory; `cache` is the store's.
///
/// # Errors
/// When the disk refuses.
pub fn write(
    dir: &RunDir,
    plan: &Plan,
    cache: &Path,
    slots: &Slots,
    hygiene: Option<&Hygiene>,
) -> Result<()> {
    let manifest = RunManifest {
        schema: SCHEMA,
        run_id: dir.run_id(),
        diorama: env!("CARGO_PKG_VERSION"),
        lane: plan.scenario.lane(),
        lane_words: plan.scenario.lane().to_string(),
        command: env::args().collect(),
        host: HostFacts::probe(&[("cache", cache), ("results", dir.path())]),
        hygiene,
        vmm: &plan.vmm,
        cpus: &slots.cpus,
        kernels: plan
            .kernels
            .iter()
            .map(|k| ManifestKernel {
                record: &k.record,
                checkpoint: k.machine.as_ref().map(|m| m.checkpoint),
                machine: k.machine.as_ref().map(|m| &m.inputs),
            })
            .collect(),
        cells: plan
            .cells()
            .map(|(_, c)| (c.key.to_string(), c.inputs))
            .collect(),
    };
    dir.write_json("manifest.json", &manifest).map(drop)
}
