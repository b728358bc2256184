//! What a scenario's text means, with every check (pure).

use super::fio::keys::Surroundings;
use super::problems::{At, Place, Problems};
use super::rules::{check_name, choice, duplicate, place, required};
use super::{
    AS_WRITTEN, ChosenDevice, Clock, Device, DeviceKind, FilesystemSpec, HostDisk, Lane, Override,
    Overrides, Parts, PassedThrough, Scenario, SubjectKey, Variant, WorkloadSpec, conditioning,
    expect, filesystems,
    kernels::kernels,
    machine, model, nvme,
    parse::{self, RawScenario},
    selection, session, source,
    vary::{self, RawOverride, Texts},
    workload,
};
use crate::error::Result;
use crate::suggest::next_step;
use crate::units::parse_nanos;
use diorama_wire::{Conditioning, Measure};
use std::path::Path;
use toml::de::DeTable;

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
    let Some(root) = parse::document(text, &mut problems) else {
        return Err(problems.into_error(origin, text));
    };
    let reader = Reader {
        base_dir,
        known,
        overrides,
        world,
    };
    let texts = Texts::new(&overrides.vary, text.len());
    let read = reader.read(&root, &mut problems);
    let own = read.settings.as_ref();
    let variants = reader.variants(&root, &texts, text.len(), own, &mut problems);
    let scenario = reader.build(read, variants, &mut problems);
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ => Err(problems.into_error(origin, text)),
    }
}

/// What every reading of a document needs besides it.
struct Reader<'a> {
    base_dir: &'a Path,
    known: &'a [String],
    overrides: &'a Overrides,
    world: &'a World<'a>,
}

/// What cells are measured with: all that a variant may change, and device and clock.
#[derive(Clone, PartialEq)]
struct Settings {
    device: Device,
    clock: Clock,
    conditioning: Conditioning,
    memory_mib: u32,
    smp: u32,
    cmdline: Vec<String>,
    measure: Measure,
    filesystems: Vec<FilesystemSpec>,
    workloads: Vec<WorkloadSpec>,
}

/// A document's values, and what they mean.
struct Read {
    raw: RawScenario,
    /// Of the workloads that make sense.
    workload_names: Vec<String>,
    /// Absent where something in them makes none.
    settings: Option<Settings>,
}

/// A variant whose values make sense.
struct Varied {
    name: String,
    by_option: bool,
    overrides: Vec<Override>,
    settings: Settings,
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

impl Reader<'_> {
    fn read(&self, root: &DeTable<'_>, problems: &mut Problems) -> Read {
        let mut raw = parse::scenario(root, problems);
        if let Some(time) = &self.overrides.runtime {
            shorten(&mut raw, time, problems);
        }
        let (workload_names, settings) = self.settings(&raw, problems);
        Read {
            raw,
            workload_names,
            settings,
        }
    }

