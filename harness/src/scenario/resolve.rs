//! What a scenario's text means, with every check (pure).

use super::fio::keys::Surroundings;
use super::problems::{At, Place, Problems};
use super::rules::{check_name, choice, place, required};
use super::{
    ChosenDevice, Clock, Device, DeviceKind, HostDisk, KernelRef, KernelSource, Lane, LeftOut,
    Overrides, PassedThrough, Scenario, conditioning, expect, filesystems, machine, model, nvme,
    parse::{self, RawKernel, RawScenario},
    session, workload,
};
use crate::error::Result;
use crate::suggest::next_step;
use crate::units::parse_nanos;
use std::path::Path;

/// Resolves a scenario's text. `origin` names the file in messages, `base_dir` is what relative
/// paths in it are relative to, `known` are the kernels that the lock names.
///
/// # Errors
/// [`crate::error::Exit::Input`], naming every problem at once: place, value, next step.
pub fn resolve(
    text: &str,
    origin: &str,
    base_dir: &Path,
    known: &[String],
    overrides: &Overrides,
) -> Result<Scenario> {
    let nothing = |_: &Path| Err("no files are read here".to_owned());
    let world = World {
        read: &nothing,
        variable: &|_| None,
        fio: &|_| None,
    };
    resolve_with(text, origin, base_dir, known, overrides, &world)
}

/// What a scenario with fio's job files needs of the world.
pub(super) struct World<'a> {
    /// Reads a file.
    pub(super) read: &'a dyn Fn(&Path) -> Result<String, String>,
    /// A variable of the environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// What fio itself says of a job file, if it refuses it.
    pub(super) fio: &'a dyn Fn(&str) -> Option<String>,
}

/// [`resolve`] for a scenario that names other files (fio's job files).
///
/// # Errors
/// As [`resolve`].
pub(super) fn resolve_with(
    text: &str,
    origin: &str,
    base_dir: &Path,
    known: &[String],
    overrides: &Overrides,
    world: &World<'_>,
) -> Result<Scenario> {
    let mut problems = Problems::default();
    let mut raw = parse::parse(text, &mut problems);
    if let (Some(raw), Some(time)) = (&mut raw, &overrides.runtime) {
        shorten(raw, time, &mut problems);
    }
    let mut build = |raw| build(&raw, base_dir, known, overrides, world, &mut problems);
    let scenario = raw.and_then(&mut build);
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ => Err(problems.into_error(origin, text)),
    }
}

/// Gives every workload that has a runtime another one, and a warm-up by time no longer one.
fn shorten(raw: &mut RawScenario, time: &str, problems: &mut Problems) {
    let given = At {
        value: time.to_owned(),
        at: Place::option("--runtime"),
    };
    let runtimes: Vec<_> = raw
        .workloads
        .iter_mut()
        .filter_map(|w| w.runtime.as_mut())
        .collect();
    if runtimes.is_empty() {
        let what = "no workload of this scenario has a runtime";
        problems.add(
            &given.at,
            what,
            "omit --runtime, or choose another scenario",
        );
    }
    for runtime in runtimes {
        *runtime = given.clone();
    }
    if let (Some(ramp), Ok(ns)) = (&mut raw.measure.ramp_time, parse_nanos(time))
        && parse_nanos(&ramp.value).is_ok_and(|ramp| ramp > ns)
    {
        *ramp = given;
    }
}

