//! Workloads of a scenario: fio's words, and what they mean together (pure).

mod engine;
mod file;
mod shared;
#[cfg(test)]
mod tests;

pub use file::MAX_RUNTIME_NS;

use super::fio::keys::{self as fio, Surroundings};
use super::parse::RawWorkload;
use super::problems::{At, Place, Problems};
use super::rules::{bounded, check_name, choice, duplicate, missing, quantity};
use super::{WorkloadSpec, defaults};
use crate::units::{parse_bytes, show_bytes};
use diorama_wire::{Bound, Device, Layout, Rw, Sync, Workload};

/// The smallest block of any device, in bytes: a sector.
const SECTOR: u32 = 512;

/// The workloads, in the file's order: one for each table, and one for each group of jobs of a job
/// file.
pub(super) fn workloads(
    raw: &[RawWorkload],
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Vec<WorkloadSpec> {
    if raw.is_empty() {
        missing("workloads", "add a table [workloads.write-4k]", problems);
    }
    let mut specs: Vec<WorkloadSpec> = Vec::new();
    for raw in raw {
        check_name(&raw.name, problems);
        for spec in run_by(raw, around, problems) {
            let same = |other: &&WorkloadSpec| (&other.job, &other.fio) == (&spec.job, &spec.fio);
            if let Some(other) = specs.iter().find(same) {
                duplicate(&raw.name, &other.name, "workloads", problems);
            }
            if specs.iter().any(|other| other.name == spec.name) {
                let what = format!("there is already a workload `{}`", spec.name);
                problems.add(&raw.name.at, what, "give it another name");
            }
            specs.push(spec);
        }
    }
    specs
}

/// Names that claims and the command line may use: what job files became, in place of their tables.
pub(super) fn names(raw: &[RawWorkload], specs: &[WorkloadSpec]) -> Vec<String> {
    let became = |name: &str| {
        let prefix = format!("{name}-");
        let has = |of: &dyn Fn(&str) -> bool| specs.iter().any(|spec| of(&spec.name));
        !has(&|spec| spec == name) && has(&|spec| spec.starts_with(&prefix))
    };
    let own = raw.iter().map(|raw| &raw.name.value);
    let mut names: Vec<String> = own.filter(|name| !became(name)).cloned().collect();
    for spec in specs {
        if !names.contains(&spec.name) {
            names.push(spec.name.clone());
        }
    }
    names
}

/// A workload, and fio's job file where fio runs it.
fn run_by(
    raw: &RawWorkload,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Vec<WorkloadSpec> {
    if let Some(file) = &raw.fio {
        return fio::from_file(raw, file, around, problems);
    }
    for key in &raw.about_file {
        fio::refuse_without_file(key, problems);
    }
    let mut own = || {
        let job = workload(raw, around.device, problems)?;
        let fio = fio::via(raw, &job, problems)?;
        Some(WorkloadSpec {
            name: raw.name.value.clone(),
            job,
            fio,
            notes: Vec::new(),
        })
    };
    own().into_iter().collect()
}

/// Bytes of all threads' files after a repetition: what the device must hold.
pub(super) fn footprint(job: &Workload) -> u64 {
    job.footprint().unwrap_or(u64::MAX)
}

/// How many writes a thread's file is laid out for, where every write changes what it is.
pub(super) fn written_ios(job: &Workload) -> Option<u64> {
    match (job.layout, job.bound) {
        (Layout::Written, _) | (_, Bound::Runtime(_)) => None,
        (_, Bound::Ios(ios)) => Some(ios),
    }
}

fn workload(
    raw: &RawWorkload,
    device: Option<&Device>,
    problems: &mut Problems,
) -> Option<Workload> {
    let engine = engine::engine(raw, problems);
    let iodepth = engine::iodepth(raw, engine, problems);
    let batch = engine::batch(raw, engine, iodepth, problems);
    let io_uring = engine::io_uring(raw, engine, problems);
    let rw = direction(raw, problems);
    let rwmixread = mix(raw, rw, problems);
    let randseed = seed(raw, rw, problems);
    let sync = sync(raw, rw, problems);
    let fdatasync = fdatasync(raw, rw, problems);
    let bs = match &raw.bs {
        Some(bs) => block_size(bs, device, problems),
        None => {
            absent(&raw.place("bs"), "add bs = \"4k\"", problems);
            None
        }
    };
    let numjobs = bounded(raw.numjobs.as_ref(), 1, (1, Workload::MAX_JOBS), problems);
    let layout = file::layout(raw, rw, problems);
    let (filename, offset_increment) = shared::file(raw, layout, numjobs, bs, problems).unzip();
    let bound = file::bound(raw, layout, problems);
    let size = file::size(raw, layout, bs, problems);
    let job = Workload {
        engine: engine?,
        rw: rw?,
        rwmixread: rwmixread?,
        randseed: randseed?,
        block_size: bs?,
        iodepth: iodepth?,
        batch: batch?,
        numjobs: numjobs?,
        filename: filename?,
        offset_increment: offset_increment?,
        file_size: size?,
        layout: layout?,
        sync: sync?,
        fdatasync: fdatasync?,
        io_uring: io_uring?,
        bound: bound.unwrap_or(Bound::Ios(0)),
    };
    // What a size must hold does not always depend on the bound; one mistake, one message.
    file::check(raw, &job, bound, device, problems);
    bound.map(|_| job)
}

/// A key that is missing, unless something is already said about it.
fn absent(at: &Place, next: &str, problems: &mut Problems) {
    if !problems.names(&at.key) {
        problems.add(at, "is missing", next);
    }
}

fn direction(raw: &RawWorkload, problems: &mut Problems) -> Option<Rw> {
    const DIRECTIONS: &[(&str, Rw)] = &[
        ("read", Rw::Read),
        ("write", Rw::Write),
        ("randread", Rw::Randread),
        ("randwrite", Rw::Randwrite),
        ("rw", Rw::Rw),
        ("readwrite", Rw::Rw),
        ("randrw", Rw::Randrw),
    ];
    match &raw.rw {
        Some(word) => choice(word, "directions", DIRECTIONS, problems),
        None => {
            let next =
                "add rw = \"read\", \"write\", \"randread\", \"randwrite\", \"rw\" or \"randrw\"";
            absent(&raw.place("rw"), next, problems);
            None
        }
    }
}

fn mix(raw: &RawWorkload, rw: Option<Rw>, problems: &mut Problems) -> Option<u32> {
    if let (Some(mix), Some(rw)) = (&raw.rwmixread, rw.filter(|rw| !rw.is_mixed())) {
        let what = format!(
            "is a share of reads, but rw = \"{}\" is not a mix",
            rw.name()
        );
        problems.add(
            &mix.at,
            what,
            "use rw = \"rw\" or \"randrw\", or leave it out",
        );
        return None;
    }
    let raw = raw.rwmixread.as_ref();
    bounded(raw, Workload::RWMIXREAD, (0, 100), problems)
}

fn seed(raw: &RawWorkload, rw: Option<Rw>, problems: &mut Problems) -> Option<u64> {
    let drawn = |rw: Rw| rw.is_random() || rw.is_mixed();
    if let (Some(seed), Some(rw)) = (&raw.randseed, rw.filter(|rw| !drawn(*rw))) {
        let what = format!(
            "is a random seed, but nothing about rw = \"{}\" is random",
            rw.name()
        );
        problems.add(&seed.at, what, "leave it out, or use a random or mixed rw");
        return None;
    }
    Some(
        raw.randseed
            .as_ref()
            .map_or(Workload::RANDSEED, |seed| seed.value),
    )
}

/// Says that a write's option stands with a direction that writes nothing; whether it does.
fn nothing_written(at: &Place, rw: Option<Rw>, problems: &mut Problems) -> bool {
    let Some(rw) = rw.filter(|rw| !rw.writes()) else {
        return false;
    };
    let what = format!(
        "makes writes durable, but rw = \"{}\" writes nothing",
        rw.name()
    );
    problems.add(
        at,
        what,
        "leave it out, or use rw = \"write\" or \"randwrite\"",
    );
    true
}

fn sync(raw: &RawWorkload, rw: Option<Rw>, problems: &mut Problems) -> Option<Sync> {
    const SYNCS: &[(&str, Sync)] = &[("none", Sync::None), ("dsync", Sync::Dsync)];
    let open = match &raw.sync {
        Some(word) => choice(word, "kinds of sync", SYNCS, problems)?,
        None => Sync::None,
    };
    let each = raw.rwf_dsync.as_ref().filter(|flag| flag.value);
    let sync = match (open, each) {
        (Sync::None, None) => return Some(Sync::None),
        (Sync::None, Some(_)) => Sync::RwfDsync,
        (open, None) => open,
        (_, Some(flag)) => {
            let what = "is redundant: sync = \"dsync\" already makes every write durable";
            problems.add(&flag.at, what, "keep one of sync and rwf_dsync");
            return None;
        }
    };
    let at = match each {
        Some(flag) => flag.at.clone(),
        None => raw.place_of(raw.sync.as_ref(), "sync"),
    };
    (!nothing_written(&at, rw, problems)).then_some(sync)
}

fn fdatasync(raw: &RawWorkload, rw: Option<Rw>, problems: &mut Problems) -> Option<u32> {
    let every = bounded(raw.fdatasync.as_ref(), 0, (0, 1_000_000_000), problems)?;
    let at = raw.place_of(raw.fdatasync.as_ref(), "fdatasync");
    (every == 0 || !nothing_written(&at, rw, problems)).then_some(every)
}

fn block_size(bs: &At<String>, device: Option<&Device>, problems: &mut Problems) -> Option<u32> {
    let bytes = quantity(Some(bs), "", parse_bytes, problems)?;
    let device = device.and_then(Device::block_size).unwrap_or(SECTOR);
    let most = show_bytes(Workload::MAX_BLOCK.into());
    let block = u32::try_from(bytes).ok();
    let Some(block) = block.filter(|b| (1..=Workload::MAX_BLOCK).contains(b)) else {
        let what = format!("{} is not a valid block size", show_bytes(bytes));
        let next = format!("use a multiple of the device's block size, {device}, up to {most}");
        problems.add(&bs.at, what, next);
        return None;
    };
    if !block.is_multiple_of(device) {
        let what = format!("{block} is not a multiple of the device's block size, {device}");
        let mut next = format!("use a multiple of {device} up to {most}");
        if block.is_multiple_of(SECTOR) {
            next.push_str(", or a smaller model.block_size");
        }
        problems.add(&bs.at, what, next);
        return None;
    }
    Some(block)
}
