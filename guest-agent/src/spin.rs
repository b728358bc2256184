//! A loop of a known number of instructions: under the instruction clock, of a known time.

use std::arch::asm;

/// Executes `2 * iterations` instructions (`dec`, `jnz`).
pub fn spin(iterations: u64) {
    if iterations == 0 {
        return;
    }
    // SAFETY: counts a register of its own down to zero.
    unsafe {
        asm!("2:", "dec {n}", "jnz 2b", n = inout(reg) iterations => _, options(nomem, nostack));
    }
}
