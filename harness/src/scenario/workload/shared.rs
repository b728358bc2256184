//! One file for several threads (pure).

use super::quantity;
use crate::scenario::{parse::RawWorkload, problems::Problems};
use crate::units::{parse_bytes, show_bytes};
use diorama_wire::{Layout, Workload};

/// `filename` and `offset_increment`: the name of the file that all threads have, empty where each has its
/// own, and how far apart their parts of it begin. None when either is refused.
pub(super) fn file(
    raw: &RawWorkload,
    layout: Option<Layout>,
    numjobs: Option<u32>,
    block: Option<u32>,
    problems: &mut Problems,
) -> Option<(String, u64)> {
    let name = raw.filename.as_ref().filter(|name| !name.value.is_empty());
    if let Some(name) = name {
        if let Some(why) = Workload::refused_name(&name.value) {
            let what = format!("`{}` {why}", name.value);
            let next = "use a name without a directory, like \"shared\": the file is in the file system \
                        under test";
            problems.add(&name.at, what, next);
            return None;
        }
        let layout = layout.filter(|layout| *layout != Layout::Written);
        if let Some(layout) = layout.filter(|_| numjobs.is_some_and(|jobs| jobs > 1)) {
            let what = format!(
                "makes {} threads share a file that every write changes (layout {})",
                numjobs.unwrap_or(0),
                layout.name()
            );
            let next = "leave fallocate and file_append out (every block is then written before), or use \
                        numjobs = 1, or leave filename out: then each thread has a file of its own";
            problems.add(&name.at, what, next);
            return None;
        }
    }
    let step = quantity(raw.offset_increment.as_ref(), "0", parse_bytes, problems)?;
    if let Some(key) = raw.offset_increment.as_ref().filter(|_| step != 0) {
        if name.is_none() {
            let what = "is about a file that threads share, and each has its own";
            problems.add(&key.at, what, "add filename = \"shared\", or leave it out");
            return None;
        }
        if let Some(block) = block.filter(|block| !step.is_multiple_of(u64::from(*block))) {
            let what = format!(
                "{} is not a multiple of bs, {}",
                show_bytes(step),
                show_bytes(block.into())
            );
            let next = "use a multiple of bs, so that all threads have the same blocks";
            problems.add(&key.at, what, next);
            return None;
        }
    }
    let name = name.map(|name| name.value.clone()).unwrap_or_default();
    Some((name, step))
}
