//! Which tables a report has: the mail's two, the absolute figures, and the cost per I/O.

use super::{
    lanes,
    model::Report,
    table::{Entry, Group, Row, Table, Tone, number, thousands},
};
use crate::{
    compare::{Cell, Figure, Locked, RESOLUTION, Subject, Verdict},
    scenario::{Clock, Lane, Metric},
    text::counted,
};

/// What stands where a kernel has no such counter.
const NOT_PROVIDED: &str = "n/a";
/// Marks a ratio that is no difference.
const SAME: char = '~';
/// Marks a ratio that allows no conclusion.
const UNDECIDED: char = '?';

/// Every table, in a document's order: the ratios, then what explains them.
pub(super) fn all(report: &Report) -> Vec<Table> {
    let mut tables = ratios(report);
    tables.extend(details(report));
    tables
}

/// What a first look needs: ratios, and the costs of the workloads whose rates differ most. The ratios of
/// TOTAL_IO are those of IOPS.
pub(super) fn brief(report: &Report) -> Vec<Table> {
    let mut tables = ratios_of(report, &[Metric::Iops]);
    let workloads = report.comparison.workloads.iter();
    let mut differ: Vec<(&String, f64)> = workloads
        .filter_map(|workload| Some((workload, difference(report, workload)?)))
        .collect();
    differ.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let less = differ.split_off(SHOWN.min(differ.len()));
    let shown = report.comparison.workloads.iter();
    let shown: Vec<&String> = shown
        .filter(|workload| differ.iter().any(|(shown, _)| shown == workload))
        .collect();
    for lane in report.comparison.lanes() {
        tables.extend((shown.iter()).map(|workload| once(costs(report, lane, workload))));
    }
    if let Some(last) = tables.last_mut().filter(|_| !shown.is_empty()) {
        last.footnotes.insert(0, LEGEND.to_owned());
        if !less.is_empty() {
            let names: Vec<&str> = less.iter().map(|(name, _)| name.as_str()).collect();
            let note = format!(
                "Rates that differ less, costs not shown: {}.",
                names.join(", ")
            );
            last.footnotes.push(note);
        }
    }
    tables
}

/// The same table where a row that has one word in every column, that of a failing cell, says it once.
fn once(mut table: Table) -> Table {
    for row in table.groups.iter_mut().flat_map(|group| &mut group.rows) {
        let Some((first, others)) = row.entries.split_first_mut() else {
            continue;
        };
        let failing = first.tone == Tone::Loud;
        if failing && others.iter().all(|other| other.text == first.text) {
            others.fill(Entry::plain("-").toned(Tone::Quiet));
        }
    }
    table
}

/// Workloads whose costs are shown in brief.
const SHOWN: usize = 2;

/// By how much a workload's rate differs from the baseline's, where it differs most: the ratio's logarithm.
/// Nothing where no verdict says that it does.
fn difference(report: &Report, workload: &str) -> Option<f64> {
    let cells = (report.comparison.cells.iter()).filter(|c| c.key.workload == workload);
    let differences = cells.filter_map(|cell| {
        let against = cell.against.get(&Metric::Iops)?;
        let differs = matches!(against.verdict, Verdict::Regressed | Verdict::Improved);
        Some(against.ratio.filter(|_| differs)?.value.ln().abs())
    });
    differences.max_by(f64::total_cmp)
}

/// The mail's two tables, and the path's length where it was counted.
pub(super) fn ratios(report: &Report) -> Vec<Table> {
    ratios_of(report, &[Metric::Iops, Metric::TotalIo])
}

fn ratios_of(report: &Report, rates: &[Metric]) -> Vec<Table> {
    let mut tables: Vec<Table> = rates.iter().map(|rate| relative(report, *rate)).collect();
    let mut cells = report.comparison.cells.iter();
    if cells.any(|c| c.figures.contains_key(&Metric::PathLength)) {
        tables.push(relative(report, Metric::PathLength));
    }
    tables.extend(verdicts(report));
    tables.extend(lanes::tables(report));
    tables
}

