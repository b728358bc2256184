//! A scenario's TOML as written: every value optional, each with its place (pure).
//!
//! The tree is walked by hand rather than deserialised, because a deserialiser stops at the first
//! mistake and knows no near misses; here all mistakes are found, each with line and column.

use super::problems::{At, Place, Problems};
use super::section::Section;
use std::cell::RefCell;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod workload;

pub(super) use workload::{JobFileText, RawWorkload};

/// The file as written.
#[derive(Debug, Default)]
pub(super) struct RawScenario {
    pub(super) name: Option<At<String>>,
    pub(super) title: Option<At<String>>,
    pub(super) description: Option<At<String>>,
    pub(super) baseline: Option<At<String>>,
    pub(super) device: Option<At<String>>,
    pub(super) clock: Option<At<String>>,
    pub(super) kernels: Vec<RawKernel>,
    pub(super) model: RawModel,
    pub(super) nvme: RawNvme,
    pub(super) memory: Option<At<String>>,
    pub(super) smp: Option<At<u64>>,
    pub(super) cmdline: Vec<At<String>>,
    pub(super) conditioning: RawConditioning,
    pub(super) measure: RawMeasure,
    pub(super) session: RawSession,
    pub(super) source: Option<RawSource>,
    pub(super) filesystems: Vec<RawFilesystem>,
    pub(super) workloads: Vec<RawWorkload>,
    pub(super) expect: Vec<RawExpect>,
}

/// An element of `kernels`: `"6.12"` or `{ name = "mine", path = "bzImage", modules = "dir" }`.
#[derive(Debug)]
pub(super) struct RawKernel {
    pub(super) at: Place,
    pub(super) name: Option<At<String>>,
    pub(super) path: Option<At<String>>,
    pub(super) modules: Option<At<String>>,
}

/// `[model]`
#[derive(Debug, Default)]
pub(super) struct RawModel {
    pub(super) size: Option<At<String>>,
    pub(super) block_size: Option<At<String>>,
    pub(super) latency: Option<At<String>>,
    pub(super) bandwidth: Option<At<String>>,
    pub(super) queue_depth: Option<At<u64>>,
    pub(super) submit_queues: Option<At<u64>>,
    pub(super) scheduler: Option<At<String>>,
    pub(super) stack: Vec<At<String>>,
    pub(super) write_cache: Option<At<String>>,
    pub(super) fua: Option<At<bool>>,
    pub(super) flush_latency: Option<At<String>>,
}

/// `[nvme]`
#[derive(Debug, Default)]
pub(super) struct RawNvme {
    pub(super) size: Option<At<String>>,
    pub(super) block_size: Option<At<String>>,
    pub(super) queues: Option<At<u64>>,
    pub(super) serial: Option<At<String>>,
    pub(super) scheduler: Option<At<String>>,
}

/// `[conditioning]`
#[derive(Debug, Default)]
pub(super) struct RawConditioning {
    pub(super) format: Option<At<String>>,
    pub(super) discard: Option<At<bool>>,
    pub(super) precondition: Option<At<String>>,
}

/// `[measure]`
#[derive(Debug, Default)]
pub(super) struct RawMeasure {
    pub(super) repetitions: Option<At<u64>>,
    pub(super) warmup_ios: Option<At<u64>>,
    pub(super) ramp_time: Option<At<String>>,
    pub(super) phase_step: Option<At<String>>,
}

/// `[session]`
#[derive(Debug, Default)]
pub(super) struct RawSession {
    pub(super) blocks: Option<At<u64>>,
    pub(super) seed: Option<At<u64>>,
}

/// `[source]`
#[derive(Debug, Default)]
pub(super) struct RawSource {
    pub(super) url: Option<At<String>>,
    pub(super) by: Option<At<String>>,
    pub(super) date: Option<At<String>>,
    pub(super) setup: Option<At<String>>,
    pub(super) claim: Option<At<String>>,
    pub(super) limits: Option<At<String>>,
    pub(super) known: Option<At<String>>,
    pub(super) because: Option<At<String>>,
}

/// `[filesystems.NAME]`
#[derive(Debug)]
pub(super) struct RawFilesystem {
    pub(super) name: At<String>,
    pub(super) kind: Option<At<String>>,
    pub(super) mkfs: Vec<At<String>>,
    pub(super) mount_options: Option<At<String>>,
}