fn build(
    raw: &RawScenario,
    base_dir: &Path,
    known: &[String],
    overrides: &Overrides,
    world: &World<'_>,
    problems: &mut Problems,
) -> Option<Scenario> {
    let name = required(raw.name.as_ref(), "name", "\"iomap-dio\"", problems);
    if let Some(name) = &name {
        check_name(name, problems);
    }
    let title = required(
        raw.title.as_ref(),
        "title",
        "\"..\", one line for a heading",
        problems,
    );
    let lane = lane(raw, overrides.device.as_ref(), problems);
    let kernels = kernels(raw, base_dir, known, overrides, problems);
    let baseline = baseline(raw, overrides, problems);
    let smp = machine::smp(raw.smp.as_ref(), problems);
    let kind = lane.map_or(DeviceKind::Model, |lane| lane.device);
    let device = device(raw, kind, overrides.device.as_ref(), smp, problems);
    let in_guest = device.as_ref().map(Device::in_guest);
    let filesystems = filesystems::filesystems(&raw.filesystems, problems);
    let around = Surroundings {
        device: in_guest.as_ref(),
        clock: lane.map_or(Clock::Instructions, |lane| lane.clock),
        cpus: smp.unwrap_or(1),
        on: filesystems::on(&filesystems),
        choices: &overrides.fio,
        read: world.read,
        variable: world.variable,
        refused: world.fio,
        base_dir,
    };
    let workloads = workload::workloads(&raw.workloads, &around, problems);
    filesystems::suit(&filesystems, &workloads, &raw.filesystems, problems);
    let written_kind = written_kind(raw).unwrap_or(kind);
    let conditioning = conditioning::conditioning(&raw.conditioning, written_kind, kind, problems);
    let written_for = (written_kind, kind);
    let measure = machine::measure(
        &raw.measure,
        overrides,
        (lane.map(|lane| lane.clock), written_for),
        &workloads,
        problems,
    );
    let session = session::session(&raw.session, overrides, lane, problems);
    let memory_mib = machine::memory(raw.memory.as_ref(), device.as_ref(), &workloads, problems);
    let cmdline = machine::cmdline(&raw.cmdline, overrides, problems);
    let mut written = written(raw, overrides);
    written.workloads = workload::names(&raw.workloads, &workloads);
    let own = raw.baseline.as_ref().map(|b| b.value.as_str());
    let claims = expect::expect(&raw.expect, own, &written, problems);
    check_selection(overrides, &written, problems);
    let mut scenario = Scenario {
        name: name?.value.clone(),
        title: title?.value.clone(),
        description: text_or_empty(raw.description.as_ref()),
        baseline: baseline?,
        kernels,
        filesystems,
        workloads,
        device: device?,
        clock: lane?.clock,
        conditioning: conditioning?,
        memory_mib: memory_mib?,
        smp: smp?,
        cmdline,
        measure: measure?,
        session: session?,
        expect: claims,
        left_out: Vec::new(),
    };
    if let Some(own) = own {
        let chosen = std::mem::replace(&mut scenario.baseline, own.to_owned());
        scenario.rebase(&chosen);
    }
    select(&mut scenario, overrides);
    Some(scenario)
}

/// Every name as written, those of refused entries too: one mistake, one message.
fn written(raw: &RawScenario, overrides: &Overrides) -> expect::Names {
    let kernels = raw.kernels.iter().filter_map(|k| k.name.as_ref());
    let kernels = kernels.map(|name| &name.value);
    let mut unique: Vec<String> = Vec::new();
    for name in kernels.chain(overrides.kernels.iter().map(|k| &k.name)) {
        if !unique.contains(name) {
            unique.push(name.clone());
        }
    }
    expect::Names {
        kernels: unique,
        filesystems: raw
            .filesystems
            .iter()
            .map(|f| f.name.value.clone())
            .collect(),
        workloads: raw.workloads.iter().map(|w| w.name.value.clone()).collect(),
    }
}

fn text_or_empty(text: Option<&At<String>>) -> String {
    text.map(|text| text.value.trim().to_owned())
        .unwrap_or_default()
}

/// Device and clock. The model device has both clocks, any other the wall clock alone.
fn lane(raw: &RawScenario, chosen: Option<&ChosenDevice>, problems: &mut Problems) -> Option<Lane> {
    const CLOCKS: &[(&str, Clock)] =
        &[("instructions", Clock::Instructions), ("wall", Clock::Wall)];
    let devices = DeviceKind::ALL.map(|kind| (kind.name(), kind));
    let written = match &raw.device {
        Some(word) => choice(word, "devices", &devices, problems)?,
        None => DeviceKind::Model,
    };
    let device = chosen.map_or(written, ChosenDevice::kind);
    // What was written of the clock was written for another device.
    let clock = raw.clock.as_ref().filter(|_| device == written);
    let clock = match (clock, device) {
        (Some(word), _) => choice(word, "clocks", CLOCKS, problems)?,
        (None, DeviceKind::Model) => Clock::Instructions,
        (None, _) => Clock::Wall,
    };
    if device != DeviceKind::Model && clock == Clock::Instructions {
        let what = format!(
            "the {} device has no instruction clock: its completions arrive in real time",
            device.name()
        );
        let at = raw.clock.as_ref().or(raw.device.as_ref())?;
        problems.add(&at.at, what, "use clock = \"wall\", or device = \"model\"");
        return None;
    }
    Some(Lane { device, clock })
}

/// The scenario's own device, whatever the command line chooses.
fn written_kind(raw: &RawScenario) -> Option<DeviceKind> {
    match &raw.device {
        Some(word) => DeviceKind::ALL
            .into_iter()
            .find(|kind| kind.name() == word.value),
        None => Some(DeviceKind::Model),
    }
}