/// What a session concludes about each of its rates, and what explains it; for a session alone.
fn verdicts(report: &Report) -> Option<Table> {
    report.session()?;
    let groups = groups(report, &report.comparison.workloads, |subject, cell, _| {
        measured(cell, |cell| {
            if subject.baseline {
                return Some(Entry::plain("baseline").toned(Tone::Quiet));
            }
            let against = cell.against.get(&Metric::Iops)?;
            let (word, tone) = match against.verdict {
                Verdict::Regressed => ("regressed", Tone::Worse),
                Verdict::Improved => ("improved", Tone::Better),
                _ => (against.verdict.word(), Tone::Quiet),
            };
            let causes: Vec<&str> = against.causes.iter().map(|cause| cause.words()).collect();
            let explained = match causes.as_slice() {
                [] => String::new(),
                some => format!(": {}", some.join(", ")),
            };
            let mut entry = Entry::plain(format!("{word}{explained}")).toned(tone);
            entry.short = (!causes.is_empty()).then(|| format!("{word}, explained"));
            Some(entry)
        })
    });
    Some(Table {
        title: format!("Verdicts on IOPS against {}", report.baseline()),
        caption: report.lane.to_string(),
        corner: report.rows_are(),
        columns: report.comparison.workloads.clone(),
        groups,
        footnotes: vec![
            "A verdict with a cost behind it is explained: that cost per I/O moved with it; one without \
             is not."
                .to_owned(),
        ],
    })
}

/// Absolute figures, and the cost per I/O.
pub(super) fn details(report: &Report) -> Vec<Table> {
    let mut tables = Vec::new();
    for lane in report.comparison.lanes() {
        tables.push(absolute(report, lane, Metric::Iops));
        tables.push(absolute(report, lane, Metric::TotalIo));
        let workloads = report.comparison.workloads.iter();
        tables.extend(workloads.map(|w| costs(report, lane, w)));
        // One explanation is enough: it stands below the last of these tables.
        if let Some(last) = tables.last_mut() {
            last.footnotes.insert(0, LEGEND.to_owned());
        }
    }
    tables
}

/// What the cost tables' columns mean.
const LEGEND: &str = "busy: the CPU was not idle; drive: the drive model moving data, as a drive's DMA \
    would; path: busy without it; user: the engine's own code; system: the rest (kernel and interrupts); \
    ctx sw, irqs: of the whole guest; kworker: times a kworker was put on the CPU.";

/// A table of ratios to the baseline: kernels down, workloads across.
pub(super) fn relative(report: &Report, metric: Metric) -> Table {
    let groups = groups(report, &report.comparison.workloads, |subject, cell, _| {
        ratio(subject, cell, metric)
    });
    let mut footnotes = Vec::new();
    let marked = |mark| any(&groups, |e| e.mark == Some(mark));
    if report.lane.is_exact() && marked(SAME) {
        footnotes.push(format!(
            "~ no difference: the two ranges overlap, or the medians are within {}%{}.",
            100.0 * RESOLUTION,
            wider(report, metric)
        ));
    }
    if let Some(session) = report.session() {
        if any(&groups, |e| e.short.is_some()) {
            footnotes.push(format!(
                "[low, high]: 95% interval of the mean ratio over {}.",
                counted(session.blocks as usize, "block")
            ));
        }
        if marked(SAME) {
            footnotes.push("~ the same: the interval is within the minimum effect.".to_owned());
        }
        if marked(UNDECIDED) {
            footnotes.push("? inconclusive: the session, below, says why.".to_owned());
        }
    }
    footnotes.extend(kernel_footnotes(report));
    if metric == Metric::Iops {
        footnotes.extend(report.cached_note());
    }
    Table {
        title: format!(
            "{} relative to {} on the same file system",
            metric.facts().title,
            report.baseline()
        ),
        caption: report.lane.to_string(),
        corner: report.rows_are(),
        columns: report.comparison.workloads.clone(),
        groups,
        footnotes,
    }
}

/// What to add where a figure is known to wander by more than the resolution.
fn wider(report: &Report, metric: Metric) -> String {
    let cells = report.comparison.cells.iter();
    let ratios = cells.filter_map(|cell| cell.against.get(&metric)?.ratio);
    let widest = ratios.map(|r| r.resolution).fold(RESOLUTION, f64::max);
    if widest > RESOLUTION {
        let percent = 100.0 * widest;
        format!(" (up to {percent:.1}% where fio's rate is bound by the drive's bandwidth)")
    } else {
        String::new()
    }
}

fn any(groups: &[Group], is: impl Fn(&Entry) -> bool) -> bool {
    let mut rows = groups.iter().flat_map(|g| &g.rows);
    rows.any(|row| row.entries.iter().any(&is))
}

