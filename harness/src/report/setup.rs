//! What was measured: runs, device, file systems, workloads, repetitions, VMM.

use crate::{
    compare::Comparison,
    record::{Outcome, Results},
    scenario::{Device, WorkloadSpec},
    text::counted,
    units::{show_bytes, show_nanos},
};
use diorama_wire::{
    Batch, Bound, Conditioning, Layout, NvmeDevice, NvmeFormat, Precondition, Sync, Workload,
};

/// Name and value of everything a reader needs to know of the setup. Scenario facts are those of
/// the first run; a comparison says in its notes and verdicts where others differ.
pub(super) fn of(runs: &[&Results], comparison: &Comparison) -> Vec<(String, String)> {
    let mut setup = Vec::new();
    let mut add = |name: &str, value: String| setup.push((name.to_owned(), value));
    for (run, results) in comparison.runs.iter().zip(runs) {
        let name = if run.letter.is_empty() {
            "run".to_owned()
        } else {
            format!("run {}", run.letter)
        };
        add(
            &name,
            format!(
                "{}, started {}, diorama {}; {}",
                run.run_id, results.started, results.diorama, run.lane
            ),
        );
        add(
            "VMM",
            format!(
                "{} (from {}, sha256 {})",
                results.vmm.version,
                results.vmm.origin,
                results.vmm.digest.short()
            ),
        );
    }
    if let Some(first) = runs.first() {
        describe(first, &mut add);
    }
    add("evidence", evidence(runs));
    setup
}

/// The mkfs command line of a file system, as its measured cells report it. It is the same for
/// every kernel; a variant may have one of its own.
fn made(results: &Results, filesystem: &str) -> Option<String> {
    let mut cells = results
        .cells
        .iter()
        .filter(|c| c.key.filesystem == filesystem && c.key.subject.variant.is_none());
    let measured = cells.find_map(|c| c.outcome.measured())?;
    Some(measured.guest.filesystem.mkfs.join(" "))
}

/// Why the I/O was what it claims to be, counted over the measured cells of all runs.
fn evidence(runs: &[&Results]) -> String {
    let cells = runs.iter().flat_map(|r| &r.cells);
    let measured = cells.filter_map(|c| match &c.outcome {
        Outcome::Measured(measured) => Some((c.inputs.is_some(), measured)),
        _ => None,
    });
    let (mut all, mut direct, mut uncached, mut inputs, mut memory) = (0, 0, 0, 0, 0);
    let mut blocks = 0_u64;
    for (hashed, cell) in measured {
        let e = &cell.guest.evidence;
        all += 1;
        direct += usize::from(e.o_direct);
        uncached += usize::from(e.cached_pages_before == 0 && e.cached_pages_after == 0);
        inputs += usize::from(hashed);
        memory += usize::from(cell.memory.end.is_some());
        blocks = blocks.saturating_add(e.verified_blocks);
    }
    let cells = counted(all, "measured cell");
    format!(
        "of {cells}, O_DIRECT was set in {direct}, no page of the file was cached \
         before or after in {uncached}, all inputs are hashed in {inputs}, and guest memory is \
         hashed in {memory}; {blocks} blocks were read back and had the right contents"
    )
}

