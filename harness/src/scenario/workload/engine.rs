//! The engine, its queue and its options (pure).

use super::{choice, defaults};
use crate::scenario::{
    parse::RawWorkload,
    problems::{At, Problems},
    rules::bounded,
};
use diorama_wire::{Batch, Engine, IoUring, Workload};

/// `ioengine`
pub(super) fn engine(raw: &RawWorkload, problems: &mut Problems) -> Option<Engine> {
    let engines = Engine::ALL.map(|engine| (engine.name(), engine));
    match &raw.ioengine {
        Some(word) => choice(word, "engines", &engines, problems),
        None => Some(Engine::Libaio),
    }
}

/// `iodepth`: one where an I/O is a system call that returns when it is done.
pub(super) fn iodepth(
    raw: &RawWorkload,
    engine: Option<Engine>,
    problems: &mut Problems,
) -> Option<u32> {
    let Some(depth) = &raw.iodepth else {
        return Some(match engine {
            Some(Engine::Psync) => 1,
            _ => defaults::IODEPTH,
        });
    };
    if engine == Some(Engine::Psync) && depth.value != 1 {
        let what = format!("is {}, but psync waits for every I/O", depth.value);
        let next = "leave it out, or use ioengine = \"libaio\" or \"io_uring\"; numjobs gives psync \
                    more I/Os in flight";
        problems.add(&depth.at, what, next);
        return None;
    }
    bounded(
        Some(depth),
        defaults::IODEPTH,
        (1, Workload::MAX_DEPTH),
        problems,
    )
}

/// `iodepth_batch` and its relatives, with fio's defaults: one, one, and as many as the least.
pub(super) fn batch(
    raw: &RawWorkload,
    engine: Option<Engine>,
    iodepth: Option<u32>,
    problems: &mut Problems,
) -> Option<Batch> {
    let (submit, least, most) = (&raw.iodepth_batch, &raw.complete_min, &raw.complete_max);
    let written = [submit, least, most].into_iter().flatten();
    if engine == Some(Engine::Psync) {
        let mut refused = false;
        for key in written.filter(|key| key.value != 1) {
            let what = format!("is {}, but psync has one I/O at a time", key.value);
            let next = "leave it out, or use ioengine = \"libaio\" or \"io_uring\"";
            problems.add(&key.at, what, next);
            refused = true;
        }
        return (!refused).then(Batch::default);
    }
    // A depth that was refused is not blamed on the batch as well.
    let depth = iodepth.unwrap_or(Workload::MAX_DEPTH);
    let within = |key: &Option<At<u64>>, default: u32, problems: &mut Problems| {
        let value = bounded(key.as_ref(), default, (1, Workload::MAX_DEPTH), problems)?;
        if let Some(key) = key.as_ref().filter(|_| value > depth) {
            let what = format!("is {value}, more than iodepth, {depth}");
            problems.add(&key.at, what, "use at most iodepth, or a larger iodepth");
            return None;
        }
        Some(value)
    };
    let submit = within(submit, 1, problems);
    let complete_min = within(least, 1, problems);
    let complete_max = within(most, complete_min.unwrap_or(1), problems);
    let (complete_min, complete_max) = (complete_min?, complete_max?);
    if let Some(most) = most.as_ref().filter(|_| complete_min > complete_max) {
        let what =
            format!("is {complete_max}, less than iodepth_batch_complete_min, {complete_min}");
        problems.add(&most.at, what, "use at least that, or leave it out");
        return None;
    }
    Some(Batch {
        submit: submit?,
        complete_min,
        complete_max,
    })
}

/// What belongs to io_uring alone.
pub(super) fn io_uring(
    raw: &RawWorkload,
    engine: Option<Engine>,
    problems: &mut Problems,
) -> Option<IoUring> {
    let on = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
    let flags = [
        (&raw.fixedbufs, "registers buffers with a ring"),
        (&raw.registerfiles, "registers files with a ring"),
        (&raw.hipri, "polls a ring for completions"),
    ];
    let mut refused = false;
    if let Some(engine) = engine.filter(|engine| *engine != Engine::IoUring) {
        for (flag, does) in flags {
            let Some(flag) = flag.as_ref().filter(|flag| flag.value) else {
                continue;
            };
            let what = format!("{does}, and {} has none", engine.name());
            problems.add(
                &flag.at,
                what,
                "leave it out, or use ioengine = \"io_uring\"",
            );
            refused = true;
        }
    }
    (!refused).then(|| IoUring {
        fixedbufs: on(&raw.fixedbufs),
        registerfiles: on(&raw.registerfiles),
        hipri: on(&raw.hipri),
    })
}
