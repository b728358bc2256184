//! What the host can do, judged (pure): what was found, how good that is, and the next step.

use super::hygiene::{self, Hygiene};
use super::probe::{ArchiveTrial, DeviceNode, KvmTrial, NvmeDisk, Probes};
use crate::{
    units::show_bytes,
    vm::confine::{Confined, Rung},
};
use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What a guest costs besides its RAM: QEMU, its translated code, the copy of a checkpoint.
pub const BESIDES_GUEST: u64 = 256 * MIB;
/// What is left to everything else.
const RESERVE: u64 = 256 * MIB;
/// RAM of a scenario's guest by default.
const GUEST: u64 = GIB;
/// Downloads, unpacked tools and checkpoints of the default scenario.
const CACHE: u64 = 3 * GIB;
const RESULTS: u64 = 100 * MIB;
/// Files that one virtual machine and its connections keep open.
const FILES_PER_GUEST: u64 = 64;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Good,
    /// It works, but slowly or in part.
    Limited,
    /// It is not there.
    Missing,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What: `memory`, `kvm`.
    pub name: String,
    /// How good it is.
    pub status: Status,
    /// Whether the exact lane needs it; without the others only other lanes are out of reach.
    pub needed: bool,
    /// What was found.
    pub found: String,
    /// The next step, where one would help.
    pub advice: Option<String>,
}

/// Whether the exact lane can run here.
#[must_use]
pub fn can_run(checks: &[Check]) -> bool {
    !checks
        .iter()
        .any(|check| check.needed && check.status == Status::Missing)
}

/// How many guests of `guest` bytes of RAM may run at once: as many as are wanted (one per core),
/// as far as `available` bytes of memory go.
#[must_use]
pub fn guests_at_once(wanted: usize, available: u64, guest: u64) -> usize {
    let fit = available.saturating_sub(RESERVE) / (guest + BESIDES_GUEST);
    wanted.min(usize::try_from(fit).unwrap_or(usize::MAX))
}

/// Judges what was found, in the order in which it is shown: what the exact lane needs first.
#[must_use]
pub fn evaluate(probes: &Probes) -> Vec<Check> {
    let mut checks = vec![architecture(probes), cores(probes), memory(probes)];
    checks.extend(disks(probes));
    checks.extend([open_files(probes), archive(&probes.archive), user(probes)]);
    checks.push(confinement(&probes.confinement));
    checks.extend([
        vsock(&probes.vhost_vsock),
        kvm(&probes.kvm),
        vfio(probes),
        nvme(&probes.nvme),
    ]);
    checks
}

/// What disturbs figures by the wall clock here, in the order in which it is shown.
#[must_use]
pub fn noise(of: &Hygiene) -> Vec<Check> {
    let rows = hygiene::rows(of).into_iter();
    let judge = |row: hygiene::Row| Check {
        status: match row.advice {
            None => Status::Good,
            Some(_) => Status::Limited,
        },
        name: row.name,
        needed: false,
        found: row.found,
        advice: row.advice,
    };
    rows.map(judge).collect()
}

fn check(name: &str, needed: bool, status: Status, found: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        status,
        needed,
        found: found.into(),
        advice: None,
    }
}

impl Check {
    fn advise(mut self, advice: impl Into<String>) -> Check {
        self.advice = Some(advice.into());
        self
    }
}

fn architecture(probes: &Probes) -> Check {
    if probes.arch == "x86_64" {
        return check("architecture", true, Status::Good, "x86_64");
    }
    check("architecture", true, Status::Missing, &probes.arch)
        .advise("use an x86_64 machine: the locked QEMU and its libraries are built for it")
}

fn cores(probes: &Probes) -> Check {
    match probes.host.cores {
        1 => check("cores", true, Status::Limited, "1: one guest at a time")
            .advise("with two cores a run takes half the time; the digits are the same"),
        n => check("cores", true, Status::Good, n.to_string()),
    }
}