/// `[[expect]]`
#[derive(Debug)]
pub(super) struct RawExpect {
    pub(super) at: Place,
    pub(super) metric: Option<At<String>>,
    pub(super) ratio_at_least: Option<At<f64>>,
    pub(super) ratio_at_most: Option<At<f64>>,
    pub(super) value_at_least: Option<At<f64>>,
    pub(super) value_at_most: Option<At<f64>>,
    pub(super) kernels: Vec<At<String>>,
    pub(super) variants: Vec<At<String>>,
    pub(super) filesystems: Vec<At<String>>,
    pub(super) workloads: Vec<At<String>>,
    pub(super) because: Option<At<String>>,
    pub(super) baseline_filesystem: Option<At<String>>,
    pub(super) point: Option<At<bool>>,
}

/// Reads the text; what is wrong with it goes into `problems`. None when it is not TOML.
pub(super) fn document<'i>(text: &'i str, problems: &mut Problems) -> Option<DeTable<'i>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let place = Place {
                key: String::new(),
                offset: error.span().map(|span| span.start),
            };
            let next = "see https://toml.io for the format";
            problems.add(&place, format!("not TOML: {}", error.message()), next);
        }
        return None;
    }
    Some(root.into_inner())
}

/// Reads a scenario; what is wrong with it goes into `problems`.
pub(super) fn scenario(root: &DeTable<'_>, problems: &mut Problems) -> RawScenario {
    section(root, problems, read)
}

/// Reads something of a scenario's document.
pub(super) fn section<'i, T>(
    root: &DeTable<'i>,
    problems: &mut Problems,
    read: impl FnOnce(&Section<'_, 'i>) -> T,
) -> T {
    let cell = RefCell::new(std::mem::take(problems));
    let top = Place {
        key: String::new(),
        offset: Some(0),
    };
    let found = read(&Section::new(root, top, TOP_KEYS, &cell));
    *problems = cell.into_inner();
    found
}

const TOP_KEYS: &[&str] = &[
    "name",
    "title",
    "description",
    "baseline",
    "device",
    "clock",
    "kernels",
    "variants",
    "model",
    "nvme",
    "conditioning",
    "guest",
    "measure",
    "session",
    "source",
    "filesystems",
    "workloads",
    "expect",
];

fn read(top: &Section<'_, '_>) -> RawScenario {
    let guest = top.section("guest", &["memory", "smp", "cmdline"]);
    RawScenario {
        name: top.text("name"),
        title: top.text("title"),
        description: top.text("description"),
        baseline: top.text("baseline"),
        device: top.text("device"),
        clock: top.text("clock"),
        kernels: kernels(top),
        model: model(top),
        nvme: nvme(top),
        memory: guest.as_ref().and_then(|guest| guest.quantity("memory")),
        smp: guest.as_ref().and_then(|guest| guest.whole("smp")),
        cmdline: guest
            .map(|guest| guest.texts("cmdline"))
            .unwrap_or_default(),
        conditioning: conditioning(top),
        measure: measure(top),
        session: session(top),
        source: source(top),
        filesystems: filesystems(top),
        workloads: workload::workloads(top),
        expect: expect(top),
    }
}

fn kernels(top: &Section<'_, '_>) -> Vec<RawKernel> {
    let read = |(at, value): (Place, &Spanned<DeValue<'_>>)| {
        if let Some(name) = value.get_ref().as_str() {
            let name = Some(At {
                value: name.to_owned(),
                at: at.clone(),
            });
            return Some(RawKernel {
                at,
                name,
                path: None,
                modules: None,
            });
        }
        let wanted = "a kernel's name or { name = .., path = .., modules = .. }";
        let table = top.table(&at, value, wanted)?;
        let kernel = Section::new(
            table,
            at.clone(),
            &["name", "path", "modules"],
            top.problems,
        );
        Some(RawKernel {
            at,
            name: kernel.text("name"),
            path: kernel.text("path"),
            modules: kernel.text("modules"),
        })
    };
    top.elements("kernels")
        .into_iter()
        .filter_map(read)
        .collect()
}

