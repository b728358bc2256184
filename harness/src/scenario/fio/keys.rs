//! A workload's `via` and `fio` keys (pure).

pub(in crate::scenario) use super::checker::On;

use super::checker::Guest;
use super::scale::{Limits, SHORTEST_NS};
use super::source::{self, Outside};
use super::{Refusal, Wanted, job_file, travels, words};
use crate::scenario::{
    Clock, FioChoices, WorkloadSpec,
    parse::{JobFileText, RawWorkload},
    problems::{Place, Problems},
    rules::choice,
};
use diorama_wire::{Bound, Device, Fio, Layout, Workload};
use std::path::Path;

/// A drive of the default's size, where the scenario's makes no sense.
const NO_DEVICE: u64 = 512 << 20;

/// What a job file may ask of others, and what it runs on.
pub(in crate::scenario) struct Surroundings<'a> {
    /// The guest's drive, if it makes sense.
    pub(in crate::scenario) device: Option<&'a Device>,
    /// What time is.
    pub(in crate::scenario) clock: Clock,
    /// The guest's CPUs.
    pub(in crate::scenario) cpus: u32,
    /// What its jobs run on.
    pub(in crate::scenario) on: On,
    /// What the command line says about job files.
    pub(in crate::scenario) choices: &'a FioChoices,
    /// Reads a file.
    pub(in crate::scenario) read: &'a dyn Fn(&Path) -> Result<String, String>,
    /// A variable's value in the environment.
    pub(in crate::scenario) variable: &'a dyn Fn(&str) -> Option<String>,
    /// What fio itself says of a job file, if it refuses it.
    pub(in crate::scenario) refused: &'a dyn Fn(&str) -> Option<String>,
    /// What the scenario's paths are relative to.
    pub(in crate::scenario) base_dir: &'a Path,
}

/// What `fio = ".."` means: a workload for each group of jobs that run together.
pub(in crate::scenario) fn from_file(
    raw: &RawWorkload,
    file: &JobFileText,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Vec<WorkloadSpec> {
    let shown = shown(&file.path.value);
    for key in &file.beside {
        let what = format!("cannot be combined with fio = \"{shown}\"");
        problems.add(key, what, "put it into the job file, or remove fio");
    }
    const SCALES: &[(&str, bool)] = &[("auto", true), ("none", false)];
    let scale = match &file.scale {
        Some(word) => choice(word, "ways to scale", SCALES, problems),
        None => Some(true),
    };
    let Some(scale) = scale else {
        return Vec::new();
    };
    let refuse = |found: Vec<Refusal>, problems: &mut Problems| {
        for refusal in found {
            let what = format!("{shown}:{}: {}", refusal.line, refusal.what);
            problems.add(&file.path.at, what, refusal.next);
        }
        Vec::new()
    };
    let own: Vec<String> = file.section.iter().map(|name| name.value.clone()).collect();
    let choices = around.choices;
    let sections = if choices.sections.is_empty() {
        &own
    } else {
        &choices.sections
    };
    let wanted = Wanted {
        guest: Guest {
            sector: around
                .device
                .and_then(Device::block_size)
                .unwrap_or(512)
                .max(512),
            cpus: around.cpus,
            on: around.on,
        },
        limits: Limits {
            // A drive passed through is as large as its guests find it.
            device: around
                .device
                .map_or(NO_DEVICE, |of| of.size().unwrap_or(u64::MAX)),
            by_instructions: around.clock == Clock::Instructions,
            scale: scale && !choices.literal,
        },
        sections,
        overwrite: choices.overwrite || file.overwrite.as_ref().is_some_and(|on| on.value),
    };
    let path = around.base_dir.join(&file.path.value);
    let include = |name: &str| {
        let beside = path.parent().unwrap_or(Path::new("")).join(name);
        (around.read)(&beside).map_err(|why| format!("{} cannot be read: {why}", beside.display()))
    };
    let given = |name: &str| {
        let given = choices.variables.iter().rev().find(|(own, _)| own == name);
        given
            .map(|(_, value)| value.clone())
            .or_else(|| (around.variable)(name))
    };
    let outside = Outside {
        include: &include,
        variable: &given,
        refused: around.refused,
    };
    let lines = match source::is_command(&file.path.value) {
        true => source::command(&file.path.value).map_err(|what| (1, what)),
        false => match (around.read)(&path) {
            Ok(text) => source::included(&text, &outside),
            Err(why) => {
                let what = format!("`{}` cannot be read: {why}", file.path.value);
                let next = "give a job file, relative to the scenario, or fio's command line";
                problems.add(&file.path.at, what, next);
                return Vec::new();
            }
        },
    };
    let lines = match lines {
        Ok(lines) => lines,
        Err((line, what)) => {
            let next = "see \"Job file format\" in fio's HOWTO".to_owned();
            return refuse(vec![Refusal { line, what, next }], problems);
        }
    };
    let runs = match job_file(&lines, &wanted, &outside) {
        Ok(runs) => runs,
        Err(found) => return refuse(found, problems),
    };
    if !file.beside.is_empty() {
        return Vec::new();
    }
    let base = &raw.name.value;
    let spec = |run: super::Run| WorkloadSpec {
        name: match run.suffix {
            Some(suffix) => format!("{base}-{suffix}"),
            None => base.clone(),
        },
        job: run.workload,
        fio: Some(run.fio),
        notes: run.said,
    };
    runs.into_iter().map(spec).collect()
}

/// Whether a workload can run on a block device itself; why not.
pub(in crate::scenario) fn refused_by_a_device(spec: &WorkloadSpec) -> Option<String> {
    if let Some(fio) = &spec.fio {
        let on_device = super::on_device(fio);
        return on_device.and_then(|fio| travels(&fio)).err();
    }
    (spec.job.layout != Layout::Written).then(|| {
        let layout = spec.job.layout.name();
        format!("a block device is neither allocated nor extended (layout {layout})")
    })
}

/// How a job file is named in messages: a command line by its beginning.
fn shown(path: &str) -> String {
    match source::is_command(path) {
        true => "fio's command line".to_owned(),
        false => path.to_owned(),
    }
}

/// Says that a key is about a job file, where there is none.
pub(in crate::scenario) fn refuse_without_file(key: &Place, problems: &mut Problems) {
    let what = "is about a job file, and there is none";
    problems.add(key, what, "add fio = \"..\", or remove it");
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