fn memory(probes: &Probes) -> Check {
    let Some(available) = probes.host.memory_available else {
        return check("memory", true, Status::Limited, "not in /proc/meminfo")
            .advise("use --jobs 1 if memory is short");
    };
    let cores = probes.host.cores;
    let guests = guests_at_once(cores, available, GUEST);
    let amount = rough(available);
    if guests == 0 {
        let least = rough(GUEST + BESIDES_GUEST + RESERVE);
        return check(
            "memory",
            true,
            Status::Missing,
            format!("{amount} available"),
        )
        .advise(format!(
            "free some memory: one guest of 1 GiB needs {least}"
        ));
    }
    let found = format!("{amount} available: enough for {guests} of {cores} guests of 1 GiB");
    if guests < cores {
        return check("memory", true, Status::Limited, found)
            .advise("free some memory to use every core; the digits are the same");
    }
    check("memory", true, Status::Good, found)
}

fn disks(probes: &Probes) -> Vec<Check> {
    let judge = |disk: &super::facts::DiskFacts| {
        let name = format!("disk for {}", disk.role);
        let wanted = if disk.role == "cache" { CACHE } else { RESULTS };
        let Some(free) = disk.free else {
            return check(&name, true, Status::Limited, "cannot be read")
                .advise(format!("choose another directory with --{}", disk.role));
        };
        let found = format!("{} free", rough(free));
        let advice = format!(
            "free {}, or choose a directory elsewhere with --{}",
            rough(wanted),
            disk.role
        );
        match free {
            free if free >= wanted => check(&name, true, Status::Good, found),
            free if free >= wanted / 2 => check(&name, true, Status::Limited, found).advise(advice),
            _ => check(&name, true, Status::Missing, found).advise(advice),
        }
    };
    probes.host.disks.iter().map(judge).collect()
}

fn open_files(probes: &Probes) -> Check {
    let Some(limit) = probes.open_files else {
        return check("open files", true, Status::Good, "unlimited");
    };
    let cores = u64::try_from(probes.host.cores).unwrap_or(u64::MAX);
    let wanted = FILES_PER_GUEST.saturating_mul(cores).saturating_add(128);
    let advice = format!("raise the limit: ulimit -n {wanted}");
    match limit {
        limit if limit >= wanted => check("open files", true, Status::Good, limit.to_string()),
        limit if limit >= FILES_PER_GUEST + 128 => {
            check("open files", true, Status::Limited, limit.to_string()).advise(advice)
        }
        limit => check("open files", true, Status::Missing, limit.to_string()).advise(advice),
    }
}

fn archive(trial: &ArchiveTrial) -> Check {
    match trial {
        ArchiveTrial::Reached(url) => check("archive", true, Status::Good, url),
        ArchiveTrial::NotTried => check("archive", true, Status::Limited, "not tried"),
        ArchiveTrial::Failed(why) => check("archive", true, Status::Limited, why).advise(
            "set https_proxy or a mirror; what is in the cache already works with --offline",
        ),
    }
}

fn user(probes: &Probes) -> Check {
    if probes.host.root {
        return check("user", true, Status::Good, "root").advise("an ordinary user is enough");
    }
    check(
        "user",
        true,
        Status::Good,
        "an ordinary user, which is enough",
    )
}

/// A run needs none of it: its guests and its QEMU are what the user chose.
fn confinement(tried: &Result<Confined, String>) -> Check {
    let limited = |found: String| check("confinement", true, Status::Limited, found);
    match tried {
        Ok(by) if by.rung() >= Rung::Landlock => {
            let found = format!("{}: QEMU runs under {by}", by.rung());
            check("confinement", true, Status::Good, found)
        }
        Ok(by) => limited(format!("{}: QEMU runs under {by}", by.rung())).advise(
            "a guest that breaks out of QEMU reaches this user's files; use a kernel with Landlock and seccomp",
        ),
        Err(why) => limited(why.clone()),
    }
}

fn vsock(node: &DeviceNode) -> Check {
    let name = "vhost-vsock";
    let limited = |found: &str| check(name, false, Status::Limited, found);
    match node {
        DeviceNode::Usable => check(name, false, Status::Good, "/dev/vhost-vsock opens"),
        DeviceNode::Absent => limited("no /dev/vhost-vsock; the built-in device is used instead")
            .advise("nothing to do; `modprobe vhost_vsock` to use the kernel's"),
        DeviceNode::Denied => limited("permission denied; the built-in device is used instead")
            .advise("nothing to do; join the group of /dev/vhost-vsock to use the kernel's"),
        DeviceNode::Failed(why) => limited(&format!("{why}; the built-in device is used instead")),
    }
}