/// The device itself. A scenario may describe several, and says which one is meant.
fn device(
    raw: &RawScenario,
    kind: DeviceKind,
    chosen: Option<&ChosenDevice>,
    smp: Option<u32>,
    problems: &mut Problems,
) -> Option<Device> {
    let model = model::model(&raw.model, smp, problems).map(Device::Model);
    let nvme = nvme::nvme(&raw.nvme, smp, problems);
    match (kind, chosen) {
        (DeviceKind::Model, _) => model,
        (DeviceKind::Nvme, _) => nvme.map(Device::Nvme),
        (DeviceKind::Disk, Some(ChosenDevice::Disk(facts))) => {
            let nvme = nvme?;
            Some(Device::Disk(HostDisk {
                serial: facts.serial.clone(),
                size: facts.size,
                block_size: facts.block_size,
                queues: nvme.queues,
                scheduler: nvme.scheduler,
            }))
        }
        (DeviceKind::Vfio, Some(ChosenDevice::Vfio(facts))) => Some(Device::Vfio(PassedThrough {
            serial: facts.serial.clone(),
            size: facts.size,
            block_size: facts.block_size,
            scheduler: nvme?.scheduler,
        })),
        (DeviceKind::Disk, _) => {
            let at = place(raw.device.as_ref(), "device");
            let next = "say which with --device /dev/disk/by-id/...";
            problems.add(&at, "a disk is this host's", next);
            None
        }
        (DeviceKind::Vfio, _) => {
            let at = place(raw.device.as_ref(), "device");
            let next = "say which with --device vfio:0000:01:00.0; `diorama devices` lists them";
            problems.add(&at, "a controller is this host's", next);
            None
        }
    }
}

fn kernels(
    raw: &RawScenario,
    base_dir: &Path,
    known: &[String],
    overrides: &Overrides,
    problems: &mut Problems,
) -> Vec<KernelRef> {
    let mut kernels: Vec<KernelRef> = Vec::new();
    for raw in &raw.kernels {
        let Some(kernel) = kernel(raw, base_dir, known, problems) else {
            continue;
        };
        add_kernel(&mut kernels, kernel, &raw.at, problems);
    }
    let option = Place::option("--kernel");
    for kernel in &overrides.kernels {
        check_name(
            &At {
                value: kernel.name.clone(),
                at: option.clone(),
            },
            problems,
        );
        add_kernel(&mut kernels, kernel.clone(), &option, problems);
    }
    if raw.kernels.is_empty() && kernels.is_empty() && !problems.names("kernels") {
        let place = Place {
            key: "kernels".to_owned(),
            offset: None,
        };
        problems.add(
            &place,
            "is missing or empty",
            "add kernels = [\"6.12\", \"7.2\"]",
        );
    }
    kernels
}

fn kernel(
    raw: &RawKernel,
    base_dir: &Path,
    known: &[String],
    problems: &mut Problems,
) -> Option<KernelRef> {
    let Some(name) = &raw.name else {
        problems.add(
            &raw.at,
            "has no name",
            "add name = \"..\", which tables will show",
        );
        return None;
    };
    check_name(name, problems);
    let source = match (&raw.path, &raw.modules) {
        (Some(path), modules) => KernelSource::Local {
            path: base_dir.join(&path.value),
            modules: modules.as_ref().map(|dir| base_dir.join(&dir.value)),
        },
        (None, Some(modules)) => {
            let what = "modules are given without a kernel";
            problems.add(&modules.at, what, "add path = \"bzImage or vmlinux\"");
            return None;
        }
        (None, None) => {
            if !known.contains(&name.value) {
                unknown_kernel(name, known, problems);
            }
            KernelSource::Locked
        }
    };
    Some(KernelRef {
        name: name.value.clone(),
        source,
    })
}

fn unknown_kernel(name: &At<String>, known: &[String], problems: &mut Problems) {
    let what = format!("kernel `{}` is not in the lock", name.value);
    let next = if known.is_empty() {
        "declare it in kernels/ and run `diorama lock`".to_owned()
    } else {
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        format!(
            "{}; for your own build use {{ name = \"{}\", path = \"bzImage\" }}",
            next_step(&name.value, "kernels", &known),
            name.value
        )
    };
    problems.add(&name.at, what, next);
}

