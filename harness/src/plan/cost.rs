//! How long a session takes by the wall clock: to be said before anything is erased (pure).

use super::{
    Plan, Task,
    patience::{self, estimate_s},
};
use crate::{scenario::Clock, text::counted, vocabulary::Accel};
use diorama_wire::Job;
use std::collections::BTreeMap;

/// Seconds from QEMU's start to a guest's first line, and from its last to QEMU's end: with KVM, and under
/// TCG.
const BOOT_S: [f64; 2] = [6.0, 15.0];

/// Bytes of a file that are laid out, or read back and checked, in a second: with KVM on a drive of today,
/// and under TCG.
const FILE_BYTES_PER_S: [f64; 2] = [500e6, 60e6];

/// What a session takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionCost {
    /// Boots.
    pub boots: usize,
    /// Seconds of the host's clock in all.
    pub seconds: f64,
    /// How many of the boots are of cells that took as long last time; the others are estimates.
    pub known: usize,
}

impl Plan {
    /// What these tasks take, where the cells' times of the last run are known (`took`, in seconds, by the
    /// cell's name) by those, else by estimate.
    #[must_use]
    pub fn cost(&self, tasks: &[Task], took: &BTreeMap<String, f64>) -> SessionCost {
        let mut cost = SessionCost {
            boots: tasks.len(),
            seconds: 0.0,
            known: 0,
        };
        for task in tasks {
            let kernel = &self.kernels[task.kernel];
            let cell = &kernel.cells[task.cell];
            let known = took.get(&cell.key.timed_as());
            cost.known += usize::from(known.is_some());
            let accel = kernel.machine.as_ref().map(|m| m.spec.time.accel());
            let (windows, all) = self.boot_s(&cell.job, accel.unwrap_or(Accel::Tcg));
            // The last run may have been one of shorter windows.
            cost.seconds += known.map_or(all, |known| known.max(windows));
        }
        cost
    }

    /// One boot: its warm-up and repetitions, and all of it, from start to end with the file laid out and
    /// checked.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn boot_s(&self, of: &Job, accel: Accel) -> (f64, f64) {
        let at = usize::from(accel == Accel::Tcg);
        let (job, measure) = (&of.workload, &of.measure);
        let window = estimate_s(job, Clock::Wall);
        // A warm-up of so many I/Os is short beside a whole repetition.
        let warm_up = match (measure.ramp_time_ns, measure.warmup_ios) {
            (0, 0) => window,
            (ramp, _) => ramp as f64 / 1e9,
        };
        let file = job.file_length() as f64 * f64::from(job.files());
        let windows = warm_up + window * f64::from(measure.repetitions);
        (
            windows,
            BOOT_S[at] + 2.0 * file / FILE_BYTES_PER_S[at] + windows + self.ready_s(),
        )
    }

    /// What is done to the drive before each cell.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn ready_s(&self) -> f64 {
        patience::every_cell_s(&self.scenario) as f64
    }
}

impl SessionCost {
    /// As plan and run say it: "about 2 h 13 min for 48 boots".
    #[must_use]
    pub fn words(&self) -> String {
        let minutes = (self.seconds / 60.0).round();
        let time = match minutes {
            m if m < 1.0 => format!("{:.0} s", self.seconds),
            m if m < 120.0 => format!("{m:.0} min"),
            m => format!("{:.0} h {:.0} min", (m / 60.0).floor(), m % 60.0),
        };
        let basis = match (self.known, self.boots) {
            (0, _) => "an estimate",
            (known, boots) if known == boots => "as the last runs of the same cells took",
            _ => "in part as the last runs of the same cells took",
        };
        format!("about {time} for {} ({basis})", counted(self.boots, "boot"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(seconds: f64, known: usize) -> String {
        let cost = SessionCost {
            boots: 48,
            seconds,
            known,
        };
        cost.words()
    }

    #[test]
    fn a_time_is_said_as_people_say_it_and_what_it_rests_on() {
        insta::assert_snapshot!(words(42.0, 0), @"about 1 min for 48 boots (an estimate)");
        insta::assert_snapshot!(words(3_000.0, 48), @"about 50 min for 48 boots (as the last runs of the same cells took)");
        insta::assert_snapshot!(words(30_000.0, 3), @"about 8 h 20 min for 48 boots (in part as the last runs of the same cells took)");
    }
}
