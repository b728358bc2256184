//! What was found of a host, judged (pure).

use super::{DriveHygiene, Hygiene};
use crate::units::show_bytes;
use std::collections::BTreeMap;

/// So many others may want a CPU on average before they are said to disturb.
const LOAD: f64 = 0.5;

/// From so many degrees Celsius on a drive is hot: most slow down between 70 and 85.
const HOT_C: f64 = 70.0;

/// So near to its own limit a drive is hot, too, in degrees.
const NEAR_C: f64 = 5.0;

/// From so much of its endurance on a drive is worn, in percent.
const WORN: u8 = 80;

/// From so much in use on a drive, or a file system, has little room to work with, in percent.
const FULL: u64 = 85;

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::host) struct Row {
    /// What: `governor`.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Why it disturbs and what to do about it, where it does.
    pub advice: Option<String>,
}

/// What a reader of figures by the wall clock must know of the host they are from: one sentence each,
/// with a next step.
#[must_use]
pub fn warnings(of: &Hygiene) -> Vec<String> {
    let warned = rows(of).into_iter().filter_map(|row| {
        let advice = row.advice?;
        Some(format!("{}: {}: {advice}", row.name, row.found))
    });
    warned.collect()
}

/// What happened to the host between two looks at it that figures of that time suffer from.
#[must_use]
pub fn during(before: &Hygiene, after: &Hygiene) -> Vec<String> {
    let mut said = Vec::new();
    if let (Some(then), Some(now)) = (before.cpu_throttled, after.cpu_throttled)
        && now > then
    {
        said.push(format!(
            "CPUs were slowed down {} times for their temperature during the run: cool the machine, or \
             turn boost off",
            now - then
        ));
    }
    for drive in &after.drives {
        let then = before.drives.iter().find(|other| other.name == drive.name);
        let (Some(then), Some(now)) = (then.and_then(|d| d.smart.as_ref()), &drive.smart) else {
            continue;
        };
        let name = &drive.name;
        if now.thermal_transitions > then.thermal_transitions {
            said.push(format!(
                "{name} slowed down {} times for its temperature during the run: cool the drive",
                now.thermal_transitions - then.thermal_transitions
            ));
        }
        if now.media_errors > then.media_errors {
            said.push(format!(
                "{name} had {} media errors during the run: its figures are not to be trusted; replace it",
                now.media_errors - then.media_errors
            ));
        }
    }
    said
}

/// Everything that was found, in the order in which it is shown.
pub(in crate::host) fn rows(of: &Hygiene) -> Vec<Row> {
    let mut rows: Vec<Row> = [
        governor(of),
        preference(of),
        boost(of),
        smt(of),
        isolated(of),
        load(of),
        throttled(of),
        battery(of),
    ]
    .into_iter()
    .flatten()
    .collect();
    for drive in &of.drives {
        rows.extend(of_drive(drive));
    }
    rows.extend(image(of));
    rows
}

fn row(name: &str, found: impl Into<String>, advice: Option<&str>) -> Row {
    Row {
        name: name.to_owned(),
        found: found.into(),
        advice: advice.map(str::to_owned),
    }
}

/// `performance`, or `powersave on 6 CPUs, performance on 2`.
fn words(counts: &BTreeMap<String, u32>) -> String {
    if let [one] = counts.keys().collect::<Vec<_>>()[..] {
        return one.clone();
    }
    let words = counts
        .iter()
        .map(|(word, n)| format!("{word} on {n} CPU(s)"));
    words.collect::<Vec<_>>().join(", ")
}

fn only(counts: &BTreeMap<String, u32>, word: &str) -> bool {
    counts.keys().all(|key| key == word)
}

fn governor(of: &Hygiene) -> Option<Row> {
    if of.governors.is_empty() {
        return None;
    }
    // With intel_pstate and amd_pstate powersave is no fixed frequency, and the preference decides.
    let prefers = !of.energy_preferences.is_empty();
    let fixed = only(&of.governors, "performance") || prefers && only(&of.governors, "powersave");
    let advice = "the CPUs' frequency follows their load, and a kernel that works less may run slower; \
                  `cpupower frequency-set -g performance`";
    let found = words(&of.governors);
    Some(row("cpufreq governor", found, (!fixed).then_some(advice)))
}

fn preference(of: &Hygiene) -> Option<Row> {
    if of.energy_preferences.is_empty() {
        return None;
    }
    let fine = only(&of.energy_preferences, "performance") || only(&of.governors, "performance");
    let advice =
        "the CPUs save energy at the cost of latency; `cpupower frequency-set -g performance`";
    let found = words(&of.energy_preferences);
    Some(row("energy preference", found, (!fine).then_some(advice)))
}

fn boost(of: &Hygiene) -> Option<Row> {
    let advice = "the CPUs' frequency depends on their temperature and on each other; write 1 to \
                  /sys/devices/system/cpu/intel_pstate/no_turbo or 0 to cpufreq/boost beside it";
    Some(match of.boost? {
        true => row("boost", "on", Some(advice)),
        false => row("boost", "off", None),
    })
}

