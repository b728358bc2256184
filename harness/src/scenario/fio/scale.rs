//! Sizes and times of real drives, brought to the drive and the guest that there are (pure).
//!
//! All sizes and offsets of a job file by one factor, and all its times by another, so that what was
//! in proportion stays so. Rates, loops, depths and blocks stay as they are.

use super::checker::{Draft, Edit};
use super::ini::{Id, JobOption};
use super::region::{Amount, Region, WHOLE};
use crate::units::{show_bytes, show_nanos};
use std::collections::BTreeMap;

/// The longest runtime that stays, and what the longest becomes, ns. A guest that is never idle
/// executes 5 CPU seconds' worth of instructions in a second of its time (measured with QEMU's TCG),
/// and every cell runs its job seven times.
const LONGEST_NS: u64 = 1_000_000_000;
const SCALED_NS: u64 = 500_000_000;
/// No runtime becomes shorter, ns: fio's figures count whole milliseconds, and are not known to half
/// a percent for shorter windows.
pub(super) const SHORTEST_NS: u64 = 200_000_000;
/// So many I/Os in one run need no limit in time.
const MOST_IOS: u64 = 50_000;
/// Bytes of a file whose size is the drive's, on a drive whose speed nobody knows.
const LARGEST: u64 = 8 << 30;

/// What a job file runs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of the drive.
    pub(super) device: u64,
    /// Whether time is instructions, and a long run so long in vain.
    pub(super) by_instructions: bool,
    /// Whether anything may be changed.
    pub(super) scale: bool,
}

impl Limits {
    /// Bytes that the files of a job file may have.
    pub(super) fn most(&self) -> u64 {
        self.device / 4 * 3
    }

    /// What files that do not fit get.
    fn target(&self) -> u64 {
        match self.by_instructions && self.scale {
            true => self.device / 4,
            false => self.most().min(LARGEST),
        }
    }
}

/// A factor below one.
#[derive(Clone, Copy, Debug)]
struct Factor {
    to: u64,
    from: u64,
}

impl Factor {
    fn of(self, value: u64) -> u64 {
        let scaled = u128::from(value) * u128::from(self.to) / u128::from(self.from.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// How a whole file is scaled.
#[derive(Debug)]
pub(super) struct Scale {
    limits: Limits,
    size: Option<Factor>,
    /// What sizes are rounded down to.
    unit: u64,
    /// The drive that the file was written for, before it is scaled.
    drive: Drive,
    time: Option<Factor>,
}

#[derive(Clone, Copy, Debug)]
enum Drive {
    /// As large as offsets and sizes beside shares make it.
    Written(u64),
    /// The job file does not tell: so large here.
    Here(u64),
}

/// A job on the drive that there is.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) region: Region,
    pub(super) runtime_ns: u64,
    pub(super) edits: Vec<(Id, Edit)>,
    /// Lines at the end of its section.
    pub(super) more: Vec<String>,
    /// Sizes that were changed, each as before and after.
    pub(super) sizes: Vec<String>,
    pub(super) times: Vec<String>,
    pub(super) said: Vec<String>,
}

/// Bytes of the files that jobs use together, each file once; None where a part has no length.
pub(super) fn total(jobs: &[(&Draft, Region)]) -> Option<u64> {
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    for (draft, region) in jobs {
        for (name, length) in lengths(draft, region)? {
            let known = files.entry(name).or_default();
            *known = length.max(*known);
        }
    }
    Some(files.into_values().fold(0, u64::saturating_add))
}

/// The file of every clone and how long it must be.
pub(super) fn lengths<'a>(draft: &'a Draft, region: &Region) -> Option<Vec<(&'a str, u64)>> {
    // Clones of a job that names its file share it.
    let names = draft.names.iter().cycle();
    let each = (0..draft.clones).zip(names);
    each.map(|(clone, name)| Some((name.as_str(), region.length(clone)?)))
        .collect()
}

impl Scale {
    /// The factors for a file's groups of jobs, each of which has the drive for itself.
    pub(super) fn of(groups: &[Vec<Draft>], limits: Limits) -> Scale {
        let all = || groups.iter().flatten();
        let largest = all()
            .map(|d| u64::from(d.block_size))
            .max()
            .unwrap_or(WHOLE);
        let mut scale = Scale {
            limits,
            size: None,
            unit: largest.next_power_of_two().max(WHOLE),
            drive: Drive::Written(0),
            time: None,
        };
        let relative = |draft: &&Draft| draft.region.is_relative();
        let written = all().filter(relative).map(|d| d.region.least(d.clones));
        let written = written.max().unwrap_or(0);
        scale.drive = Drive::Written(written);
        let on = |draft: &&Draft| written > 0 || !draft.region.is_relative();
        let sums = groups.iter().map(|group| {
            let known: Vec<_> = group
                .iter()
                .filter(on)
                .map(|d| (d, d.region.on(written)))
                .collect();
            total(&known).unwrap_or(0)
        });
        let sum = sums.max().unwrap_or(0);
        if limits.scale && sum > limits.most() {
            scale.size = Some(Factor {
                to: limits.target(),
                from: sum,
            });
        }
        if written == 0 && all().any(|d| d.region.is_relative()) {
            scale.drive = Drive::Here(scale.share(groups));
        }
        let longest = all().map(|d| d.runtime_ns).max().unwrap_or(0);
        if limits.scale && limits.by_instructions && longest > LONGEST_NS {
            scale.time = Some(Factor {
                to: SCALED_NS,
                from: longest,
            });
        }
        scale
    }

