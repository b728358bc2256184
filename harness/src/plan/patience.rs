//! How long the phases of a guest may take: by the wall clock a runtime is the host's own time, and a
//! drive's size decides how long it takes to make it ready (pure).

use super::Plan;
use crate::{
    scenario::{Clock, Scenario, WorkloadSpec},
    units::{show_bytes, show_nanos},
    vm::Deadlines,
};
use diorama_wire::{Bound, NvmeFormat, Precondition, Workload};
use std::time::Duration;

/// What the slowest machine that is used writes and reads in a second, in bytes: an emulated drive under
/// TCG, every block of which is checked. A deadline waits for such a one.
const SLOWEST: u64 = 20 << 20;

/// What a drive of today writes sequentially in a second, in bytes; for estimates.
const USUAL: u64 = 1 << 30;

/// Formatting and discarding take seconds on most drives; so long is waited for each, s. It is the agent's
/// own timeout of Format NVM.
const ERASE_S: u64 = 600;

/// How long filling a drive of unknown size is waited for, s: a day.
const UNKNOWN_FILL_S: u64 = 24 * 3600;

/// I/Os of a second on the slowest machine.
const SLOWEST_IOPS: u64 = 500;

impl Plan {
    /// How long anything of it may take: `least`, and by the wall clock what runtimes, files and the drive
    /// take besides.
    #[must_use]
    pub fn deadlines(&self, least: Deadlines) -> Deadlines {
        let all = self.scenario.all().map(|(_, scenario)| {
            let phase = deadlines(&scenario, least).phase;
            deadline(&scenario, phase)
        });
        Deadlines {
            phase: all.max().unwrap_or(least.phase),
            ..least
        }
    }

    /// Workloads of all rows, each once; one that a variant changes has the variant's name behind its own.
    fn workloads(&self) -> Vec<WorkloadSpec> {
        let mut all: Vec<WorkloadSpec> = Vec::new();
        for (variant, scenario) in self.scenario.all() {
            for workload in &scenario.workloads {
                if (all.iter())
                    .any(|known| (&known.job, &known.fio) == (&workload.job, &workload.fio))
                {
                    continue;
                }
                let mut workload = workload.clone();
                if let Some(variant) = variant {
                    workload.name = format!("{} of {}", workload.name, variant.name);
                }
                all.push(workload);
            }
        }
        all
    }

    /// What workloads cost that are longer than the usual deadline, which follows them. By the wall clock
    /// the session's cost says it.
    #[must_use]
    pub fn long(&self, usual: Duration) -> Vec<String> {
        if self.scenario.clock == Clock::Wall {
            return Vec::new();
        }
        let runs = self.scenario.measure.repetitions.saturating_add(1);
        let of = |workload: &WorkloadSpec| {
            let seconds = estimate_s(&workload.job, self.scenario.clock);
            (seconds * 5.0 > usual.as_secs_f64()).then(|| {
                format!(
                    "workload {}: each of the {runs} runs of a cell may take {seconds:.0} s of this \
                     host's time, and more where it is slow or busy; the deadline follows",
                    workload.name
                )
            })
        };
        self.workloads().iter().filter_map(of).collect()
    }

    /// Workloads whose repetitions may not end before their deadline, each with its estimate: to be
    /// said before hours are spent on it.
    #[must_use]
    pub fn slow(&self, deadline: Duration) -> Vec<String> {
        let workloads = self.workloads();
        let slow = workloads.iter().filter_map(|workload| {
            let seconds = estimate_s(&workload.job, self.scenario.clock);
            (seconds > deadline.as_secs_f64()).then(|| {
                format!(
                    "workload {}: a repetition may take {seconds:.0} s of this host's time, but \
                     its deadline is {} s: use a smaller runtime or number_ios",
                    workload.name,
                    deadline.as_secs()
                )
            })
        });
        slow.collect()
    }
}

/// How long a phase of a guest may take, if nobody says it: long enough for the longest workload.
fn deadline(scenario: &Scenario, usual: Duration) -> Duration {
    let of = |w: &WorkloadSpec| estimate_s(&w.job, scenario.clock);
    let longest = scenario.workloads.iter().map(of).fold(0.0, f64::max);
    // A loaded host is several times slower than the estimate.
    let needed = Duration::try_from_secs_f64(longest * 5.0).unwrap_or(Duration::MAX);
    usual.max(needed)
}

/// Guest instructions that a host executes in a second, roughly (QEMU's TCG on today's machines).
const INSTRUCTIONS_PER_S: f64 = 4e8;
/// Guest instructions of a small I/O, kernel and engine together, roughly.
const INSTRUCTIONS_PER_IO: f64 = 15_000.0;

/// Seconds of the host's time that a repetition takes at most, roughly. Under the instruction clock an
/// instruction is a nanosecond of the guest's time, and idle time costs nothing.
pub(super) fn estimate_s(job: &Workload, clock: Clock) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let instructions = match job.bound {
        Bound::Runtime(ns) if clock == Clock::Wall => return ns as f64 / 1e9,
        Bound::Runtime(ns) => ns as f64,
        Bound::Ios(ios) => ios as f64 * f64::from(job.numjobs) * INSTRUCTIONS_PER_IO,
    };
    instructions / INSTRUCTIONS_PER_S
}

/// `least`, longer by what the scenario's longest phase takes. Under the instruction clock the guest's
/// time is not the host's, and nothing follows from it.
fn deadlines(scenario: &Scenario, least: Deadlines) -> Deadlines {
    if scenario.clock == Clock::Instructions {
        return least;
    }
    let longest = scenario.workloads.iter().map(|w| longest_s(&w.job));
    let workload = longest.max().unwrap_or(0);
    let warm_up = scenario.measure.ramp_time_ns.div_ceil(1_000_000_000);
    let phase = workload.max(warm_up).max(conditioning_s(scenario, SLOWEST));
    Deadlines {
        phase: least.phase + Duration::from_secs(phase),
        ..least
    }
}

