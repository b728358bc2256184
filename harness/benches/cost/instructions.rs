//! The agent's user-space instructions per I/O, in the very agent and guest that measure: those of
//! the profile's layer "agent" in the windows (system calls' entry stubs and the vDSO's clock among
//! them).

use super::lab::{Lab, cell_of};
use diorama::error::Result;

/// Counts for reads and writes of the oldest and the newest kernel.
pub fn measure(lab: &Lab, _runs: usize) -> Result<()> {
    println!("\nUser-space instructions of the agent per 4k I/O, all in (goal 300)");
    for name in ["5.10", "7.2"] {
        let (kernel, _) = lab.kernel(name)?;
        for workload in ["read-4k", "write-4k"] {
            let cell = cell_of(kernel, "ext4", workload)?;
            let (user, ios) = lab.block_on(lab.user(kernel, cell))?;
            println!("{name:6}  {workload:9}  {:.1}", user as f64 / ios as f64);
        }
    }
    Ok(())
}