    /// What a file gets whose size is the drive's, beside the files whose sizes are known.
    fn share(&self, groups: &[Vec<Draft>]) -> u64 {
        let of = |group: &Vec<Draft>| {
            let (shares, known): (Vec<&Draft>, Vec<&Draft>) =
                group.iter().partition(|d| d.region.is_relative());
            let known: Vec<_> = known
                .into_iter()
                .map(|d| (d, self.region(d.region)))
                .collect();
            let left = self.limits.target().saturating_sub(total(&known)?);
            let mut names: Vec<&String> = shares.iter().flat_map(|d| &d.names).collect();
            names.sort();
            names.dedup();
            left.checked_div(names.len() as u64)
        };
        let least = groups.iter().filter_map(of).min().unwrap_or(0);
        (least / self.unit * self.unit).max(self.unit)
    }

    fn bytes(&self, bytes: u64) -> u64 {
        match self.size {
            Some(factor) if bytes > 0 => (factor.of(bytes) / self.unit * self.unit).max(self.unit),
            _ => bytes,
        }
    }

    fn region(&self, region: Region) -> Region {
        let region = match self.drive {
            Drive::Written(drive) => region.on(drive),
            Drive::Here(here) if region.is_relative() => return region.on(here),
            Drive::Here(_) => region,
        };
        let of = |amount: Amount| match amount {
            Amount::Bytes(bytes) => Amount::Bytes(self.bytes(bytes)),
            share => share,
        };
        Region {
            offset: of(region.offset),
            increment: of(region.increment),
            size: region.size.map(of),
            file: region.file.map(of),
            moved: region.moved.map(of),
        }
    }

    /// One job, fitted; `beside` are the I/Os of all jobs that run with it, itself included.
    pub(super) fn fit(&self, draft: &Draft, beside: u64) -> Fitted {
        let region = self.region(draft.region);
        let mut fitted = Fitted {
            region,
            runtime_ns: draft.runtime_ns,
            edits: Vec::new(),
            more: Vec::new(),
            sizes: Vec::new(),
            times: Vec::new(),
            said: Vec::new(),
        };
        let now = Draft {
            region,
            ..draft.clone()
        };
        for ((names, before), (_, after)) in draft.amounts().into_iter().zip(now.amounts()) {
            let Some(Amount::Bytes(bytes)) = after.filter(|_| before != after) else {
                continue;
            };
            let key = names.first().copied().unwrap_or_default();
            match draft.job.get(names) {
                Some(option) => {
                    let line = format!("{}={bytes}", option.key);
                    fitted.edits.push((option.id, Edit::Lines(vec![line])));
                    fitted.sizes.push(shown(key, before, bytes));
                }
                None => {
                    fitted.more.push(format!("{key}={bytes}"));
                    if draft.region.size.is_none() {
                        fitted
                            .sizes
                            .push(format!("no size -> {}", show_bytes(bytes)));
                    }
                }
            }
        }
        self.time(draft, beside, &mut fitted);
        fitted
    }

    fn time(&self, draft: &Draft, beside: u64, fitted: &mut Fitted) {
        let option = draft.job.get(&["runtime", "timeout"]);
        if let (Some(factor), Some(option)) = (self.time, option.filter(|_| draft.runtime_ns > 0)) {
            let whole = factor.of(draft.runtime_ns) / 1_000_000 * 1_000_000;
            let ns = whole.max(SHORTEST_NS).min(draft.runtime_ns);
            fitted.runtime_ns = ns;
            fitted
                .edits
                .push((option.id, Edit::Lines(vec![runtime(option, ns)])));
            fitted.times.push(format!(
                "runtime {} -> {}",
                show_nanos(draft.runtime_ns),
                show_nanos(ns)
            ));
            return;
        }
        let limited = self.limits.scale && self.limits.by_instructions;
        if limited && draft.runtime_ns == 0 && beside > MOST_IOS {
            fitted.runtime_ns = SCALED_NS;
            fitted
                .more
                .push(format!("runtime={}ms", SCALED_NS / 1_000_000));
            fitted.said.push(format!(
                "job {} ends after {}, before all its I/Os: those of a run are {beside}",
                draft.job.name,
                show_nanos(SCALED_NS)
            ));
        }
    }

    /// Says what was changed about sizes and times.
    pub(super) fn words(&self, mut sizes: Vec<String>, mut times: Vec<String>) -> Vec<String> {
        let device = show_bytes(self.limits.device);
        let mut said = Vec::new();
        for list in [&mut sizes, &mut times] {
            let mut seen = std::collections::BTreeSet::new();
            list.retain(|one| seen.insert(one.clone()));
        }
        let (drives, own): (Vec<String>, Vec<String>) = sizes
            .into_iter()
            .partition(|one| one.starts_with("no size") || one.contains('%'));
        if !own.is_empty() {
            said.push(format!(
                "{}: of every job, by one factor, for a drive of {device}",
                own.join(", ")
            ));
        }
        if !drives.is_empty() {
            said.push(format!(
                "{}: the drive that the job means is one of {device} here, of which the files of a \
                 run get a part",
                drives.join(", ")
            ));
        }
        if !times.is_empty() {
            said.push(format!(
                "{}: of every job, by one factor; a second in which the guest is busy takes some 5 \
                 CPU seconds",
                times.join(", ")
            ));
        }
        said
    }
}

fn shown(key: &str, before: Option<Amount>, bytes: u64) -> String {
    let before = match before {
        Some(Amount::Bytes(bytes)) => show_bytes(bytes),
        Some(Amount::Percent(share)) => format!("{share}%"),
        None => "none".to_owned(),
    };
    format!("{key} {before} -> {}", show_bytes(bytes))
}

fn runtime(option: &JobOption, ns: u64) -> String {
    match ns % 1_000_000 {
        0 => format!("{}={}ms", option.key, ns / 1_000_000),
        _ => format!("{}={}us", option.key, ns / 1_000),
    }
}
