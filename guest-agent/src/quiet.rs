//! Waiting until nothing but this process wants the CPU.

use crate::{
    clock,
    fail::{Fail, Result},
    spin::spin,
};
use diorama_wire::{FailureKind, SpinCheck};
use std::time::Duration;

/// Instructions of one spin.
const INSTRUCTIONS: u64 = 10_000_000;

/// The spin must take its own time within one part in this many.
const TOLERANCE: u64 = 100;

/// So many spins in a row must be quiet: one may fall between two bursts.
const IN_A_ROW: u32 = 3;

/// Give up after this many spins.
const ATTEMPTS: u32 = 400;

/// Guest time between two spins; idle guest time is free under the instruction clock.
const PAUSE: Duration = Duration::from_millis(50);

/// Spins until the guest is quiet.
///
/// # Errors
/// When it is not after [`ATTEMPTS`] spins, or the clock does not count instructions.
pub fn wait() -> Result<SpinCheck> {
    let mut row = 0;
    let mut took_ns = 0;
    for attempts in 1..=ATTEMPTS {
        let start = clock::now();
        spin(INSTRUCTIONS / 2);
        took_ns = clock::now() - start;
        row = if is_quiet(took_ns) { row + 1 } else { 0 };
        if row == IN_A_ROW {
            return Ok(SpinCheck {
                instructions: INSTRUCTIONS,
                took_ns,
                attempts,
            });
        }
        std::thread::sleep(PAUSE);
    }
    Err(Fail::new(
        FailureKind::NotQuiet,
        format!(
            "a spin of {INSTRUCTIONS} instructions took {took_ns} ns, not within 1% of its own \
             time, after {ATTEMPTS} attempts"
        ),
    ))
}

/// Whether a spin took its own time: one nanosecond an instruction.
fn is_quiet(took_ns: u64) -> bool {
    took_ns.abs_diff(INSTRUCTIONS) <= INSTRUCTIONS / TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_is_quiet_within_one_percent_on_either_side() {
        for (took, quiet) in [
            (9_899_999, false),
            (9_900_000, true),
            (10_100_000, true),
            (10_100_001, false),
            (0, false),
        ] {
            assert_eq!(is_quiet(took), quiet, "{took}");
        }
    }
}