fn kvm(trial: &KvmTrial) -> Check {
    let found = |status| check("kvm", false, status, trial.to_string());
    let advice = match trial {
        KvmTrial::Works { .. } => return found(Status::Good),
        KvmTrial::NotTried { .. } => return found(Status::Limited),
        KvmTrial::NoDevice(DeviceNode::Denied) => {
            "not used by the exact lane; for other lanes join the group kvm"
        }
        KvmTrial::NoDevice(DeviceNode::Failed(_)) => "not used by the exact lane",
        KvmTrial::NoDevice(_) => {
            "not used by the exact lane; for other lanes enable it in the firmware"
        }
        KvmTrial::Failed { .. } | KvmTrial::TimedOut { .. } => {
            "not used by the exact lane; nested virtualisation is a common cause"
        }
    };
    found(Status::Missing).advise(advice)
}

fn vfio(probes: &Probes) -> Check {
    let missing = |found: &str| check("vfio", false, Status::Missing, found);
    let groups = probes.iommu_groups;
    match &probes.vfio {
        _ if groups == 0 => missing("no IOMMU groups").advise(
            "only passthrough needs it: enable the IOMMU in the firmware, boot with intel_iommu=on",
        ),
        DeviceNode::Usable => check(
            "vfio",
            false,
            Status::Good,
            format!("{groups} IOMMU groups, /dev/vfio/vfio opens"),
        ),
        DeviceNode::Absent => missing("IOMMU groups, but no /dev/vfio/vfio")
            .advise("only passthrough needs it: `modprobe vfio-pci`"),
        DeviceNode::Denied => missing("/dev/vfio/vfio: permission denied")
            .advise("only passthrough needs it: give this user the device's group"),
        DeviceNode::Failed(why) => missing(&format!("/dev/vfio/vfio: {why}")),
    }
}

fn nvme(disks: &[NvmeDisk]) -> Check {
    if disks.is_empty() {
        return check("nvme", false, Status::Missing, "none").advise("only passthrough needs one");
    }
    let show = |disk: &NvmeDisk| {
        let state = if disk.in_use { "in use" } else { "free" };
        let place = disk.address.as_deref().unwrap_or("no PCI address");
        let size = disk.size.map_or_else(|| "size unknown".to_owned(), rough);
        format!(
            "{place} {}, serial {}, {size}, {state}",
            disk.model, disk.serial
        )
    };
    let found = disks.iter().map(show).collect::<Vec<_>>().join("; ");
    if disks.iter().any(|disk| !disk.in_use) {
        return check("nvme", false, Status::Good, found);
    }
    check("nvme", false, Status::Limited, found)
        .advise("only passthrough needs a free one; a drive in use is never touched")
}

/// A size with as many digits as matter to a reader.
fn rough(bytes: u64) -> String {
    if bytes >= GIB {
        return format!("{:.1} GiB", bytes as f64 / GIB as f64);
    }
    show_bytes(bytes / MIB * MIB)
}

/// The checks as a table, what disturbs figures by the wall clock, and whether the exact lane can run.
#[must_use]
pub fn render(checks: &[Check], noise: &[Check]) -> String {
    let width = checks
        .iter()
        .chain(noise)
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let of = |needed: bool| {
        checks
            .iter()
            .filter(|check| check.needed == needed)
            .collect()
    };
    let mut sections: Vec<(&str, Vec<&Check>)> =
        vec![("The exact lane", of(true)), ("Other lanes", of(false))];
    if !noise.is_empty() {
        let heading = "The metal lane: what disturbs figures by the wall clock";
        sections.push((heading, noise.iter().collect()));
    }
    for (heading, section) in sections {
        text.push_str(&format!("{heading}\n"));
        for check in section {
            let status = match check.status {
                Status::Good => "good",
                Status::Limited => "limited",
                Status::Missing => "missing",
            };
            text.push_str(&format!(
                "  {status:<7}  {:<width$}  {}\n",
                check.name, check.found
            ));
            if let Some(advice) = &check.advice {
                text.push_str(&format!(
                    "{:width$}help: {advice}\n",
                    "",
                    width = width + 13
                ));
            }
        }
        text.push('\n');
    }
    text.push_str(if can_run(checks) {
        "This host can run the exact lane.\n"
    } else {
        "This host cannot run the exact lane: see what is missing above.\n"
    });
    text
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
