//! The model device, the guest's memory and the repetitions: quantities and their limits (pure).

use super::parse::{RawMeasure, RawModel};
use super::problems::{At, Place, Problems};
use super::rules::{bounded, check_latency, choice, quantity};
use super::workload::{footprint, written_ios};
use super::{Overrides, WorkloadSpec, defaults, write_cache};
use crate::units::{parse_bandwidth, parse_bytes, parse_nanos, show_bytes, show_nanos};
use diorama_wire::{Measure, ModelDevice};

const MIB: u64 = 1 << 20;
/// The guest's timer tick at Debian's CONFIG_HZ=250, in nanoseconds.
const TICK_NS: u64 = 4_000_000;
/// What kernel, initramfs and agent need besides the device's data, in MiB.
const MEMORY_BESIDES_DATA_MIB: u64 = 512;
/// How much of that the blocks in flight may take, in MiB; the guest's memory must hold more besides.
const IN_FLIGHT_MIB: u64 = 256;
/// What a file system of either kind writes besides the file (journal, inodes), in bytes.
const METADATA: u64 = 64 * MIB;
/// The slowest drive, in MiB/s. null_blk grants a fiftieth of a second's bytes at a time and holds a
/// request until a whole grant covers it: its largest, of 255 sectors, would wait for ever below that.
const MIN_BANDWIDTH_MIB_S: u32 = 7;
/// CPUs of the largest guest.
const MAX_SMP: u32 = 8;

/// Where a value was written, or where its default would have been.
fn place<T>(value: Option<&At<T>>, key: &str) -> Place {
    let missing = || Place {
        key: key.to_owned(),
        offset: None,
    };
    value.map_or_else(missing, |value| value.at.clone())
}

/// The guest's CPUs.
pub(super) fn smp(raw: Option<&At<u64>>, problems: &mut Problems) -> Option<u32> {
    bounded(raw, defaults::GUEST_SMP, (1, MAX_SMP), problems)
}

/// The device of every cell, in a guest with `smp` CPUs.
pub(super) fn model(
    raw: &RawModel,
    smp: Option<u32>,
    problems: &mut Problems,
) -> Option<ModelDevice> {
    let size = quantity(
        raw.size.as_ref(),
        defaults::MODEL_SIZE,
        parse_bytes,
        problems,
    )
    .and_then(|size| {
        let fits = size.is_multiple_of(MIB) && (64..=1 << 20).contains(&(size / MIB));
        let mib = u32::try_from(size / MIB).ok().filter(|_| fits);
        if mib.is_none() {
            let at = place(raw.size.as_ref(), "model.size");
            let what = format!(
                "{} is not a valid size for the model device",
                show_bytes(size)
            );
            problems.add(&at, what, "use whole MiB, from 64MiB to 1024GiB");
        }
        mib
    });
    let block = quantity(
        raw.block_size.as_ref(),
        defaults::MODEL_BLOCK_SIZE,
        parse_bytes,
        problems,
    )
    .and_then(|block| {
        let found = [512, 1024, 2048, 4096]
            .into_iter()
            .find(|b| u64::from(*b) == block);
        if found.is_none() {
            let at = place(raw.block_size.as_ref(), "model.block_size");
            problems.add(&at, format!("is {block}"), "use 512, 1024, 2048 or 4096");
        }
        found
    });
    let latency = quantity(
        raw.latency.as_ref(),
        defaults::MODEL_LATENCY,
        parse_nanos,
        problems,
    );
    if let Some(raw) = &raw.latency {
        check_latency(raw, latency, problems);
    }
    let bandwidth = bandwidth(raw.bandwidth.as_ref(), problems);
    let schedulers = ["none", "mq-deadline", "kyber", "bfq"].map(|name| (name, name));
    let scheduler = match &raw.scheduler {
        Some(word) => choice(word, "schedulers", &schedulers, problems),
        None => Some(defaults::MODEL_SCHEDULER),
    };
    let write_cache = write_cache::write_cache(raw, latency, problems);
    // BLK_MQ_MAX_DEPTH is 10240 (include/linux/blk-mq.h).
    let (depth, queues) = (raw.queue_depth.as_ref(), raw.submit_queues.as_ref());
    let depth = bounded(depth, defaults::MODEL_QUEUE_DEPTH, (1, 10240), problems);
    let queues = submit_queues(queues, smp, problems);
    Some(ModelDevice {
        size_mib: size?,
        block_size: block?,
        latency_ns: latency?,
        bandwidth_mib_s: bandwidth?,
        hw_queue_depth: depth?,
        submit_queues: queues?,
        scheduler: scheduler?.to_owned(),
        write_cache: write_cache?,
    })
}

