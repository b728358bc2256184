//! Whether a record and a manifest out of an image can be meant: what decides machines and jobs is looked
//! at by the same rules that a scenario's file is read by, because here nobody read one (pure).

use super::{
    limits,
    manifest::{Boots, Manifest, PackedKernel},
};
use crate::{
    record::{KernelRecord, Results, SCHEMA},
    scenario::{CellKey, Device, KernelSource, MOST_REPETITIONS, Scenario, SubjectKey},
    text,
    vm::Spec,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// The largest number that a scenario may name: bytes, nanoseconds, I/Os.
const LARGEST: u64 = 1 << 50;
/// The longest text: a fio job file.
const LONGEST: usize = 1 << 16;
/// A guest's RAM in MiB.
const MEMORY: std::ops::RangeInclusive<u32> = 64..=1 << 20;
/// A guest's CPUs.
const CPUS: std::ops::RangeInclusive<u32> = 1..=8;
/// Repetitions of a cell.
const REPETITIONS: std::ops::RangeInclusive<u32> = 1..=MOST_REPETITIONS;
/// Block-layer schedulers.
const SCHEDULERS: [&str; 4] = ["none", "mq-deadline", "kyber", "bfq"];

/// Refuses what no scenario could have come to.
///
/// # Errors
/// The first thing that cannot be meant: why.
pub fn check(results: &Results, manifest: &Manifest) -> Result<(), String> {
    let scenario = &results.scenario;
    harmless(
        "scenario",
        &serde_json::to_value(scenario).map_err(|e| e.to_string())?,
    )?;
    harmless(
        "kernels",
        &serde_json::to_value(&results.kernels).map_err(|e| e.to_string())?,
    )?;
    harmless(
        "vmm",
        &serde_json::to_value(&results.vmm).map_err(|e| e.to_string())?,
    )?;
    harmless(
        "machines",
        &serde_json::to_value(&results.machines).map_err(|e| e.to_string())?,
    )?;
    if results.schema != SCHEMA {
        return Err(format!(
            "its record has schema {}; images have {SCHEMA}",
            results.schema
        ));
    }
    let words = [&results.run_id, &results.started, &results.diorama];
    for word in words
        .into_iter()
        .chain(&results.notes)
        .chain(&results.formatting)
    {
        harmless("the record", &Value::String(word.clone()))?;
    }
    name("run", &results.run_id)?;
    check_scenario(scenario)?;

    let rows = |of: &str, all: Vec<SubjectKey>| match all == scenario.subjects {
        true => Ok(()),
        false => Err(format!("{of} has other kernels than the scenario")),
    };
    let recorded = results.kernels.iter().map(KernelRecord::subject);
    rows("the record", recorded.collect())?;
    let packed = manifest.kernels.iter().map(PackedKernel::subject);
    rows("the manifest", packed.collect())?;
    for (known, packed) in results.kernels.iter().zip(&manifest.kernels) {
        if let Boots::Packed(machine) = &packed.boots {
            let other = match () {
                () if known.image != Some(machine.kernel.sha256) => "image",
                () if known.initramfs != Some(machine.initramfs.sha256) => "initramfs",
                () => continue,
            };
            return Err(format!(
                "the {other} of kernel `{}` is not the record's",
                known.subject()
            ));
        }
    }
    for packed in &manifest.kernels {
        // Nothing of this host's is read because an image names it.
        let mut of = scenario.kernels.iter();
        let locked = of.any(|k| k.name == packed.name && k.source == KernelSource::Locked);
        if packed.boots == Boots::Locked && !locked {
            return Err(format!(
                "kernel `{}` is in no lock, and not inside",
                packed.subject()
            ));
        }
    }
    let cells = keys(scenario);
    if !results.cells.iter().map(|cell| &cell.key).eq(&cells) {
        return Err("the record has other cells than the scenario".into());
    }
    Ok(())
}

/// The cells of a scenario in the plan's order.
fn keys(scenario: &Scenario) -> Vec<CellKey> {
    let mut keys = Vec::new();
    // All variants have the scenario's names.
    for subject in &scenario.subjects {
        for filesystem in &scenario.filesystems {
            for workload in &scenario.workloads {
                keys.push(CellKey {
                    subject: subject.clone(),
                    filesystem: filesystem.name.clone(),
                    workload: workload.name.clone(),
                    lane: scenario.lane(),
                });
            }
        }
    }
    keys
}

fn check_scenario(scenario: &Scenario) -> Result<(), String> {
    let lane = scenario.lane();
    if !lane.is_exact() {
        return Err(format!(
            "its cells are of the {lane}, in which nothing can be replayed"
        ));
    }
    name("scenario", &scenario.name)?;
    let kernels = scenario.kernels.iter().map(|k| &k.name);
    let filesystems = scenario.filesystems.iter().map(|f| &f.name);
    let workloads = scenario.workloads.iter().map(|w| &w.name);
    let variants = scenario.variants.iter().map(|v| &v.name);
    all_names("kernel", kernels)?;
    all_names("file system", filesystems)?;
    all_names("workload", workloads)?;
    all_names("variant", variants)?;
    let product = (scenario.subjects.len())
        .saturating_mul(scenario.filesystems.len())
        .saturating_mul(scenario.workloads.len());
    if product == 0 || product > limits::CELLS {
        return Err(format!(
            "it has {product} cells; 1 to {} are allowed",
            limits::CELLS
        ));
    }
    check_rows(scenario)?;
    for (variant, of) in scenario.all() {
        let named = |why| match variant {
            Some(variant) => format!("variant {}: {why}", variant.name),
            None => why,
        };
        check_values(&of).map_err(named)?;
    }
    Ok(())
}

/// Rows are of the scenario's kernels and variants, and the cells of all have the same names.
fn check_rows(scenario: &Scenario) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for subject in &scenario.subjects {
        let kernel = scenario.kernels.iter().any(|k| k.name == subject.kernel);
        let mut variants = scenario.variants.iter();
        let variant = (subject.variant.as_ref()).is_none_or(|of| variants.any(|v| v.name == *of));
        if !kernel || !variant {
            return Err(format!(
                "it has no kernel or variant of the row `{}`",
                text::line(&text::cut(&subject.to_string()))
            ));
        }
        if !seen.insert(subject.to_string()) {
            return Err(format!("the row `{subject}` is there twice"));
        }
    }
    for variant in &scenario.variants {
        let filesystems = variant.parts.filesystems.as_ref();
        let workloads = variant.parts.workloads.as_ref();
        let same = filesystems.is_none_or(|of| {
            let names = of.iter().map(|f| &f.name);
            names.eq(scenario.filesystems.iter().map(|f| &f.name))
        }) && workloads.is_none_or(|of| {
            let names = of.iter().map(|w| &w.name);
            names.eq(scenario.workloads.iter().map(|w| &w.name))
        });
        if !same {
            return Err(format!(
                "variant {} has other file systems or workloads than the scenario",
                variant.name
            ));
        }
    }
    Ok(())
}