fn model(top: &Section<'_, '_>) -> RawModel {
    let keys = &[
        "size",
        "block_size",
        "latency",
        "bandwidth",
        "queue_depth",
        "submit_queues",
        "scheduler",
        "stack",
        "write_cache",
        "fua",
        "flush_latency",
    ];
    let Some(model) = top.section("model", keys) else {
        return RawModel::default();
    };
    RawModel {
        size: model.quantity("size"),
        block_size: model.quantity("block_size"),
        latency: model.text("latency"),
        bandwidth: model.text("bandwidth"),
        queue_depth: model.whole("queue_depth"),
        submit_queues: model.whole("submit_queues"),
        scheduler: model.text("scheduler"),
        stack: model.texts("stack"),
        write_cache: model.text("write_cache"),
        fua: model.flag("fua"),
        flush_latency: model.text("flush_latency"),
    }
}

fn nvme(top: &Section<'_, '_>) -> RawNvme {
    let keys = &["size", "block_size", "queues", "serial", "scheduler"];
    let Some(nvme) = top.section("nvme", keys) else {
        return RawNvme::default();
    };
    RawNvme {
        size: nvme.quantity("size"),
        block_size: nvme.quantity("block_size"),
        queues: nvme.whole("queues"),
        serial: nvme.text("serial"),
        scheduler: nvme.text("scheduler"),
    }
}

fn conditioning(top: &Section<'_, '_>) -> RawConditioning {
    let keys = &["format", "discard", "precondition"];
    let Some(conditioning) = top.section("conditioning", keys) else {
        return RawConditioning::default();
    };
    RawConditioning {
        format: conditioning.text("format"),
        discard: conditioning.flag("discard"),
        precondition: conditioning.text("precondition"),
    }
}

fn measure(top: &Section<'_, '_>) -> RawMeasure {
    let keys = &["repetitions", "warmup_ios", "ramp_time", "phase_step"];
    let Some(measure) = top.section("measure", keys) else {
        return RawMeasure::default();
    };
    RawMeasure {
        repetitions: measure.whole("repetitions"),
        warmup_ios: measure.whole("warmup_ios"),
        ramp_time: measure.text("ramp_time"),
        phase_step: measure.text("phase_step"),
    }
}

fn session(top: &Section<'_, '_>) -> RawSession {
    let Some(session) = top.section("session", &["blocks", "seed"]) else {
        return RawSession::default();
    };
    RawSession {
        blocks: session.whole("blocks"),
        seed: session.whole("seed"),
    }
}

fn source(top: &Section<'_, '_>) -> Option<RawSource> {
    let keys = &[
        "url", "by", "date", "setup", "claim", "limits", "known", "because",
    ];
    let source = top.section("source", keys)?;
    Some(RawSource {
        url: source.text("url"),
        by: source.text("by"),
        date: source.text("date"),
        setup: source.text("setup"),
        claim: source.text("claim"),
        limits: source.text("limits"),
        known: source.text("known"),
        because: source.text("because"),
    })
}

fn filesystems(top: &Section<'_, '_>) -> Vec<RawFilesystem> {
    let read = |(name, section): (At<String>, Section<'_, '_>)| RawFilesystem {
        name,
        kind: section.text("kind"),
        mkfs: section.texts("mkfs"),
        mount_options: section.text("mount_options"),
    };
    let named = top.named("filesystems", &["kind", "mkfs", "mount_options"]);
    named.into_iter().map(read).collect()
}

fn expect(top: &Section<'_, '_>) -> Vec<RawExpect> {
    let keys = &[
        "metric",
        "ratio_at_least",
        "ratio_at_most",
        "value_at_least",
        "value_at_most",
        "kernels",
        "variants",
        "filesystems",
        "workloads",
        "because",
        "baseline_filesystem",
        "point",
    ];
    let read = |(at, value): (Place, &Spanned<DeValue<'_>>)| {
        let table = top.table(&at, value, "a table: [[expect]]")?;
        let section = Section::new(table, at.clone(), keys, top.problems);
        Some(RawExpect {
            at,
            metric: section.text("metric"),
            ratio_at_least: section.number("ratio_at_least"),
            ratio_at_most: section.number("ratio_at_most"),
            value_at_least: section.number("value_at_least"),
            value_at_most: section.number("value_at_most"),
            kernels: section.texts("kernels"),
            variants: section.texts("variants"),
            filesystems: section.texts("filesystems"),
            workloads: section.texts("workloads"),
            because: section.text("because"),
            baseline_filesystem: section.text("baseline_filesystem"),
            point: section.flag("point"),
        })
    };
    top.elements("expect")
        .into_iter()
        .filter_map(read)
        .collect()
}