fn add_kernel(
    kernels: &mut Vec<KernelRef>,
    kernel: KernelRef,
    at: &Place,
    problems: &mut Problems,
) {
    let same = |other: &&KernelRef| {
        let local = matches!(kernel.source, KernelSource::Local { .. });
        other.name == kernel.name || (local && other.source == kernel.source)
    };
    match kernels.iter().find(same) {
        Some(other) if other.name == kernel.name => {
            let what = format!("there is already a kernel `{}`", kernel.name);
            problems.add(at, what, "remove it or give it another name");
        }
        Some(other) => {
            let what = format!(
                "kernels `{}` and `{}` are the same file",
                other.name, kernel.name
            );
            problems.add(at, what, "remove one: equal inputs give equal digits");
        }
        None => kernels.push(kernel),
    }
}

fn baseline(raw: &RawScenario, overrides: &Overrides, problems: &mut Problems) -> Option<String> {
    let option = overrides.baseline.as_ref().map(|name| At {
        value: name.clone(),
        at: Place::option("--baseline"),
    });
    let name = match &option {
        Some(name) => name,
        None => required(raw.baseline.as_ref(), "baseline", "\"7.2\"", problems)?,
    };
    let written = written(raw, overrides);
    if !written.kernels.contains(&name.value) {
        let known: Vec<_> = written.kernels.iter().map(String::as_str).collect();
        let what = format!("baseline `{}` is not one of the kernels", name.value);
        problems.add(&name.at, what, next_step(&name.value, "kernels", &known));
    }
    Some(name.value.clone())
}

/// Whether what the command line selects is there.
fn check_selection(overrides: &Overrides, names: &expect::Names, problems: &mut Problems) {
    let options = [
        ("--only-kernel", &overrides.only_kernels, &names.kernels),
        (
            "--filesystem",
            &overrides.only_filesystems,
            &names.filesystems,
        ),
        ("--workload", &overrides.only_workloads, &names.workloads),
    ];
    for (option, wanted, all) in options {
        let known: Vec<_> = all.iter().map(String::as_str).collect();
        for name in wanted.iter().filter(|name| !all.contains(name)) {
            let what = format!("`{name}` is not in this scenario");
            problems.add(
                &Place::option(option),
                what,
                next_step(name, "names", &known),
            );
        }
    }
}

/// Leaves what the command line asked for: cells that are not selected are not part of the
/// scenario any more. Claims that are about none of the cells that remain are left out, and said to
/// be.
fn select(scenario: &mut Scenario, overrides: &Overrides) {
    let baseline = scenario.baseline.clone();
    let (kernels, filesystems, workloads) = (
        &overrides.only_kernels,
        &overrides.only_filesystems,
        &overrides.only_workloads,
    );
    let keeps = |wanted: &[String], name: &String| wanted.is_empty() || wanted.contains(name);
    let keeps_kernel = |name: &String| keeps(kernels, name) || *name == baseline;
    let gone = [
        (part(&mut scenario.kernels, |k| &k.name, keeps_kernel)),
        (part(
            &mut scenario.filesystems,
            |f| &f.name,
            |name| keeps(filesystems, name),
        )),
        (part(
            &mut scenario.workloads,
            |w| &w.name,
            |name| keeps(workloads, name),
        )),
    ];
    for mut claim in std::mem::take(&mut scenario.expect) {
        let as_made = claim.clone();
        let selectors = [
            &mut claim.kernels,
            &mut claim.filesystems,
            &mut claim.workloads,
        ];
        let (mut empty, mut without) = (false, Vec::new());
        for (selector, gone) in selectors.into_iter().zip(&gone) {
            let meant = |name: &&String| selector.is_empty() || selector.contains(name);
            without.extend(gone.iter().filter(meant).cloned());
            let all = selector.is_empty();
            selector.retain(|name| !gone.contains(name));
            empty |= !all && selector.is_empty();
        }
        // A ratio to the baseline needs a kernel besides it.
        let alone = claim.relative && scenario.kernels.len() < 2;
        if empty || alone {
            let why = match without.as_slice() {
                [] => "no kernel besides the baseline is measured".to_owned(),
                names => format!("the command line left out {}", names.join(", ")),
            };
            scenario.left_out.push(LeftOut {
                claim: as_made,
                baseline: baseline.clone(),
                why,
            });
        } else {
            claim.without = without;
            scenario.expect.push(claim);
        }
    }
}

/// Keeps some parts; the names of the others.
fn part<T>(
    parts: &mut Vec<T>,
    name: impl Fn(&T) -> &String,
    keeps: impl Fn(&String) -> bool,
) -> Vec<String> {
    let gone = parts.extract_if(.., |part| !keeps(name(part)));
    gone.map(|part| name(&part).clone()).collect()
}