fn describe(results: &Results, add: &mut dyn FnMut(&str, String)) {
    let scenario = &results.scenario;
    if let Device::Model(m) = &scenario.device {
        let bandwidth = m
            .bandwidth_mib_s
            .map_or("no bandwidth limit".into(), |b| format!("{b} MiB/s"));
        let cache = match m.write_cache {
            None => "no volatile write cache".to_owned(),
            Some(c) => format!(
                "volatile write cache {} FUA, flush {}{}",
                if c.fua { "with" } else { "without" },
                show_nanos(c.flush_latency_ns),
                if m.is_stacked() {
                    " (behind device-mapper)"
                } else {
                    ""
                }
            ),
        };
        if !m.stack.is_empty() {
            let names: Vec<&str> = m.stack.iter().map(|layer| layer.name()).collect();
            add("over the device", names.join(", "));
        }
        add(
            "model device",
            format!(
                "null_blk in guest memory, {} MiB, {} B blocks, latency {}, {bandwidth}, \
                 queue depth {}, {} submit queue(s), scheduler {}, {cache}",
                m.size_mib,
                m.block_size,
                show_nanos(m.latency_ns),
                m.hw_queue_depth,
                m.submit_queues,
                m.scheduler
            ),
        );
    }
    if let diorama_wire::Device::Nvme(drive) = scenario.device.in_guest() {
        add("device", nvme(results, &scenario.device, &drive));
    }
    if !scenario.conditioning.is_none() {
        add("drive made ready by", conditioning(scenario.conditioning));
    }
    for variant in &scenario.variants {
        let changes = scenario.changes(variant);
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        add(&format!("variant {}", variant.name), changes.join(", "));
    }
    for fs in &scenario.filesystems {
        let mut value = match fs.kind.is_none() {
            true => "none: the block device itself".to_owned(),
            false => made(results, &fs.name).unwrap_or_else(|| fs.kind.name().to_owned()),
        };
        if !fs.mount_options.is_empty() {
            value.push_str(&format!(", mounted with {}", fs.mount_options));
        }
        add(&format!("file system {}", fs.name), value);
    }
    for sentence in &results.formatting {
        add("features", sentence.clone());
    }
    for workload in &scenario.workloads {
        add(&format!("workload {}", workload.name), job(workload));
    }
    let m = &scenario.measure;
    let warmup = match (m.ramp_time_ns, m.warmup_ios) {
        (0, 0) => "one whole repetition".to_owned(),
        (0, ios) => format!("{ios} I/Os"),
        (ns, _) => show_nanos(ns),
    };
    add(
        "repetitions",
        format!(
            "{} after an uncounted warm-up of {warmup}; each starts {} later in the 20 ms period \
             of the guest's clock than the previous one, or at a refill",
            m.repetitions,
            show_nanos(m.phase_step_ns)
        ),
    );
    let words = if scenario.cmdline.is_empty() {
        String::new()
    } else {
        format!(", kernel command line + {}", scenario.cmdline.join(" "))
    };
    add(
        "guest",
        format!(
            "{}, {} MiB RAM{words}",
            cpus(scenario.smp),
            scenario.memory_mib
        ),
    );
}

/// What is done to the drive before a file system is made on it.
fn conditioning(of: Conditioning) -> String {
    let format = (of.format == NvmeFormat::Erase).then_some("Format NVM with User Data Erase");
    let discard = of.discard.then_some("discarding all of it");
    let fill = match of.precondition {
        Precondition::None => None,
        Precondition::SequentialFill => Some("writing all of it once, sequentially"),
    };
    let words: Vec<&str> = [format, discard, fill].into_iter().flatten().collect();
    words.join(", then ")
}

