//! The model device: quantities and their limits (pure).

use super::machine::MAX_SMP;
use super::parse::RawModel;
use super::problems::{At, Problems};
use super::rules::{
    block_size, bounded, capacity, check_latency, choice, place, quantity, scheduler,
};
use super::{defaults, write_cache};
use crate::units::{parse_bandwidth, parse_nanos, show_bytes};
use diorama_wire::{ModelDevice, StackLayer};

const MIB: u64 = 1 << 20;
/// The slowest drive, in MiB/s. null_blk grants a fiftieth of a second's bytes at a time and holds a
/// request until a whole grant covers it: its largest, of 255 sectors, would wait for ever below that.
const MIN_BANDWIDTH_MIB_S: u32 = 7;

/// The device of every cell, in a guest with `smp` CPUs.
pub(super) fn model(
    raw: &RawModel,
    smp: Option<u32>,
    problems: &mut Problems,
) -> Option<ModelDevice> {
    let size = ("model.size", defaults::MODEL_SIZE);
    let most = ("1024GiB", "the model device");
    let size = capacity(raw.size.as_ref(), size, most, problems);
    let block = ("model.block_size", defaults::MODEL_BLOCK_SIZE);
    let known = [512, 1024, 2048, 4096];
    let block = block_size(raw.block_size.as_ref(), block, &known, problems);
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
    let scheduler = scheduler(raw.scheduler.as_ref(), defaults::MODEL_SCHEDULER, problems);
    let stack = stack(&raw.stack, problems);
    let write_cache = write_cache::write_cache(raw, latency, problems);
    if let (Some(flush), Some(latency), true) = (
        &raw.flush_latency,
        latency,
        stack.contains(&StackLayer::Raid1),
    ) && write_cache
        .flatten()
        .is_some_and(|cache| cache.flush_latency_ns != latency)
    {
        let what = "makes one drive of two disks, which raid1 cannot mirror";
        problems.add(
            &flush.at,
            what,
            "use the latency, or leave raid1 out of the stack",
        );
    }
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
        scheduler: scheduler?,
        stack,
        write_cache: write_cache?,
    })
}

/// So many layers are put over each other at most.
const MAX_STACK: usize = 4;

/// What lies between the drive and the file system, from the drive up.
fn stack(raw: &[At<String>], problems: &mut Problems) -> Vec<StackLayer> {
    let known = StackLayer::ALL.map(|layer| (layer.name(), layer));
    if let Some(more) = raw.get(MAX_STACK) {
        let what = format!("is layer {} of the stack", MAX_STACK + 1);
        problems.add(&more.at, what, format!("use at most {MAX_STACK} layers"));
    }
    let mut layers = Vec::new();
    for word in raw {
        let layer = choice(word, "layers of a stack", &known, problems);
        if layer == Some(StackLayer::Raid1) && !layers.is_empty() {
            let what = "mirrors two drives, so nothing is below it";
            problems.add(&word.at, what, "write it first: stack = [\"raid1\", ..]");
        }
        layers.extend(layer);
    }
    layers
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

#[cfg(test)]
mod tests {
    use super::*;

    /// With 6 MiB/s a guest that wrote blocks of 124 KiB never came to an end.
    #[test]
    fn the_slowest_drive_lets_its_largest_request_pass_in_one_grant() {
        let grant = |mib_s: u32| u64::from(mib_s) * (MIB / 50);
        let largest = 255 * 512;
        assert!(grant(MIN_BANDWIDTH_MIB_S) >= largest);
        assert!(grant(MIN_BANDWIDTH_MIB_S - 1) < largest);
    }

    #[test]
    fn a_mirror_is_of_drives_and_of_nothing_else() {
        let said = |words: &[&str], flush: Option<&str>| {
            let at = |value: &str| At {
                value: value.to_owned(),
                at: super::super::problems::Place::option("model.stack"),
            };
            let raw = RawModel {
                stack: words.iter().copied().map(at).collect(),
                write_cache: flush.map(|_| at("volatile")),
                flush_latency: flush.map(at),
                ..RawModel::default()
            };
            let mut problems = Problems::default();
            let made = model(&raw, Some(1), &mut problems);
            (problems.is_empty(), made.is_some_and(|m| m.is_mirrored()))
        };
        assert_eq!(said(&["raid1", "linear"], None), (true, true));
        assert_eq!(said(&["raid1"], Some("10us")), (true, true));
        assert!(!said(&["linear", "raid1"], None).0);
        assert!(!said(&["raid1", "raid1"], None).0);
        assert!(!said(&["raid1"], Some("20us")).0);
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
                stack: Vec::new(),
                write_cache: None,
            }
        );
    }
}
