//! The guest's memory and CPUs and the repetitions: quantities and their limits (pure).

use super::parse::RawMeasure;
use super::problems::{At, Place, Problems};
use super::rules::{bounded, place, quantity};
use super::workload::{footprint, written_ios};
use super::{Clock, Device, DeviceKind, Overrides, WorkloadSpec, defaults};
use crate::units::{parse_bytes, parse_nanos, show_bytes, show_nanos};
use diorama_wire::{Layout, Measure, Workload};

const MIB: u64 = 1 << 20;
/// The guest's timer tick at Debian's CONFIG_HZ=250, in nanoseconds.
const TICK_NS: u64 = 4_000_000;
/// What kernel, initramfs and agent need besides the device's data, in MiB.
const MEMORY_BESIDES_DATA_MIB: u64 = 512;
/// How much of that the blocks in flight may take, in MiB; the guest's memory must hold more besides.
const IN_FLIGHT_MIB: u64 = 256;
/// What a file system of either kind writes besides the file (journal, inodes), in bytes.
const METADATA: u64 = 64 * MIB;
/// Longest warm-up by time, ns.
const MAX_RAMP_NS: u64 = 600_000_000_000;
/// Most repetitions of a cell.
pub const MOST_REPETITIONS: u32 = 1000;
/// CPUs of the largest guest.
pub(super) const MAX_SMP: u32 = 8;

/// The guest's CPUs.
pub(super) fn smp(raw: Option<&At<u64>>, problems: &mut Problems) -> Option<u32> {
    bounded(raw, defaults::GUEST_SMP, (1, MAX_SMP), problems)
}

/// The guest's RAM in MiB: it holds a model device's data too.
pub(super) fn memory(
    raw: Option<&At<String>>,
    device: Option<&Device>,
    workloads: &[WorkloadSpec],
    problems: &mut Problems,
) -> Option<u32> {
    let bytes = quantity(raw, defaults::GUEST_MEMORY, parse_bytes, problems)?;
    let at = place(raw, "guest.memory");
    let mib = u32::try_from(bytes / MIB)
        .ok()
        .filter(|_| bytes.is_multiple_of(MIB));
    let Some(mib) = mib.filter(|mib| *mib <= 1 << 20) else {
        let what = format!("{} is not a valid memory size", show_bytes(bytes));
        problems.add(&at, what, "use whole MiB, up to 1024GiB");
        return None;
    };
    // A drive's data is elsewhere.
    let copies = device?.in_guest().copies();
    let device = device?.model().map_or(0, |m| u64::from(m.size_mib) * MIB);
    let needs = |workload: &WorkloadSpec| {
        let file = footprint(&workload.job);
        let data = device.min(file.saturating_add(METADATA)).div_ceil(MIB) * copies;
        let flight = (workload.job.in_flight() + orders(&workload.job)) / MIB;
        let guest = MEMORY_BESIDES_DATA_MIB + flight.saturating_sub(IN_FLIGHT_MIB);
        (data.saturating_add(guest), data, guest)
    };
    let (least, data, guest) = workloads.iter().map(needs).max()?;
    if u64::from(mib) < least {
        let what = format!(
            "{mib} MiB cannot hold the device's data ({data} MiB) and the guest ({guest} MiB)"
        );
        problems.add(&at, what, format!("use at least memory = \"{least}MiB\""));
        return None;
    }
    Some(mib)
}

/// Bytes of a block in a thread's memory of what it wrote, and of its place in a random order.
const ORDER: u64 = 8 + 4;

/// What threads that share a file remember of its blocks, in bytes: of files of their own they remember no
/// more than one does of all of them.
fn orders(job: &Workload) -> u64 {
    if !job.overlaps() || !(job.rw.is_random() || job.rw.is_mixed()) {
        return 0;
    }
    let blocks = job.file_size / u64::from(job.block_size.max(1));
    blocks.saturating_mul(u64::from(job.numjobs) * ORDER)
}

/// The words added to the guest's command line, the scenario's first.
pub(super) fn cmdline(
    raw: &[At<String>],
    overrides: &Overrides,
    problems: &mut Problems,
) -> Vec<String> {
    let option = |word: &String| At {
        value: word.clone(),
        at: Place::option("--cmdline"),
    };
    let words: Vec<_> = raw
        .iter()
        .cloned()
        .chain(overrides.cmdline.iter().map(option))
        .collect();
    for word in &words {
        let text = &word.value;
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic() && c != '"') {
            let what = format!("`{text}` is not a single word of a kernel command line");
            problems.add(
                &word.at,
                what,
                "use one word per element, without spaces or quotes",
            );
        }
    }
    words.into_iter().map(|word| word.value).collect()
}

