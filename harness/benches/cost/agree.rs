//! What `cargo xtask agree` adds to a run of scenarios/agree.toml: the user-space instructions of
//! every engine, and the tables.

use super::{
    instructions::Counter,
    lab::{Lab, cell_of},
};
use diorama::{
    compare::{agreement, compare},
    error::{Error, Result},
    record,
    report::{self, Style},
};
use std::fs;

/// The scenario.
pub const SCENARIO: &str = "scenarios/agree.toml";

/// User space does not see the file system: one is enough to count on.
const FILESYSTEM: &str = "ext4";

/// Counts, prints the tables and writes them into the run's directory.
pub fn add(lab: &Lab, run: &str) -> Result<()> {
    let (dir, results) = record::open(&lab.root.join("results"), run)?;
    let counter = Counter::new(lab)?;
    let mut instructions = agreement::Instructions::new();
    for kernel in &lab.plan.kernels {
        for workload in &lab.plan.scenario.workloads {
            let cell = cell_of(kernel, FILESYSTEM, &workload.name)?;
            let per_io = counter.per_io(kernel, &cell.job)?;
            let key = (kernel.record.name.clone(), workload.name.clone());
            instructions.insert(key, per_io);
        }
    }
    let comparison = compare(&[&results]);
    let pairs = agreement::agreement(&results.scenario, &comparison, &instructions);
    let lane = results.scenario.lane;
    print!(
        "{}",
        report::agreement_text(&pairs, lane, &Style::default())
    );
    let path = dir.join("agreement.md");
    fs::write(&path, report::agreement_markdown(&pairs, lane))
        .map_err(|e| Error::io("writing", &path, e))?;
    println!("written to {}", path.display());
    Ok(())
}
