//! What path length says beside what the drive says: one table per workload.

use super::{
    model::Report,
    table::{Entry, Group, Row, Table, Tone, number},
};
use crate::{
    compare::{BothLanes, InBoth, Side, Together, Verdict},
    scenario::Metric,
    text::counted,
};

/// The tables; none where runs of both lanes have no cell in common.
pub(super) fn tables(report: &Report) -> Vec<Table> {
    let Some(both) = &report.comparison.both_lanes else {
        return Vec::new();
    };
    let workloads = report.comparison.workloads.iter();
    let mut tables: Vec<Table> = workloads
        .filter_map(|workload| table(report, both, workload))
        .collect();
    if let Some(last) = tables.last_mut() {
        last.footnotes = footnotes(both);
    }
    tables
}

fn table(report: &Report, both: &BothLanes, workload: &str) -> Option<Table> {
    let cells: Vec<&InBoth> = both
        .cells
        .iter()
        .filter(|c| c.workload == workload)
        .collect();
    let groups: Vec<Group> = report
        .comparison
        .filesystems
        .iter()
        .map(|filesystem| {
            let cells = cells.iter().filter(|cell| cell.filesystem == *filesystem);
            Group {
                name: filesystem.clone(),
                rows: cells.map(|cell| row(cell)).collect(),
            }
        })
        .filter(|group| !group.rows.is_empty())
        .collect();
    let run = |index: usize| {
        let run = &report.comparison.runs[index];
        format!("{}: {}", run.letter, run.lane)
    };
    (!groups.is_empty()).then(|| Table {
        title: format!("{workload} in both lanes, relative to {}", both.baseline),
        caption: format!("{}; {}", run(both.exact), run(both.metal)),
        corner: report.rows_are(),
        columns: [
            "path length says",
            "the drive says",
            "together",
            "ctx sw, exact",
            "ctx sw, drive",
        ]
        .map(str::to_owned)
        .to_vec(),
        groups,
        footnotes: Vec::new(),
    })
}

fn row(cell: &InBoth) -> Row {
    let together = Entry::plain(cell.together.words());
    let switches = cell.context_switches.map(|value| match value {
        Some(value) => Entry::plain(number(value, 2)),
        None => Entry::plain("n/a").toned(Tone::Quiet),
    });
    let entries = [
        said(&cell.path),
        said(&cell.drive),
        match cell.together {
            Together::Contradict => together.toned(Tone::Loud),
            Together::Undecided => together.toned(Tone::Quiet),
            _ => together,
        },
    ];
    Row {
        label: cell.kernel.clone(),
        entries: entries.into_iter().chain(switches).collect(),
    }
}

fn said(side: &Side) -> Entry {
    let tone = match side.verdict {
        Verdict::Regressed => Tone::Worse,
        Verdict::Improved => Tone::Better,
        _ => Tone::Quiet,
    };
    Entry::plain(format!("{:.3} {}", side.ratio, side.verdict.word())).toned(tone)
}

fn footnotes(both: &BothLanes) -> Vec<String> {
    let count = |together: Together| {
        let same = both.cells.iter().filter(|cell| cell.together == together);
        same.count()
    };
    let decided = both.cells.len() - count(Together::Undecided);
    let by_iops = both
        .cells
        .iter()
        .any(|cell| cell.path.metric == Metric::Iops);
    let mut notes = vec![
        "path length: instructions per I/O in the exact lane, more is worse; the drive: IOPS in the metal \
         lane, more is better."
            .to_owned(),
        format!(
            "of {} in both lanes {decided} have a verdict in each: {} agree in direction, {} \
             contradict, {} differ in path length and not on the drive, {} on the drive and not in path \
             length.",
            counted(both.cells.len(), "cell"),
            count(Together::Agree),
            count(Together::Contradict),
            count(Together::NotSeen),
            count(Together::NotOfThePath),
        ),
    ];
    if by_iops {
        notes.push(
            "where instructions were not counted, the exact lane's IOPS stand in their place."
                .to_owned(),
        );
    }
    notes
}