/// null_blk takes no more queues than the guest has CPUs.
fn submit_queues(raw: Option<&At<u64>>, smp: Option<u32>, problems: &mut Problems) -> Option<u32> {
    let cpus = smp.unwrap_or(MAX_SMP);
    let queues = bounded(raw, cpus, (1, MAX_SMP), problems)?;
    if let Some(raw) = raw.filter(|_| queues > cpus) {
        let what = format!("is {queues}, but the guest has {cpus} CPU(s)");
        let next = format!("use at most {cpus}, or [guest] smp = {queues}");
        problems.add(&raw.at, what, next);
        return None;
    }
    Some(queues)
}

/// MiB/s, or `none` for a device that is bound by its latency and queue alone.
fn bandwidth(raw: Option<&At<String>>, problems: &mut Problems) -> Option<Option<u32>> {
    if raw.is_some_and(|text| text.value == "none") {
        return Some(None);
    }
    let bytes = quantity(raw, defaults::MODEL_BANDWIDTH, parse_bandwidth, problems)?;
    let mib = u32::try_from(bytes / MIB).ok();
    let mib = mib.filter(|mib| *mib > 0 && bytes.is_multiple_of(MIB));
    if mib.is_none() {
        let at = place(raw, "model.bandwidth");
        let what = format!("{}/s is not whole MiB/s", show_bytes(bytes));
        let next = "use a multiple of 1MiB/s, the drive model's unit, or \"none\"";
        problems.add(&at, what, next);
    }
    if let Some(mib) = mib.filter(|mib| *mib < MIN_BANDWIDTH_MIB_S) {
        let at = place(raw, "model.bandwidth");
        let what = format!("{mib} MiB/s would never let the drive model's largest request through");
        let next = format!("use at least \"{MIN_BANDWIDTH_MIB_S}MiB/s\"");
        problems.add(&at, what, next);
        return None;
    }
    mib.map(Some)
}

/// The guest's RAM in MiB: it holds the device's data too.
pub(super) fn memory(
    raw: Option<&At<String>>,
    model: Option<&ModelDevice>,
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
    let device = u64::from(model?.size_mib) * MIB;
    let needs = |workload: &WorkloadSpec| {
        let file = footprint(&workload.job);
        let data = device.min(file.saturating_add(METADATA)).div_ceil(MIB);
        let flight = workload.job.in_flight() / MIB;
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

/// Repetitions and phases.
pub(super) fn measure(
    raw: &RawMeasure,
    overrides: &Overrides,
    workloads: &[WorkloadSpec],
    problems: &mut Problems,
) -> Option<Measure> {
    let option = overrides.repetitions.map(|n| At {
        value: u64::from(n),
        at: Place::option("--repetitions"),
    });
    let asked = option.as_ref().or(raw.repetitions.as_ref());
    let repetitions = bounded(asked, defaults::REPETITIONS, (1, 1000), problems);
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
        phase_step_ns: step_ns,
    })
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

    /// With 6 MiB/s a guest that wrote blocks of 124 KiB never came to an end.
    #[test]
    fn the_slowest_drive_lets_its_largest_request_pass_in_one_grant() {
        let grant = |mib_s: u32| u64::from(mib_s) * (MIB / 50);
        let largest = 255 * 512;
        assert!(grant(MIN_BANDWIDTH_MIB_S) >= largest);
        assert!(grant(MIN_BANDWIDTH_MIB_S - 1) < largest);
    }

    #[test]
    fn every_default_quantity_is_read() {
        let mut problems = Problems::default();
        let device =
            model(&RawModel::default(), Some(1), &mut problems).expect("the default device");
        assert!(problems.is_empty());
        assert_eq!(
            device,
            ModelDevice {
                size_mib: 512,
                block_size: 4096,
                latency_ns: 10_000,
                bandwidth_mib_s: Some(440),
                hw_queue_depth: 1023,
                submit_queues: 1,
                scheduler: "none".into(),
                write_cache: None,
            }
        );
    }
}
