//! The file a workload runs on, and when a repetition ends (pure).

use super::{absent, choice, footprint, quantity};
use crate::scenario::{
    defaults,
    parse::RawWorkload,
    problems::{At, Problems},
    rules::larger,
};
use crate::units::{parse_bytes, parse_nanos, show_bytes, show_nanos};
use diorama_wire::{Bound, Device, Layout, Rw, Workload};

/// Longest `runtime` of a repetition, in nanoseconds.
pub const MAX_RUNTIME_NS: u64 = 600_000_000_000;
const MAX_IOS: u64 = 1_000_000_000;

/// `overwrite`, `fallocate` and `file_append`: what the file is when a repetition begins.
pub(super) fn layout(raw: &RawWorkload, rw: Option<Rw>, problems: &mut Problems) -> Option<Layout> {
    const FALLOCATE: &[(&str, Layout)] =
        &[("none", Layout::Extending), ("native", Layout::Unwritten)];
    let append = raw.file_append.as_ref().filter(|flag| flag.value);
    let overwrite = raw.overwrite.as_ref();
    let fallocate = match &raw.fallocate {
        Some(word) => Some((
            choice(word, "kinds of fallocate", FALLOCATE, problems)?,
            &word.at,
        )),
        None => None,
    };
    let written = overwrite.filter(|flag| flag.value);
    let (layout, at) = match (written, fallocate, append) {
        (Some(_), Some((_, at)), _) => {
            let what = "has no effect where overwrite = true writes every block first";
            let next = "leave it out, or use overwrite = false";
            problems.add(at, what, next);
            return None;
        }
        (Some(_), None, Some(append)) => {
            let what = "writes beyond the end, where overwrite = true has nothing to overwrite";
            problems.add(&append.at, what, "keep one of file_append and overwrite");
            return None;
        }
        (_, Some((_, at)), Some(_)) => {
            let what = "conflicts with file_append = true, whose file is written before it grows";
            problems.add(at, what, "keep one of fallocate and file_append");
            return None;
        }
        (None, Some((layout, at)), None) => (layout, at),
        (None, None, Some(append)) => (Layout::Append, &append.at),
        (written, None, None) => {
            if let Some(flag) = overwrite.filter(|_| written.is_none()) {
                let what = "is false, which does not say what the file is instead";
                let next = "add fallocate = \"native\" (allocated, never written), fallocate = \"none\" \
                            (empty, every write extends it) or file_append = true";
                problems.add(&flag.at, what, next);
                return None;
            }
            return Some(Layout::Written);
        }
    };
    let suits = |rw: Rw| rw == Rw::Write || (layout == Layout::Unwritten && rw == Rw::Randwrite);
    if let Some(rw) = rw.filter(|rw| !suits(*rw)) {
        let (what, next) = match layout {
            Layout::Unwritten => (
                "leaves blocks unwritten until a write converts them",
                "use rw = \"write\" or \"randwrite\", or leave it out",
            ),
            _ => (
                "makes a file that grows by writes at its end",
                "use rw = \"write\", or leave it out",
            ),
        };
        let what = format!("{what}, and rw = \"{}\" does not", rw.name());
        problems.add(at, what, next);
        return None;
    }
    Some(layout)
}

/// `runtime` or `number_ios`.
pub(super) fn bound(
    raw: &RawWorkload,
    layout: Option<Layout>,
    problems: &mut Problems,
) -> Option<Bound> {
    let changing = layout.is_some_and(|layout| layout != Layout::Written);
    match (&raw.runtime, &raw.number_ios) {
        (Some(_), Some(ios)) => {
            let what = "cannot be combined with runtime";
            problems.add(&ios.at, what, "keep one of runtime and number_ios");
            None
        }
        (Some(runtime), None) if changing => {
            let what = "would leave each repetition with a different file from the one it started \
                        with";
            let next =
                "use number_ios = 1000 instead: the file is laid out again for that many writes";
            problems.add(&runtime.at, what, next);
            None
        }
        (None, None) => {
            let (key, next) = match changing {
                true => (
                    "number_ios",
                    "add number_ios = 1000: every write changes the file",
                ),
                false => ("runtime", "add runtime = \"100ms\" or number_ios = 10000"),
            };
            let said = ["runtime", "number_ios"].map(|key| problems.names(&raw.place(key).key));
            if said == [false, false] {
                absent(&raw.place(key), next, problems);
            }
            None
        }
        (None, Some(ios)) if (1..=MAX_IOS).contains(&ios.value) => Some(Bound::Ios(ios.value)),
        (None, Some(ios)) => {
            let next = format!("use a number from 1 to {MAX_IOS}");
            problems.add(&ios.at, format!("is {}", ios.value), next);
            None
        }
        (Some(runtime), None) => self::runtime(runtime, problems),
    }
}

fn runtime(runtime: &At<String>, problems: &mut Problems) -> Option<Bound> {
    let nanos = quantity(Some(runtime), "", parse_nanos, problems)?;
    let shown = show_nanos(nanos);
    if nanos == 0 || nanos > MAX_RUNTIME_NS {
        let what = format!("{shown} is not a valid runtime");
        problems.add(&runtime.at, what, "use up to 10m of guest time");
        return None;
    }
    Some(Bound::Runtime(nanos))
}

