//! File systems and workloads of a scenario (pure).

use super::fio::keys as fio;
use super::machine::{bounded, quantity};
use super::parse::{RawFilesystem, RawWorkload};
use super::problems::{At, Place, Problems};
use super::resolve::{check_name, choice};
use super::{FilesystemSpec, WorkloadSpec, defaults};
use crate::units::{parse_bytes, parse_nanos, show_bytes, show_nanos};
use diorama_wire::{BANDWIDTH_PERIOD_NS, Bound, Engine, Fio, FsKind, ModelDevice, Rw, Workload};

const MAX_RUNTIME_NS: u64 = 600_000_000_000;
const MAX_IOS: u64 = 1_000_000_000;

fn missing(key: &str, next: &str, problems: &mut Problems) {
    if !problems.names(key) {
        let place = Place {
            key: key.to_owned(),
            offset: None,
        };
        problems.add(&place, "is missing or empty", next);
    }
}

/// The file systems, in the file's order.
pub(super) fn filesystems(raw: &[RawFilesystem], problems: &mut Problems) -> Vec<FilesystemSpec> {
    if raw.is_empty() {
        missing("filesystems", "add a table [filesystems.ext4]", problems);
    }
    let mut specs: Vec<FilesystemSpec> = Vec::new();
    for raw in raw {
        let Some(spec) = filesystem(raw, problems) else {
            continue;
        };
        let same = |other: &&FilesystemSpec| {
            (other.kind, &other.mkfs, &other.mount_options)
                == (spec.kind, &spec.mkfs, &spec.mount_options)
        };
        if let Some(other) = specs.iter().find(same) {
            duplicate(&raw.name, &other.name, "file systems", problems);
        }
        specs.push(spec);
    }
    specs
}

fn duplicate(name: &At<String>, other: &str, kind: &str, problems: &mut Problems) {
    let what = format!("the {kind} `{other}` and `{}` are the same", name.value);
    let next = "remove one, or change what sets them apart: equal inputs give equal digits";
    problems.add(&name.at, what, next);
}

fn filesystem(raw: &RawFilesystem, problems: &mut Problems) -> Option<FilesystemSpec> {
    const KINDS: &[(&str, FsKind)] = &[("ext4", FsKind::Ext4), ("xfs", FsKind::Xfs)];
    check_name(&raw.name, problems);
    let kind = choice(
        raw.kind.as_ref().unwrap_or(&raw.name),
        "kinds",
        KINDS,
        problems,
    );
    for word in &raw.mkfs {
        if word.value.is_empty() || word.value.starts_with('/') {
            let what = format!("`{}` is not an option of mkfs", word.value);
            problems.add(&word.at, what, "leave the program and the device out");
        }
    }
    let options = raw.mount_options.as_ref();
    if let Some(options) = options.filter(|o| o.value.contains(char::is_whitespace)) {
        let what = format!("`{}` are not mount options", options.value);
        problems.add(&options.at, what, "separate them by commas, without spaces");
    }
    Some(FilesystemSpec {
        name: raw.name.value.clone(),
        kind: kind?,
        mkfs: raw.mkfs.iter().map(|word| word.value.clone()).collect(),
        mount_options: options.map(|o| o.value.clone()).unwrap_or_default(),
    })
}

/// The workloads, in the file's order. Checks against the device need one.
pub(super) fn workloads(
    raw: &[RawWorkload],
    model: Option<&ModelDevice>,
    problems: &mut Problems,
) -> Vec<WorkloadSpec> {
    if raw.is_empty() {
        missing("workloads", "add a table [workloads.write-4k]", problems);
    }
    let mut specs: Vec<WorkloadSpec> = Vec::new();
    for raw in raw {
        check_name(&raw.name, problems);
        let Some((job, fio)) = job(raw, model, problems) else {
            continue;
        };
        let same = |other: &&WorkloadSpec| (&other.job, &other.fio) == (&job, &fio);
        if let Some(other) = specs.iter().find(same) {
            duplicate(&raw.name, &other.name, "workloads", problems);
        }
        specs.push(WorkloadSpec {
            name: raw.name.value.clone(),
            job,
            fio,
        });
    }
    specs
}

/// A workload, and fio's job file where fio runs it.
fn job(
    raw: &RawWorkload,
    model: Option<&ModelDevice>,
    problems: &mut Problems,
) -> Option<(Workload, Option<Fio>)> {
    if let Some(file) = &raw.fio {
        let (job, fio) = fio::from_file(file, model, problems)?;
        return Some((job, Some(fio)));
    }
    let job = workload(raw, model, problems)?;
    let fio = fio::via(raw, &job, problems)?;
    Some((job, fio))
}