/// A table of ratios to another file system's figure of the same row: to what the device itself does, say.
pub(super) fn beside(report: &Report, metric: Metric, filesystem: &str) -> Table {
    let comparison = &report.comparison;
    let median = |cell: &Cell| Some(cell.figures.get(&metric)?.median);
    let columns = &comparison.workloads;
    let mut groups = groups(report, columns, |_, cell, _| {
        measured(cell, |cell| {
            let other = comparison.cell(cell.subject, filesystem, &cell.key.workload)?;
            let other = median(other).filter(|other| *other > 0.0)?;
            Some(Entry::plain(format!("{:.3}", median(cell)? / other)))
        })
    });
    groups.retain(|group| group.name != filesystem);
    Table {
        title: format!(
            "{} relative to {filesystem} of the same {}",
            metric.facts().title,
            report.rows_are()
        ),
        caption: report.lane.to_string(),
        corner: report.rows_are(),
        columns: columns.clone(),
        groups,
        footnotes: kernel_footnotes(report),
    }
}

/// A table of medians with their ranges, of the runs in one lane.
pub(super) fn absolute(report: &Report, lane: Lane, metric: Metric) -> Table {
    let unit = match metric {
        Metric::TotalIo => "MiB/s",
        other => other.facts().unit,
    };
    let cells = report.comparison.cells.iter();
    let of_lane = cells.filter(|cell| cell.key.lane == lane);
    let n = of_lane
        .filter_map(|cell| Some(cell.figures.get(&metric)?.n))
        .max();
    let mut footnotes = vec![format!(
        "median of {} [smallest to largest]; ± is the larger of the two distances.",
        counted(n.unwrap_or(0) as usize, "repetition")
    )];
    footnotes.extend(kernel_footnotes(report));
    Table {
        title: format!("{} ({unit}), median and range", metric.facts().title),
        caption: lane.to_string(),
        corner: report.rows_are(),
        columns: report.comparison.workloads.clone(),
        groups: groups_in(report, lane, &report.comparison.workloads, |_, cell, _| {
            measured(cell, |cell| {
                cell.figures.get(&metric).map(|f| range(f, metric))
            })
        }),
        footnotes,
    }
}

/// Metrics of the cost table, in its columns' order.
const COSTS: [Metric; 8] = [
    Metric::PathLength,
    Metric::BusyPerIo,
    Metric::UserPerIo,
    Metric::SystemPerIo,
    Metric::DrivePerIo,
    Metric::ContextSwitchesPerIo,
    Metric::InterruptsPerIo,
    Metric::KworkerRunsPerIo,
];

/// What one I/O of a workload costs, with its IOPS ratio beside it so that a difference can be
/// traced to the path that became longer or shorter.
fn costs(report: &Report, lane: Lane, workload: &str) -> Table {
    let mut columns = vec!["IOPS ratio".to_owned()];
    columns.extend(COSTS.iter().map(|m| m.facts().short.to_owned()));
    let time = match lane.clock {
        Clock::Instructions => "times in ns: instructions, in this lane",
        Clock::Wall => "times in ns of CPU time",
    };
    let names = vec![workload.to_owned(); columns.len()];
    let groups = groups_in(report, lane, &names, |subject, cell, column| {
        match column.checked_sub(1) {
            None => ratio(subject, cell, Metric::Iops),
            Some(i) => measured(cell, |cell| {
                let figure = cell.figures.get(&COSTS[i])?;
                let decimals = COSTS[i].facts().decimals;
                Some(Entry::plain(number(figure.median, decimals)))
            }),
        }
    });
    let mut footnotes = Vec::new();
    if any(&groups, |e| e.text == NOT_PROVIDED) {
        footnotes.push(format!(
            "{NOT_PROVIDED}: this kernel does not provide the counter, or it is not exact here."
        ));
    }
    footnotes.extend(kernel_footnotes(report));
    Table {
        title: format!("Cost per I/O, {workload}"),
        caption: format!("{lane}; {time}"),
        corner: report.rows_are(),
        columns,
        groups,
        footnotes,
    }
}

fn groups(
    report: &Report,
    workloads: &[String],
    entry: impl Fn(&Subject, Option<&Cell>, usize) -> Entry,
) -> Vec<Group> {
    rows(report, |_| true, workloads, entry)
}

