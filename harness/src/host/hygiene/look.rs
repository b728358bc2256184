//! Looking at the host: sysfs, procfs, and the drive itself.

use super::{DriveHygiene, Hygiene, ImageRoom};
use crate::{
    devices::{self, Health, PciAddress},
    files,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where the host's sysfs, procfs and device nodes are, and how its drives are asked.
#[derive(Clone, Debug)]
pub struct Places {
    sys: PathBuf,
    proc: PathBuf,
    dev: PathBuf,
    ask: fn(&Path) -> Result<Health, String>,
}

/// What of the host's is measured.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A drive's image in this directory.
    Image(&'a Path),
    /// A disk, by its node.
    Disk(&'a Path),
    /// The first namespace of a controller, which the host's driver still has.
    Controller(PciAddress),
    /// Every NVMe drive, and no image.
    EveryDrive,
}

impl Places {
    /// This machine.
    #[must_use]
    pub fn here() -> Places {
        Places::at("/sys", "/proc", "/dev", devices::health)
    }

    /// A host whose sysfs, procfs and device nodes are elsewhere, and whose drives answer so.
    #[must_use]
    pub fn at(
        sys: impl Into<PathBuf>,
        proc: impl Into<PathBuf>,
        dev: impl Into<PathBuf>,
        ask: fn(&Path) -> Result<Health, String>,
    ) -> Places {
        Places {
            sys: sys.into(),
            proc: proc.into(),
            dev: dev.into(),
            ask,
        }
    }

    /// Looks, and changes nothing.
    #[must_use]
    pub fn look(&self, subject: Subject<'_>) -> Hygiene {
        let cpu = self.sys.join("devices/system/cpu");
        let cpus = numbered(&cpu, "cpu");
        let load = text(&self.proc.join("loadavg"));
        Hygiene {
            governors: counted(&cpus, "cpufreq/scaling_governor"),
            energy_preferences: counted(&cpus, "cpufreq/energy_performance_preference"),
            boost: boost(&cpu),
            smt: flag(&cpu.join("smt/active")),
            isolated: text(&cpu.join("isolated")),
            cpu_throttled: throttled(&cpus),
            cpus: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
            load: load.and_then(|text| text.split(' ').next()?.parse().ok()),
            on_battery: self.on_battery(),
            drives: self.drives(subject),
            image: match subject {
                Subject::Image(directory) => room(directory),
                _ => None,
            },
        }
    }

    /// Documentation/ABI/testing/sysfs-class-power
    fn on_battery(&self) -> Option<bool> {
        let supplies = entries(&self.sys.join("class/power_supply"));
        let of = |kind: &str| {
            let supplies = supplies.iter();
            let of: Vec<&PathBuf> = supplies
                .filter(|dir| text(&dir.join("type")).as_deref() == Some(kind))
                // The battery of a mouse powers nothing here.
                .filter(|dir| text(&dir.join("scope")).as_deref() != Some("Device"))
                .collect();
            of
        };
        let batteries = of("Battery");
        if batteries.is_empty() {
            return None;
        }
        let discharging =
            |dir: &&PathBuf| text(&dir.join("status")).as_deref() == Some("Discharging");
        let plugged = of("Mains")
            .iter()
            .any(|dir| flag(&dir.join("online")) == Some(true));
        Some(!plugged && batteries.iter().any(discharging))
    }

    fn drives(&self, subject: Subject<'_>) -> Vec<DriveHygiene> {
        let names: Vec<String> = match subject {
            Subject::Image(_) => Vec::new(),
            Subject::Disk(node) => {
                let node = fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
                let name = node
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                name.into_iter().collect()
            }
            Subject::Controller(address) => {
                let of = self.sys.join(format!("bus/pci/devices/{address}/nvme"));
                let below = entries(&of)
                    .first()
                    .map(|dir| entries(dir))
                    .unwrap_or_default();
                let names = below.iter().filter_map(|dir| namespace(&name(dir)));
                names.take(1).collect()
            }
            Subject::EveryDrive => {
                let disks = entries(&self.sys.join("block"));
                let names = disks.iter().map(|dir| name(dir));
                // A hidden path to a multipathed namespace is none of its own.
                names
                    .filter(|name| namespace(name).as_ref() == Some(name))
                    .collect()
            }
        };
        names.into_iter().map(|name| self.drive(name)).collect()
    }

    fn drive(&self, name: String) -> DriveHygiene {
        let dir = self.sys.join("block").join(&name).join("device");
        let sensor = sensor(&dir);
        let celsius = |file: &str| {
            let millidegrees: f64 = text(&sensor.as_ref()?.join(file))?.parse().ok()?;
            Some(millidegrees / 1000.0)
        };
        let mut found = DriveHygiene {
            model: text(&dir.join("model")),
            temperature_c: celsius("temp1_input"),
            temperature_max_c: celsius("temp1_max"),
            apst_latency_us: number(&dir.join("power/pm_qos_latency_tolerance_us")),
            ..DriveHygiene::default()
        };
        match namespace(&name) {
            Some(_) => match (self.ask)(&self.dev.join(&name)) {
                Ok(health) => {
                    found.namespace = health.namespace;
                    found.smart = Some(health.smart);
                }
                Err(why) => found.not_asked = Some(why),
            },
            None => found.not_asked = Some("it is not an NVMe drive".to_owned()),
        }
        found.name = name;
        found
    }
}

/// The name of a namespace's disk, where this is one or a hidden path to one (`nvme0c1n1`).
fn namespace(name: &str) -> Option<String> {
    let (controller, number) = name.strip_prefix("nvme")?.split_once('n')?;
    let subsystem = controller.split_once('c').map_or(controller, |(s, _)| s);
    number.parse::<u32>().ok()?;
    subsystem.parse::<u32>().ok()?;
    Some(format!("nvme{subsystem}n{number}"))
}

/// The hwmon of a disk's device: below it, or below what is there for it (drivetemp).
fn sensor(device: &Path) -> Option<PathBuf> {
    let here = numbered(device, "hwmon");
    let below = numbered(&device.join("hwmon"), "hwmon");
    here.into_iter().chain(below).next()
}

fn boost(cpu: &Path) -> Option<bool> {
    let no_turbo = flag(&cpu.join("intel_pstate/no_turbo")).map(|off| !off);
    no_turbo.or_else(|| flag(&cpu.join("cpufreq/boost")))
}

/// Packages are counted once for each of their CPUs; the sum only says whether anything was throttled,
/// and whether more was later.
fn throttled(cpus: &[PathBuf]) -> Option<u64> {
    let files = ["core_throttle_count", "package_throttle_count"];
    let counts = cpus
        .iter()
        .flat_map(|cpu| files.map(|file| number(&cpu.join("thermal_throttle").join(file))));
    let counts: Vec<u64> = counts.flatten().collect();
    (!counts.is_empty()).then(|| counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)))
}

fn counted(cpus: &[PathBuf], file: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for word in cpus.iter().filter_map(|cpu| text(&cpu.join(file))) {
        *found.entry(word).or_insert(0) += 1;
    }
    found
}

fn room(directory: &Path) -> Option<ImageRoom> {
    let of = rustix::fs::statvfs(directory).ok()?;
    Some(ImageRoom {
        total: of.f_blocks.checked_mul(of.f_frsize)?,
        free: of.f_bavail.checked_mul(of.f_frsize)?,
    })
}

/// The entries of a directory, sorted; none where it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Those that are a word and a number: `cpu0`, and not `cpufreq`.
fn numbered(dir: &Path, word: &str) -> Vec<PathBuf> {
    let is = |path: &PathBuf| {
        let name = name(path);
        let digits = name.strip_prefix(word).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    entries(dir).into_iter().filter(is).collect()
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn text(path: &Path) -> Option<String> {
    let bytes = files::read(path, files::TEXT).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

fn flag(path: &Path) -> Option<bool> {
    match text(path)?.as_str() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}