/// Repetitions, warm-up and phases. The clock is known beside the scenario's own device and the one that
/// is used.
pub(super) fn measure(
    raw: &RawMeasure,
    overrides: &Overrides,
    (clock, (written, device)): (Option<Clock>, (DeviceKind, DeviceKind)),
    workloads: &[WorkloadSpec],
    problems: &mut Problems,
) -> Option<Measure> {
    let option = overrides.repetitions.map(|n| At {
        value: u64::from(n),
        at: Place::option("--repetitions"),
    });
    let asked = option.as_ref().or(raw.repetitions.as_ref());
    let repetitions = bounded(
        asked,
        defaults::REPETITIONS,
        (1, MOST_REPETITIONS),
        problems,
    );
    let warmup = raw.warmup_ios.as_ref();
    let warmup = bounded(warmup, defaults::WARMUP_IOS, (0, 1_000_000_000), problems);
    if let (Some(ios), Some(raw)) = (warmup, &raw.warmup_ios) {
        // A warm-up begins with the same file as a repetition, and must fit it.
        let short = |w: &&WorkloadSpec| written_ios(&w.job).is_some_and(|n| u64::from(ios) > n);
        if let Some(workload) = workloads.iter().find(short) {
            let what = format!(
                "{ios} is more than number_ios of {}, whose file changes with every write",
                workload.name
            );
            let next = "use at most that number_ios, or 0 for one whole repetition";
            problems.add(&raw.at, what, next);
        }
    }
    let ramp = ramp_time(raw, clock, written == device, workloads, problems);
    let step = raw.phase_step.as_ref();
    let step_ns = quantity(step, defaults::PHASE_STEP, parse_nanos, problems);
    let (repetitions, step_ns) = (repetitions?, step_ns?);
    if step_ns > 1_000_000_000 || !phases_differ(repetitions, step_ns) {
        let at = place(step, "measure.phase_step");
        let what = format!(
            "{} would not give {repetitions} repetitions different phases of the 4 ms tick",
            show_nanos(step_ns)
        );
        problems.add(
            &at,
            what,
            "use a time below 1s that does not divide 4ms, like \"731us\"",
        );
    }
    Some(Measure {
        repetitions,
        warmup_ios: warmup?.into(),
        ramp_time_ns: ramp?,
        phase_step_ns: step_ns,
    })
}

/// A warm-up by time, ns; 0 is none. Under the instruction clock a drive has no state that time would
/// settle, and one that was written for another device is not for it.
fn ramp_time(
    raw: &RawMeasure,
    clock: Option<Clock>,
    own: bool,
    workloads: &[WorkloadSpec],
    problems: &mut Problems,
) -> Option<u64> {
    let Some(ramp) = &raw.ramp_time else {
        return Some(0);
    };
    let ns = quantity(Some(ramp), "", parse_nanos, problems)?;
    let changing = workloads.iter().find(|w| w.job.layout != Layout::Written);
    let (what, next) = if ns > MAX_RAMP_NS {
        (
            format!("{} is not a valid warm-up", show_nanos(ns)),
            "use up to 10m".to_owned(),
        )
    } else if ns == 0 {
        return Some(0);
    } else if clock == Some(Clock::Instructions) {
        if !own {
            return Some(0);
        }
        (
            "is a time for a drive to settle, which the modelled drive does not need".to_owned(),
            "use warmup_ios, or clock = \"wall\"".to_owned(),
        )
    } else if raw.warmup_ios.is_some() {
        (
            "cannot be combined with warmup_ios".to_owned(),
            "keep one of warmup_ios and ramp_time".to_owned(),
        )
    } else if let Some(workload) = changing {
        (
            format!(
                "would use up the file of {}, which changes with every write",
                workload.name
            ),
            "use warmup_ios".to_owned(),
        )
    } else {
        return Some(ns);
    };
    problems.add(&ramp.at, what, next);
    None
}

/// Whether `i * step` falls elsewhere in the tick for every repetition `i`. The bandwidth period
/// is five ticks, so phases that differ in the tick differ there too.
fn phases_differ(repetitions: u32, step_ns: u64) -> bool {
    (1..u64::from(repetitions)).all(|i| !(i * (step_ns % TICK_NS)).is_multiple_of(TICK_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_step_gives_every_repetition_its_own_phase() {
        let step = parse_nanos(defaults::PHASE_STEP).expect("a time");
        assert!(phases_differ(1000, step));
        assert!(!phases_differ(5, 1_000_000), "the fifth meets the first");
        assert!(!phases_differ(2, 0));
        assert!(phases_differ(1, 0));
    }
}