fn groups_in(
    report: &Report,
    lane: Lane,
    workloads: &[String],
    entry: impl Fn(&Subject, Option<&Cell>, usize) -> Entry,
) -> Vec<Group> {
    let of_lane = |s: &Subject| report.comparison.runs[s.run].lane == lane;
    rows(report, of_lane, workloads, entry)
}

fn rows(
    report: &Report,
    shown: impl Fn(&Subject) -> bool,
    workloads: &[String],
    entry: impl Fn(&Subject, Option<&Cell>, usize) -> Entry,
) -> Vec<Group> {
    let comparison = &report.comparison;
    let row = |filesystem: &str, index: usize, subject: &Subject| Row {
        label: label(subject),
        entries: workloads
            .iter()
            .enumerate()
            .map(|(column, w)| entry(subject, comparison.cell(index, filesystem, w), column))
            .collect(),
    };
    let group = |filesystem: &String| Group {
        name: filesystem.clone(),
        rows: comparison
            .subjects
            .iter()
            .enumerate()
            .filter(|(_, s)| shown(s))
            .map(|(i, s)| row(filesystem, i, s))
            .collect(),
    };
    comparison.filesystems.iter().map(group).collect()
}

fn label(subject: &Subject) -> String {
    match subject.locked {
        Locked::Replaced => format!("{} !", subject.label),
        Locked::Yes | Locked::Local => subject.label.clone(),
    }
}

fn kernel_footnotes(report: &Report) -> Vec<String> {
    let replaced = report.replaced();
    replaced
        .map(|k| format!("! {} is NOT THE LOCKED KERNEL.", k.label))
        .collect()
}

/// An entry for what is not there: loud, in capitals, never blank.
fn loud(word: &str) -> Entry {
    Entry::plain(word.to_uppercase()).toned(Tone::Loud)
}

fn measured(cell: Option<&Cell>, entry: impl Fn(&Cell) -> Option<Entry>) -> Entry {
    match cell {
        None => loud("no such cell"),
        Some(cell) => match &cell.failure {
            Some(failure) => loud(failure.word),
            None => entry(cell).unwrap_or_else(|| Entry::plain(NOT_PROVIDED).toned(Tone::Quiet)),
        },
    }
}

fn ratio(subject: &Subject, cell: Option<&Cell>, metric: Metric) -> Entry {
    measured(cell, |cell| {
        if subject.baseline {
            return Some(Entry::plain("1").toned(Tone::Quiet));
        }
        let against = cell.against.get(&metric)?;
        let Some(ratio) = against.ratio else {
            return Some(match against.verdict {
                Verdict::Fixed => loud("no baseline (fixed)"),
                Verdict::Incomparable { .. } => loud("incomparable"),
                _ => Entry::plain(NOT_PROVIDED).toned(Tone::Quiet),
            });
        };
        let tone = match against.verdict {
            Verdict::Regressed => Tone::Worse,
            Verdict::Improved => Tone::Better,
            _ => Tone::Quiet,
        };
        let value = format!("{:.3}", ratio.value);
        if cell.key.lane.is_exact() {
            let mut entry = Entry::plain(value).toned(tone);
            entry.mark = ratio.is_no_difference().then_some(SAME);
            return Some(entry);
        }
        // Too few boots by the wall clock have a ratio, and no interval; an invalid session's means
        // nothing.
        if cell.doubt.is_some() {
            let mut entry = Entry::plain(value).toned(tone);
            entry.mark =
                matches!(against.verdict, Verdict::Inconclusive { .. }).then_some(UNDECIDED);
            return Some(entry);
        }
        let interval = format!("{value} [{:.3}, {:.3}]", ratio.low, ratio.high);
        let mut entry = Entry::plain(interval).toned(tone);
        entry.short = Some(value);
        entry.mark = match against.verdict {
            Verdict::Same => Some(SAME),
            Verdict::Inconclusive { .. } => Some(UNDECIDED),
            _ => None,
        };
        Some(entry)
    })
}

/// Median with range; in short, the larger deviation in percent.
fn range(figure: &Figure, metric: Metric) -> Entry {
    let show = |value: f64| match metric {
        Metric::TotalIo => format!("{:.1}", value / f64::from(1 << 20)),
        _ => thousands(value),
    };
    let mut entry = Entry::plain(format!(
        "{} [{} to {}]",
        show(figure.median),
        show(figure.min),
        show(figure.max)
    ));
    entry.short = figure
        .spread()
        .map(|s| format!("{} ±{:.1}%", show(figure.median), 100.0 * s));
    entry
}
