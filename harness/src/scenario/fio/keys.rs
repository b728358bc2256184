//! A workload's `via` and `fio` keys (pure).

use super::{job_file, travels, words};
use crate::scenario::{
    parse::{JobFileText, RawWorkload},
    problems::Problems,
    rules::{choice, larger},
};
use crate::units::show_bytes;
use diorama_wire::{Bound, Device, Fio, Workload};

/// fio's figures count whole milliseconds: shorter windows are not known to half a percent.
const SHORTEST_NS: u64 = 200_000_000;

/// What `fio = "..."` means.
pub(in crate::scenario) fn from_file(
    file: &JobFileText,
    device: Option<&Device>,
    problems: &mut Problems,
) -> Option<(Workload, Fio)> {
    let larger = larger(device);
    for key in &file.beside {
        let what = format!("cannot be combined with fio = \"{}\"", file.path.value);
        problems.add(key, what, "put it into the job file, or remove fio");
    }
    let text = match &file.text {
        Ok(text) => text,
        Err(why) => {
            let what = format!("`{}` cannot be read: {why}", file.path.value);
            problems.add(
                &file.path.at,
                what,
                "give a job file, relative to the scenario",
            );
            return None;
        }
    };
    let block = device.and_then(Device::block_size).unwrap_or(512);
    let (workload, fio) = match job_file(text, block) {
        Ok(both) => both,
        Err(found) => {
            for refusal in found {
                let what = format!("{}:{}: {}", file.path.value, refusal.line, refusal.what);
                problems.add(&file.path.at, what, refusal.next);
            }
            return None;
        }
    };
    if let Some(device) = device.and_then(Device::size)
        && workload.file_size > device / 4 * 3
    {
        let what = format!(
            "the jobs of `{}` use {}, more than 3/4 of the device, {}",
            file.path.value,
            show_bytes(workload.file_size),
            show_bytes(device)
        );
        let next = format!("use a smaller size there, or {larger}");
        problems.add(&file.path.at, what, next);
    }
    file.beside.is_empty().then_some((workload, fio))
}

/// What `via` makes of our own workload: nothing, or fio's job file. None when it is refused.
pub(in crate::scenario) fn via(
    raw: &RawWorkload,
    workload: &Workload,
    problems: &mut Problems,
) -> Option<Option<Fio>> {
    let Some(via) = &raw.via else {
        return Some(None);
    };
    const ENGINES: &[(&str, bool)] = &[("diorama", false), ("fio", true)];
    if !choice(via, "programs that run a workload", ENGINES, problems)? {
        return Some(None);
    }
    if let Bound::Runtime(ns) = workload.bound
        && ns < SHORTEST_NS
    {
        let what = "fio counts whole milliseconds, and the runtime is shorter than 200ms";
        problems.add(&via.at, what, "use runtime = \"500ms\" or more");
        return None;
    }
    let fio = words::jobs(workload).map_err(str::to_owned);
    match fio.and_then(|fio| travels(&fio).map(|()| fio)) {
        Ok(fio) => Some(Some(fio)),
        Err(why) => {
            problems.add(&via.at, why, "remove via: our own engine supports it");
            None
        }
    }
}