    /// Names of workloads, and what cells are measured with.
    fn settings(
        &self,
        raw: &RawScenario,
        problems: &mut Problems,
    ) -> (Vec<String>, Option<Settings>) {
        let overrides = self.overrides;
        let lane = lane(raw, overrides.device.as_ref(), problems);
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
            read: self.world.read,
            variable: self.world.variable,
            refused: self.world.fio,
            base_dir: self.base_dir,
        };
        let workloads = workload::workloads(&raw.workloads, &around, problems);
        filesystems::suit(&filesystems, &workloads, &raw.filesystems, problems);
        let written_kind = written_kind(raw).unwrap_or(kind);
        let conditioning =
            conditioning::conditioning(&raw.conditioning, written_kind, kind, problems);
        let written_for = (written_kind, kind);
        let measure = machine::measure(
            &raw.measure,
            overrides,
            (lane.map(|lane| lane.clock), written_for),
            &workloads,
            problems,
        );
        let memory_mib =
            machine::memory(raw.memory.as_ref(), device.as_ref(), &workloads, problems);
        let cmdline = machine::cmdline(&raw.cmdline, overrides, problems);
        let names = workload::names(&raw.workloads, &workloads);
        let settings = || {
            Some(Settings {
                device: device?,
                clock: lane?.clock,
                conditioning: conditioning?,
                memory_mib: memory_mib?,
                smp: smp?,
                cmdline,
                measure: measure?,
                filesystems,
                workloads,
            })
        };
        (names, settings())
    }

    /// The variants of the document and of the command line, each read as a scenario that is written
    /// out. What is wrong with one is said with its name.
    fn variants<'i>(
        &self,
        root: &DeTable<'i>,
        texts: &'i Texts,
        length: usize,
        own: Option<&Settings>,
        problems: &mut Problems,
    ) -> Vec<Varied> {
        let of = |overrides: &[RawOverride<'i>], found: &mut Problems| {
            let root = vary::apply(root, overrides, found);
            self.read(&root, found).settings
        };
        // Whatever is wrong with the document as a whole was said.
        let mut written = Problems::default();
        let mut raw = vary::written(root, &mut written);
        problems.adopt(written, |place| place);
        let said = problems.clone();
        let is_own = |overrides: &[RawOverride<'i>]| {
            let (mut found, mut all) = (Problems::default(), said.clone());
            let settings = of(overrides, &mut found);
            all.adopt(found, |place| place);
            own.is_some() && settings.as_ref() == own && all.count() == said.count()
        };
        let mut by_option = Problems::default();
        raw.extend(vary::points(texts, is_own, &mut by_option));
        // Places beyond the file's end are the command line's.
        let placed = |place: Place, variant: Option<&str>| match (place.offset, variant) {
            (Some(offset), _) if offset > length => Place::option(&format!("--vary {}", place.key)),
            (_, Some(name)) if !place.key.starts_with("--") => Place {
                key: format!("variant {name}: {}", place.key),
                offset: place.offset,
            },
            _ => place,
        };
        problems.adopt(by_option, |place| placed(place, None));
        let mut varied: Vec<Varied> = Vec::new();
        for raw in raw {
            let name = &raw.name.value;
            let mut found = Problems::default();
            let settings = of(&raw.overrides, &mut found);
            let before = problems.count();
            problems.adopt(found, |place| placed(place, Some(name)));
            let Some(settings) = settings.filter(|_| problems.count() == before) else {
                continue;
            };
            let alike = varied.iter().find(|other| other.settings == settings);
            if raw.by_option {
                check_name(&raw.name, problems);
            }
            if raw.overrides.is_empty() {
                // That it has none was said.
            } else if own == Some(&settings) {
                let what = format!(
                    "the variant `{name}` changes nothing that is measured on the {} device",
                    settings.device.kind().name()
                );
                let next = "remove it, or give a key another value: equal inputs give equal digits";
                problems.add(&raw.name.at, what, next);
            } else if let Some(other) = alike {
                duplicate(&raw.name, &other.name, "variants", problems);
            } else if raw.by_option && varied.iter().any(|other| other.name == *name) {
                let what = format!("there is already a variant `{name}`");
                problems.add(&raw.name.at, what, "leave out this value");
            }
            varied.push(Varied {
                name: name.clone(),
                by_option: raw.by_option,
                overrides: raw.overrides.iter().map(RawOverride::shown).collect(),
                settings,
            });
        }
        varied
    }

    fn build(
        &self,
        read: Read,
        variants: Vec<Varied>,
        problems: &mut Problems,
    ) -> Option<Scenario> {
        let overrides = self.overrides;
        let (raw, own) = (read.raw, read.settings);
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
        let kernels = kernels(&raw, self.base_dir, self.known, overrides, problems);
        let mut written = written(&raw, &variants, overrides);
        let subjects = written.subjects();
        check_names(&subjects, problems);
        let baseline = baseline(&raw, overrides, &subjects, problems);
        // What is wrong with it was said.
        let lane = lane(&raw, overrides.device.as_ref(), &mut Problems::default());
        let session = session::session(&raw.session, overrides, lane, problems);
        written.workloads = read.workload_names;
        let own_baseline = raw.baseline.as_ref().map(|b| b.value.as_str());
        let claims = expect::expect(&raw.expect, own_baseline, &written, problems);
        let source = source::source(raw.source.as_ref(), problems);
        selection::check(overrides, &written, problems);
        let own = own?;
        let mut scenario = Scenario {
            name: name?.value.clone(),
            title: title?.value.clone(),
            description: text_or_empty(raw.description.as_ref()),
            source,
            baseline: baseline?,
            kernels,
            variants: Vec::new(),
            subjects,
            filesystems: own.filesystems,
            workloads: own.workloads,
            device: own.device,
            clock: own.clock,
            conditioning: own.conditioning,
            memory_mib: own.memory_mib,
            smp: own.smp,
            cmdline: own.cmdline,
            measure: own.measure,
            session: session?,
            expect: claims,
            environment: Vec::new(),
            left_out: Vec::new(),
        };
        scenario.variants = variants
            .into_iter()
            .map(|variant| Variant {
                parts: Parts::between(&scenario, &variant.settings.put_into(&scenario)),
                name: variant.name,
                overrides: variant.overrides,
            })
            .collect();
        if let Some(own) = own_baseline {
            let chosen = std::mem::replace(&mut scenario.baseline, own.to_owned());
            scenario.rebase(&chosen);
        }
        selection::select(&mut scenario, overrides);
        Some(scenario)
    }
}

