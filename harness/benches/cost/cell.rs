//! Where a restored cell's time goes.

use super::lab::{Lab, Mark, cell_of, median, show};
use diorama::error::Result;

/// Restores cells again and again and prints when each phase begins.
pub fn measure(lab: &Lab, runs: usize) -> Result<()> {
    println!("\nFrom `cont` of a restored cell, CPU seconds of QEMU ({runs} runs)");
    println!("cell                   to the warm-up       to the first measured I/O (goal 1.5)");
    let mut details = Vec::new();
    for kernel in &lab.plan.kernels {
        let name = &kernel.record.name;
        for (filesystem, workload) in [
            ("ext4", "write-4k"),
            ("xfs", "write-4k"),
            ("xfs", "read-4k"),
        ] {
            let cell = cell_of(kernel, filesystem, workload)?;
            let mut all = Vec::new();
            for _ in 0..runs {
                all.push(lab.block_on(lab.cell(lab.vmm(), kernel, &cell.job))?);
            }
            let at = |phase: &str| -> Vec<f64> {
                all.iter().map(|marks| reached(marks, phase)).collect()
            };
            let key = format!("{name}/{filesystem}/{workload}");
            println!(
                "{key:21}  {:19}  {}",
                show(&at("warmup")),
                show(&at("measure 1/"))
            );
            let text: Vec<String> = all[0]
                .iter()
                .map(|m| format!("{} {:.2}", m.phase, median(&at(&m.phase)).0))
                .collect();
            details.push(format!("{key:21}  {}", text.join(", ")));
        }
    }
    println!("reached after CPU seconds:\n{}", details.join("\n"));
    Ok(())
}

fn reached(marks: &[Mark], phase: &str) -> f64 {
    let mark = marks.iter().find(|m| m.phase.starts_with(phase));
    mark.map_or(f64::NAN, |m| m.cpu_s)
}