fn smt(of: &Hygiene) -> Option<Row> {
    let advice = "what runs on the other thread of a core takes from the guest's; `echo off > \
                  /sys/devices/system/cpu/smt/control`";
    Some(match of.smt? {
        true => row("SMT", "on", Some(advice)),
        false => row("SMT", "off", None),
    })
}

fn isolated(of: &Hygiene) -> Option<Row> {
    Some(row("isolated CPUs", of.isolated.as_ref()?, None))
}

fn load(of: &Hygiene) -> Option<Row> {
    let load = of.load?;
    let advice = "something else runs here, and what it takes is in the figures; end it, or wait";
    let found = format!("{load:.2} on {} CPU(s)", of.cpus);
    Some(row("load", found, (load >= LOAD).then_some(advice)))
}

fn throttled(of: &Hygiene) -> Option<Row> {
    let advice = "the CPUs become too hot under load and are slowed down; cool the machine, or turn boost off";
    Some(match of.cpu_throttled? {
        0 => row("CPU throttling", "none since the boot", None),
        n => row(
            "CPU throttling",
            format!("{n} times since the boot"),
            Some(advice),
        ),
    })
}

fn battery(of: &Hygiene) -> Option<Row> {
    let advice = "firmware and drivers save energy on a battery; plug it in";
    Some(match of.on_battery? {
        true => row("power source", "a battery", Some(advice)),
        false => row("power source", "mains", None),
    })
}

fn of_drive(drive: &DriveHygiene) -> Vec<Row> {
    let DriveHygiene { name, smart, .. } = drive;
    let mut rows = Vec::new();
    let mut add = |what: &str, found: String, advice: Option<&str>| {
        rows.push(row(&format!("{name} {what}"), found, advice));
    };
    let measured = smart.as_ref().map(|smart| f64::from(smart.temperature_c));
    if let Some(degrees) = drive.temperature_c.or(measured) {
        let near = drive
            .temperature_max_c
            .is_some_and(|max| max > 0.0 && degrees >= max - NEAR_C);
        let advice = "it may slow down for that; cool it";
        let hot = (degrees >= HOT_C || near).then_some(advice);
        add("temperature", format!("{degrees:.0} °C"), hot);
    }
    if let Some(smart) = smart {
        let used = smart.percentage_used;
        let advice = "a worn drive is slower, and may fail; use another one";
        let found = format!(
            "{used}% of its endurance, {} written",
            show_bytes(smart.bytes_written)
        );
        add("wear", found, (used >= WORN).then_some(advice));
        let (spare, least) = (smart.available_spare_percent, smart.spare_threshold_percent);
        let advice = "it has few blocks left to replace bad ones; use another one";
        let found = format!("{spare}% (the drive warns below {least}%)");
        // A drive that keeps no account says 0 of 0.
        let few = least > 0 && spare <= least;
        add("spare", found, few.then_some(advice));
        let advice = "it lost data before; use another one";
        let errors = smart.media_errors;
        add(
            "media errors",
            errors.to_string(),
            (errors > 0).then_some(advice),
        );
        let warned = smart.warnings();
        if !warned.is_empty() {
            let advice = "figures of a failing drive mean little; use another one";
            add(
                "health",
                format!("critical ({})", warned.join(", ")),
                Some(advice),
            );
        }
    }
    if let Some(space) = drive.namespace {
        let percent = percent(space.used, space.size);
        let advice = "a full drive has no spare blocks to write to, and collects garbage meanwhile; \
                      [conditioning] discard = true empties it";
        // One that does not count says that all of it is used, always.
        let (found, full) = match space.used == space.size {
            true => (
                "all of it is used, or the drive does not count".to_owned(),
                false,
            ),
            false => (
                format!("{percent}% full as the drive counts it"),
                percent >= FULL,
            ),
        };
        add("fullness", found, full.then_some(advice));
    }
    if let Some(latency) = drive.apst_latency_us {
        let found = match latency {
            0 => "off".to_owned(),
            us => format!("states that take up to {us} us to leave"),
        };
        add("power saving", found, None);
    }
    if let Some(why) = &drive.not_asked {
        let advice = "wear, errors and fullness are unknown; as root `nvme smart-log` shows them";
        add("health", format!("unread ({why})"), Some(advice));
    }
    rows
}

fn image(of: &Hygiene) -> Option<Row> {
    let room = of.image?;
    let percent = percent(room.total.saturating_sub(room.free), room.total);
    let advice = "a full file system places the drive's image in pieces; free some of it";
    let found = format!(
        "{percent}% full, {} free",
        show_bytes(room.free >> 20 << 20)
    );
    let full = (percent >= FULL).then_some(advice);
    Some(row("the image's file system", found, full))
}

fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}