impl Settings {
    /// A scenario with these.
    fn put_into(self, scenario: &Scenario) -> Scenario {
        Scenario {
            device: self.device,
            clock: self.clock,
            conditioning: self.conditioning,
            memory_mib: self.memory_mib,
            smp: self.smp,
            cmdline: self.cmdline,
            measure: self.measure,
            filesystems: self.filesystems,
            workloads: self.workloads,
            ..scenario.clone()
        }
    }
}

/// Every name as written, those of refused entries too: one mistake, one message.
fn written(raw: &RawScenario, variants: &[Varied], overrides: &Overrides) -> expect::Names {
    let kernels = raw.kernels.iter().filter_map(|k| k.name.as_ref());
    let kernels = kernels.map(|name| &name.value);
    let mut unique: Vec<String> = Vec::new();
    for name in kernels.chain(overrides.kernels.iter().map(|k| &k.name)) {
        if !unique.contains(name) {
            unique.push(name.clone());
        }
    }
    // Claims of a scenario that has no variants are about it as it is written.
    let claimed = (!overrides.vary.is_empty()).then(|| {
        let own = variants.iter().filter(|variant| !variant.by_option);
        let own = own.map(|variant| variant.name.clone());
        [AS_WRITTEN.to_owned()].into_iter().chain(own).collect()
    });
    expect::Names {
        kernels: unique,
        variants: variants
            .iter()
            .map(|variant| variant.name.clone())
            .collect(),
        claimed: claimed.unwrap_or_default(),
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

fn baseline(
    raw: &RawScenario,
    overrides: &Overrides,
    subjects: &[SubjectKey],
    problems: &mut Problems,
) -> Option<String> {
    let option = overrides.baseline.as_ref().map(|name| At {
        value: name.clone(),
        at: Place::option("--baseline"),
    });
    let name = match &option {
        Some(name) => name,
        None => required(raw.baseline.as_ref(), "baseline", "\"7.2\"", problems)?,
    };
    if !subjects.iter().any(|subject| subject.is(&name.value)) {
        let known: Vec<String> = subjects.iter().map(SubjectKey::to_string).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let kind = match subjects.iter().any(|subject| subject.variant.is_some()) {
            true => "subjects",
            false => "kernels",
        };
        let what = format!("baseline `{}` is not one of the {kind}", name.value);
        problems.add(&name.at, what, next_step(&name.value, kind, &known));
    }
    Some(name.value.clone())
}

/// Whether every subject is known by its name.
fn check_names(subjects: &[SubjectKey], problems: &mut Problems) {
    for subject in subjects.iter().filter(|subject| subject.variant.is_some()) {
        let name = subject.to_string();
        if subjects.iter().filter(|other| other.is(&name)).count() > 1 {
            let what =
                format!("`{name}` is the name of two subjects: a kernel's and its variant's");
            let at = Place {
                key: "variants".to_owned(),
                offset: None,
            };
            problems.add(&at, what, "give the variant or the kernel another name");
        }
    }
}