/// What the cells of some rows are measured with.
fn check_values(scenario: &Scenario) -> Result<(), String> {
    let Device::Model(device) = &scenario.device else {
        return Err("its device is not the modelled one".into());
    };
    if !SCHEDULERS.contains(&device.scheduler.as_str()) {
        return Err(format!(
            "`{}` is no scheduler",
            text::cut(&device.scheduler)
        ));
    }
    within("guest memory in MiB", scenario.memory_mib, MEMORY)?;
    within("guest CPUs", scenario.smp, CPUS)?;
    within("repetitions", scenario.measure.repetitions, REPETITIONS)?;
    for word in &scenario.cmdline {
        let good = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && c != '"');
        if !good {
            return Err(format!(
                "`{}` is not a word of a kernel's command line",
                text::cut(word)
            ));
        }
    }
    Spec::check_cmdline(scenario.clock, scenario.smp, &scenario.cmdline)?;
    for filesystem in &scenario.filesystems {
        // One word of mkfs's, or of mount(2)'s data: never of QEMU's.
        let options = filesystem.mkfs.iter().chain([&filesystem.mount_options]);
        for option in options {
            if !option.chars().all(|c| c.is_ascii_graphic()) {
                return Err(format!(
                    "`{}` is no option of a file system",
                    text::cut(option)
                ));
            }
        }
    }
    Ok(())
}

/// No text in it acts on a terminal, and no number is larger than any that is meant.
fn harmless(at: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(word) => {
            if word.len() > LONGEST {
                return Err(format!("{at}: a text has {} bytes", word.len()));
            }
            match text::lines(word) == *word {
                true => Ok(()),
                false => Err(format!(
                    "{at}: `{}` has characters that act",
                    text::line(&text::cut(word))
                )),
            }
        }
        Value::Number(number) => match number.as_u64() {
            Some(n) if n > LARGEST => Err(format!("{at}: {n} is not a number that is meant")),
            _ => Ok(()),
        },
        Value::Array(all) => {
            if all.len() > limits::CELLS {
                return Err(format!("{at}: a list has {} entries", all.len()));
            }
            all.iter().try_for_each(|value| harmless(at, value))
        }
        Value::Object(map) => {
            (map.iter()).try_for_each(|(key, value)| harmless(&format!("{at}.{key}"), value))
        }
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn all_names<'a>(kind: &str, all: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for one in all {
        name(kind, one)?;
        if !seen.insert(one) {
            return Err(format!("the {kind} `{one}` is there twice"));
        }
    }
    Ok(())
}

fn name(kind: &str, name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let good = name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed);
    match good {
        true => Ok(()),
        false => Err(format!(
            "`{}` is no name of a {kind}",
            text::line(&text::cut(name))
        )),
    }
}

fn within(what: &str, value: u32, range: std::ops::RangeInclusive<u32>) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "{what}: {value} is not from {} to {}",
            range.start(),
            range.end()
        )),
    }
}