fn workload(
    raw: &RawWorkload,
    model: Option<&ModelDevice>,
    problems: &mut Problems,
) -> Option<Workload> {
    const ENGINES: &[(&str, Engine)] = &[("libaio", Engine::Libaio)];
    const DIRECTIONS: &[(&str, Rw)] = &[("read", Rw::Read), ("write", Rw::Write)];
    let key = |key: &str| Place {
        key: format!("{}.{key}", raw.name.at.key),
        offset: raw.name.at.offset,
    };
    let engine = match &raw.ioengine {
        Some(word) => choice(word, "engines", ENGINES, problems),
        None => Some(Engine::Libaio),
    };
    let rw = match &raw.rw {
        Some(word) => choice(word, "directions", DIRECTIONS, problems),
        None => {
            absent(&key("rw"), "add rw = \"read\" or rw = \"write\"", problems);
            None
        }
    };
    let iodepth = bounded(raw.iodepth.as_ref(), defaults::IODEPTH, (1, 1024), problems);
    let bs = match &raw.bs {
        Some(bs) => block_size(bs, model, problems),
        None => {
            absent(&key("bs"), "add bs = \"4k\"", problems);
            None
        }
    };
    let size = quantity(
        raw.size.as_ref(),
        defaults::FILE_SIZE,
        parse_bytes,
        problems,
    );
    let size_at = raw
        .size
        .as_ref()
        .map_or_else(|| key("size"), |size| size.at.clone());
    if let (Some(bs), Some(size)) = (bs, size) {
        file_size(size, &size_at, bs, iodepth, model, problems);
    }
    let bound = bound(raw, model, &key, problems);
    Some(Workload::new(engine?, rw?, bs?, iodepth?, size?, bound?))
}

/// A key that is missing, unless something is already said about it.
fn absent(at: &Place, next: &str, problems: &mut Problems) {
    if !problems.names(&at.key) {
        problems.add(at, "is missing", next);
    }
}

fn block_size(
    bs: &At<String>,
    model: Option<&ModelDevice>,
    problems: &mut Problems,
) -> Option<u32> {
    let bytes = quantity(Some(bs), "", parse_bytes, problems)?;
    let block = u32::try_from(bytes).ok();
    let Some(block) = block.filter(|b| b.is_power_of_two() && *b >= 512 && *b <= 16 << 20) else {
        let what = format!("{} is not a block size", show_bytes(bytes));
        problems.add(&bs.at, what, "write a power of two from 512 to 16MiB");
        return None;
    };
    let device = model.map_or(512, |model| model.block_size);
    if !block.is_multiple_of(device) {
        let what = format!("{block} is not a multiple of the device's block size, {device}");
        problems.add(
            &bs.at,
            what,
            "write a larger bs or a smaller model.block_size",
        );
        return None;
    }
    Some(block)
}

fn file_size(
    size: u64,
    at: &Place,
    bs: u32,
    iodepth: Option<u32>,
    model: Option<&ModelDevice>,
    problems: &mut Problems,
) {
    let flight = u64::from(bs) * u64::from(iodepth.unwrap_or(1));
    let shown = show_bytes(size);
    if !size.is_multiple_of(u64::from(bs)) || size == 0 {
        let what = format!(
            "{shown} is not a multiple of bs, {}",
            show_bytes(u64::from(bs))
        );
        problems.add(at, what, "write a multiple of bs, like \"64MiB\"");
    } else if size < flight {
        let what = format!(
            "{shown} is less than what is in flight, {}",
            show_bytes(flight)
        );
        problems.add(
            at,
            what,
            "write at least bs * iodepth, or I/Os would overlap",
        );
    } else if let Some(model) = model {
        let device = u64::from(model.size_mib) << 20;
        if size > device / 4 * 3 {
            let what = format!(
                "{shown} is more than 3/4 of the device, {}",
                show_bytes(device)
            );
            problems.add(at, what, "write a smaller size or a larger model.size");
        }
    }
}

fn bound(
    raw: &RawWorkload,
    model: Option<&ModelDevice>,
    key: &impl Fn(&str) -> Place,
    problems: &mut Problems,
) -> Option<Bound> {
    match (&raw.runtime, &raw.number_ios) {
        (Some(_), Some(ios)) => {
            let what = "is there besides runtime";
            problems.add(&ios.at, what, "keep one of runtime and number_ios");
            None
        }
        (None, None) => {
            let next = "add runtime = \"100ms\" or number_ios = 10000";
            if !problems.names(&key("number_ios").key) {
                absent(&key("runtime"), next, problems);
            }
            None
        }
        (None, Some(ios)) if (1..=MAX_IOS).contains(&ios.value) => Some(Bound::Ios(ios.value)),
        (None, Some(ios)) => {
            let next = format!("write a number from 1 to {MAX_IOS}");
            problems.add(&ios.at, format!("is {}", ios.value), next);
            None
        }
        (Some(runtime), None) => {
            let nanos = quantity(Some(runtime), "", parse_nanos, problems)?;
            let shown = show_nanos(nanos);
            if nanos == 0 || nanos > MAX_RUNTIME_NS {
                let what = format!("{shown} is not a runtime");
                problems.add(&runtime.at, what, "write a time of guest time up to 10m");
                return None;
            }
            let quantised = model.is_some_and(|model| model.bandwidth_mib_s.is_some());
            if quantised && !nanos.is_multiple_of(BANDWIDTH_PERIOD_NS) {
                let what = format!("{shown} is not a whole number of bandwidth periods");
                let next = "write a multiple of 20ms, or a bandwidth-bound figure is quantised";
                problems.add(&runtime.at, what, next);
                return None;
            }
            Some(Bound::Runtime(nanos))
        }
    }
}