/// `size`, of each thread's file before a repetition. The default is rounded down to whole blocks;
/// a size that is written is taken as it is, or refused.
pub(super) fn size(
    raw: &RawWorkload,
    layout: Option<Layout>,
    block: Option<u32>,
    problems: &mut Problems,
) -> Option<u64> {
    if layout != Some(Layout::Extending) {
        let default = defaults::FILE_SIZE;
        let size = quantity(raw.size.as_ref(), default, parse_bytes, problems)?;
        let block = u64::from(block.filter(|_| raw.size.is_none()).unwrap_or(1));
        return Some(size / block * block);
    }
    let Some(size) = &raw.size else {
        return Some(0);
    };
    let what = "is a fixed size, and an extending write begins with an empty file";
    let next = "leave it out: number_ios * bs is what the file grows to";
    problems.add(&size.at, what, next);
    None
}

/// What sizes, depth, writes and device must be to each other. `bound` is none when it is refused
/// already.
pub(super) fn check(
    raw: &RawWorkload,
    job: &Workload,
    bound: Option<Bound>,
    device: Option<&Device>,
    problems: &mut Problems,
) {
    let larger = larger(device);
    let block = u64::from(job.block_size);
    let at = raw.place_of(raw.size.as_ref(), "size");
    let shown = show_bytes(job.file_size);
    if job.layout != Layout::Extending {
        if !job.file_size.is_multiple_of(block) || job.file_size == 0 {
            let what = format!("{shown} is not a multiple of bs, {}", show_bytes(block));
            problems.add(&at, what, whole_blocks(job.file_size, block));
            return;
        }
        let flight = block.saturating_mul(job.iodepth.into());
        if !job.layout.grows() && job.file_size < flight {
            let flight = show_bytes(flight);
            let what = format!("{shown} is less than what is in flight, {flight}");
            let next = "use at least bs * iodepth, or I/Os would overlap";
            problems.add(&at, what, next);
            return;
        }
        // One pass over the file ends and the next begins in another order: a block may come back
        // after half of them (the agent's pattern.rs).
        if job.rw.is_random() && job.file_size < flight.saturating_mul(2) {
            let flight = show_bytes(flight);
            let what = format!("{shown} is less than twice what is in flight, {flight}");
            let next = "use at least 2 * bs * iodepth, or random I/Os would overlap";
            problems.add(&at, what, next);
            return;
        }
    }
    if let (Layout::Unwritten, Some(Bound::Ios(ios))) = (job.layout, bound)
        && ios.saturating_mul(block) > job.file_size
    {
        let at = raw.place_of(raw.number_ios.as_ref(), "number_ios");
        let what = format!(
            "{ios} writes of {} are more than size, {shown}",
            show_bytes(block)
        );
        let next = "use a smaller number_ios or a larger size: a block is unwritten only once";
        problems.add(&at, what, next);
        return;
    }
    let Some(device) = device.and_then(Device::size) else {
        return;
    };
    let all = footprint(job);
    if all > device / 4 * 3 {
        let device = show_bytes(device);
        let (at, what, next) = match (job.layout.grows(), job.numjobs) {
            (false, jobs) if job.shares_a_file() && jobs > 1 => (
                raw.place_of(raw.offset_increment.as_ref(), "offset_increment"),
                format!(
                    "the file of {jobs} jobs, {}, is more than 3/4 of the device, {device}",
                    show_bytes(all)
                ),
                format!("use a smaller size or offset_increment, fewer numjobs or {larger}"),
            ),
            (false, 1) => (
                at,
                format!("{shown} is more than 3/4 of the device, {device}"),
                format!("use a smaller size or {larger}"),
            ),
            (false, jobs) => (
                at,
                format!("{shown} for each of {jobs} jobs is more than 3/4 of the device, {device}"),
                format!("use a smaller size, fewer numjobs or {larger}"),
            ),
            (true, _) => (
                raw.place_of(raw.number_ios.as_ref(), "number_ios"),
                format!(
                    "the files grow to {}, more than 3/4 of the device, {device}",
                    show_bytes(all)
                ),
                format!("use a smaller number_ios or {larger}"),
            ),
        };
        problems.add(&at, what, next);
    }
}

/// What to write instead of a size that is no whole number of blocks: its neighbours that are.
fn whole_blocks(size: u64, block: u64) -> String {
    // As a scenario has it: without a space.
    let written = |size: u64| format!("\"{}\"", show_bytes(size).replace(' ', ""));
    let below = size / block * block;
    match (below, below.checked_add(block)) {
        (0, _) => "use a multiple of bs, like \"64MiB\""
            .replace("64MiB", &show_bytes(block * 64).replace(' ', "")),
        (below, Some(above)) => format!("use {} or {}", written(below), written(above)),
        (below, None) => format!("use {}", written(below)),
    }
}