/// An NVMe drive, as far as the scenario says; a real one as the guests found it.
fn nvme(results: &Results, device: &Device, drive: &NvmeDevice) -> String {
    let found = results.cells.iter().find_map(|c| c.outcome.measured());
    let found = found.map(|measured| &measured.guest.device);
    let identity = found.and_then(|facts| facts.nvme.as_ref());
    let is = match device {
        Device::Vfio(_) => "an NVMe controller of the host's, passed through with vfio",
        Device::Disk(_) => "QEMU's emulated NVMe controller over a disk of the host's",
        Device::Model(_) | Device::Nvme(_) => "QEMU's emulated NVMe controller over an image file",
    };
    let real = identity.filter(|_| matches!(device, Device::Vfio(_)));
    let size = drive.size.or(found.map(|facts| facts.size));
    let block = drive
        .block_size
        .or(found.map(|facts| facts.logical_block_size));
    let queues = device.queues().or(identity.map(|identity| identity.queues));
    [
        Some(is.to_owned()),
        real.map(|nvme| format!("{}, firmware {}", nvme.model, nvme.firmware)),
        size.map(|bytes| format!("{} MiB", bytes >> 20)),
        block.map(|bytes| format!("{bytes} B blocks")),
        queues.map(|queues| format!("{queues} I/O queue(s)")),
        Some(format!("serial {}", drive.serial)),
        Some(format!("scheduler {}", drive.scheduler)),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}

fn cpus(smp: u32) -> String {
    match smp {
        1 => "1 CPU".to_owned(),
        n => format!("{n} vCPUs, scheduled round-robin on one thread; booted once per cell"),
    }
}

/// A workload in words; what is fio's default is not said.
fn job(workload: &WorkloadSpec) -> String {
    let job = &workload.job;
    let mut words = vec![
        format!("{} of {}", what(job), show_bytes(job.block_size.into())),
        job.engine.name().to_owned(),
        format!("iodepth {}", job.iodepth),
    ];
    if let Some(fio) = &workload.fio {
        words = vec![format!(
            "by fio: {}",
            fio.jobs.trim_end().replace('\n', "; ")
        )];
        return words.join(", ");
    }
    if job.rw.is_mixed() {
        words.push(format!("{}% reads", job.rwmixread));
    }
    if job.rw.is_random() || job.rw.is_mixed() {
        words.push(format!("seed {}", job.randseed));
    }
    if job.batch != Batch::default() {
        words.push(format!(
            "batches of {} submitted and {} to {} completed",
            job.batch.submit, job.batch.complete_min, job.batch.complete_max
        ));
    }
    let options = [
        (job.io_uring.fixedbufs, "fixedbufs"),
        (job.io_uring.registerfiles, "registerfiles"),
        (job.io_uring.hipri, "hipri"),
    ];
    let options = options.into_iter().filter(|(on, _)| *on);
    words.extend(options.map(|(_, name)| name.to_owned()));
    match job.sync {
        Sync::None => {}
        Sync::Dsync => words.push("O_DSYNC".into()),
        Sync::RwfDsync => words.push("RWF_DSYNC".into()),
    }
    if job.fdatasync > 0 {
        words.push(format!("fdatasync every {} writes", job.fdatasync));
    }
    if job.numjobs > 1 {
        words.push(format!("{} threads {}", job.numjobs, files(job)));
    }
    let size = show_bytes(job.file_length());
    words.push(match job.layout {
        Layout::Written => format!("file of {size}"),
        Layout::Unwritten => format!("file of {size}, allocated and never written"),
        Layout::Extending => "initially empty file".to_owned(),
        Layout::Append => format!("file of initially {size}"),
    });
    words.push(match job.bound {
        Bound::Runtime(ns) => format!("{} per repetition", show_nanos(ns)),
        Bound::Ios(ios) => format!("{ios} I/Os per repetition"),
    });
    words.join(", ")
}

/// `on one file, in parts of 16 MiB that overlap`
fn files(job: &Workload) -> String {
    if !job.shares_a_file() {
        return "with a file each".to_owned();
    }
    let part = show_bytes(job.file_size);
    match (job.offset_increment, job.overlaps()) {
        (0, _) => "on all of one file".to_owned(),
        (step, true) => format!(
            "on one file, in parts of {part} that overlap, {} apart",
            show_bytes(step)
        ),
        (_, false) => format!("on one file, in a part of {part} each"),
    }
}

/// `sequential direct overwrites`
fn what(job: &Workload) -> String {
    let writes = match job.layout {
        Layout::Written => "overwrites",
        Layout::Unwritten => "writes to unwritten blocks",
        Layout::Extending => "extending writes",
        Layout::Append => "appending writes",
    };
    let order = match job.rw.is_random() {
        true => "random",
        false => "sequential",
    };
    match (job.rw.reads(), job.rw.writes()) {
        (true, true) => format!("{order} direct reads and {writes}"),
        (true, false) => format!("{order} direct reads"),
        (false, _) => format!("{order} direct {writes}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{self, fixture};

    #[test]
    fn the_features_of_file_systems_are_part_of_the_setup() {
        let mut results = fixture::results();
        results.formatting = vec!["xfs: formatted for Linux 5.10 and later".into()];
        let comparison = compare::compare(&[&results]);
        let setup = of(&[&results], &comparison);
        let found = setup.iter().find(|(name, _)| name == "features");
        assert_eq!(found.map(|(_, value)| value), results.formatting.first());
    }
}