/// The longest of: writing the files or checking them, and one repetition.
fn longest_s(job: &Workload) -> u64 {
    let files = job.footprint().unwrap_or(0).div_ceil(SLOWEST);
    let repetition = match job.bound {
        Bound::Runtime(ns) => ns.div_ceil(1_000_000_000),
        Bound::Ios(ios) => ios
            .saturating_mul(job.numjobs.into())
            .div_ceil(SLOWEST_IOPS),
    };
    // No limit that anybody waits for, and no overflow.
    files.max(repetition).min(30 * 24 * 3600)
}

/// What making the drive ready takes, of which so many bytes are written in a second.
fn conditioning_s(scenario: &Scenario, bytes_per_s: u64) -> u64 {
    let asked = &scenario.conditioning;
    let erase = u64::from(asked.format == NvmeFormat::Erase) + u64::from(asked.discard);
    let fill = match asked.precondition {
        Precondition::None => 0,
        Precondition::SequentialFill => {
            drive_bytes(scenario).map_or(UNKNOWN_FILL_S, |bytes| bytes.div_ceil(bytes_per_s))
        }
    };
    erase * ERASE_S + fill
}

/// What making the drive ready takes before every cell, s, on a drive of today: erasing one takes seconds
/// there; what lasts from one cell to the next is not done again.
pub(super) fn every_cell_s(scenario: &Scenario) -> u64 {
    let asked = &scenario.conditioning;
    let erases = u64::from(asked.format == NvmeFormat::Erase) + u64::from(asked.discard);
    let fills = asked.precondition == Precondition::SequentialFill;
    let lasts = asked.fill_lasts() && scenario.device.kind().keeps();
    let fill = match drive_bytes(scenario) {
        Some(bytes) if fills && !lasts => bytes.div_ceil(USUAL),
        _ => 0,
    };
    5 * erases + fill
}

/// The drive's size; none of one passed through, which its guests alone can ask.
fn drive_bytes(scenario: &Scenario) -> Option<u64> {
    scenario.device.in_guest().size()
}

/// What filling the drive costs, where a scenario asks for it: said before anything is erased.
pub(super) fn filling(scenario: &Scenario) -> Option<String> {
    let asked = &scenario.conditioning;
    if asked.precondition == Precondition::None {
        return None;
    }
    let (size, takes) = match drive_bytes(scenario) {
        Some(bytes) => {
            let seconds = bytes.div_ceil(USUAL);
            let takes = show_nanos(seconds.saturating_mul(1_000_000_000));
            (show_bytes(bytes), format!("about {takes} at 1 GiB/s"))
        }
        None => (
            "whose size its guests find".to_owned(),
            "about 17 minutes per TiB at 1 GiB/s".to_owned(),
        ),
    };
    let when = match asked.fill_lasts() && scenario.device.kind().keeps() {
        true => "once, before the first cell",
        false => "before every cell, because it does not last from one to the next",
    };
    Some(format!(
        "the whole drive, {size}, is written {when}: {takes}; a drive with a smaller write cache takes \
         several times as long"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;
    use crate::scenario::{Device, HostDisk};
    use diorama_wire::Conditioning;

    fn metal(change: impl FnOnce(&mut Scenario)) -> Scenario {
        let mut scenario = fixture::results().scenario;
        scenario.clock = Clock::Wall;
        scenario.device = Device::Disk(HostDisk {
            serial: "S1".into(),
            size: 512 << 30,
            block_size: 512,
            queues: 4,
            scheduler: "none".into(),
        });
        change(&mut scenario);
        scenario
    }

    fn phase_s(scenario: &Scenario) -> u64 {
        deadlines(scenario, Deadlines::default()).phase.as_secs()
    }

    #[test]
    fn deadlines_follow_the_runtime_the_files_and_the_warm_up() {
        let least = Deadlines::default().phase.as_secs();
        let file = |bytes| metal(move |s| s.workloads[0].job.file_size = bytes);
        assert_eq!(phase_s(&file(2 << 30)), least + 103);
        let long = metal(|s| s.workloads[0].job.bound = Bound::Runtime(300_000_000_000));
        assert_eq!(phase_s(&long), least + 300);
        let warm = metal(|s| s.measure.ramp_time_ns = 400_000_000_000);
        assert_eq!(phase_s(&warm), least + 400);
        let mut exact = warm;
        exact.clock = Clock::Instructions;
        assert_eq!(phase_s(&exact), least, "the guest's time is not the host's");
        let endless = metal(|s| s.workloads[0].job.bound = Bound::Ios(u64::MAX));
        assert!(phase_s(&endless) > least);
    }

    #[test]
    fn what_filling_a_drive_costs_is_said_before_it_is_done() {
        let fill = |discard| {
            metal(move |s| {
                s.conditioning = Conditioning {
                    precondition: Precondition::SequentialFill,
                    discard,
                    ..Conditioning::default()
                };
            })
        };
        assert_eq!(filling(&metal(|_| {})), None);
        insta::assert_snapshot!(filling(&fill(false)).unwrap(), @"the whole drive, 512 GiB, is written once, before the first cell: about 512 s at 1 GiB/s; a drive with a smaller write cache takes several times as long");
        insta::assert_snapshot!(filling(&fill(true)).unwrap(), @"the whole drive, 512 GiB, is written before every cell, because it does not last from one to the next: about 512 s at 1 GiB/s; a drive with a smaller write cache takes several times as long");
        assert!(phase_s(&fill(false)) > 26_000);
        assert!(phase_s(&metal(|s| s.conditioning.discard = true)) >= 780);
    }
}
