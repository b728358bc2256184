//! Our engines and fio's side by side, as tables.

use super::{
    Style, markdown,
    table::{Entry, Group, Row, Table, Tone, number},
    terminal,
};
use crate::{
    compare::agreement::{AGREE_WITHIN, COMPARED, EnginePair, EngineSide},
    scenario::{Lane, Metric},
};

/// What stands where a figure is missing.
const NONE: &str = "n/a";

/// For a terminal.
#[must_use]
pub fn agreement_text(pairs: &[EnginePair], lane: Lane, style: &Style) -> String {
    let tables = [figures(pairs, lane), apart(pairs, lane)];
    let mut text = terminal::tables(&tables, style);
    text.push_str(&format!("\n{}\n", summary(pairs)));
    text
}

/// A document that stands alone.
#[must_use]
pub fn agreement_markdown(pairs: &[EnginePair], lane: Lane) -> String {
    let mut text = format!(
        "# Our engines and fio's\n\n**{lane}**\n\n{}\n",
        summary(pairs)
    );
    for table in [figures(pairs, lane), apart(pairs, lane)] {
        text.push_str(&format!("\n## {}\n\n*{}*\n\n", table.title, table.caption));
        text.push_str(&markdown::body(&table));
        text.push('\n');
        for note in &table.footnotes {
            text.push_str(&format!("\n- {note}"));
        }
        text.push('\n');
    }
    text
}

/// How many pairs agree, in a line.
fn summary(pairs: &[EnginePair]) -> String {
    let whole = pairs.iter().filter(|p| p.ours.measured && p.fio.measured);
    let (mut counted, mut agreed) = (0, 0);
    for pair in whole {
        counted += 1;
        agreed += usize::from(pair.apart.keys().all(|m| *m == Metric::Iops));
    }
    format!(
        "{agreed} of {counted} pairs agree in every counter within {:.0}% of fio's ({} were not \
         measured on both sides)",
        AGREE_WITHIN * 100.0,
        pairs.len() - counted
    )
}

/// Every side's figures.
fn figures(pairs: &[EnginePair], lane: Lane) -> Table {
    Table {
        title: "Each workload through our engine and through fio's".into(),
        caption: format!("{lane}; medians, per I/O except IOPS"),
        corner: "kernel, workload".into(),
        columns: columns("to baseline"),
        groups: groups(pairs, |pair| {
            let row = |side: &EngineSide| Row {
                label: format!("{} {}", pair.kernel, side.workload),
                entries: side_entries(side),
            };
            vec![row(&pair.ours), row(&pair.fio)]
        }),
        footnotes: vec![
            "to baseline: IOPS relative to the baseline kernel, same engine, same file system"
                .into(),
            "user instr: user-space instructions per I/O in total, counted one by one".into(),
        ],
    }
}

/// The compared metrics', then the effect of the kernel as this table shows it, and the cost.
fn columns(effect: &str) -> Vec<String> {
    let metrics = COMPARED.iter().map(|m| m.facts().short);
    metrics
        .chain([effect, "user instr"])
        .map(str::to_owned)
        .collect()
}

fn side_entries(side: &EngineSide) -> Vec<Entry> {
    let mut entries: Vec<Entry> = COMPARED
        .iter()
        .map(|m| match side.medians.get(m) {
            _ if !side.measured => Entry::plain("FAILED").toned(Tone::Loud),
            Some(v) => Entry::plain(number(*v, m.facts().decimals)),
            None => Entry::plain(NONE),
        })
        .collect();
    entries.push(optional(side.ratio, 3));
    entries.push(optional(side.instructions, 0));
    entries
}

fn optional(value: Option<f64>, decimals: usize) -> Entry {
    Entry::plain(value.map_or(NONE.to_owned(), |v| number(v, decimals)))
}

/// Ours relative to fio's.
fn apart(pairs: &[EnginePair], lane: Lane) -> Table {
    Table {
        title: "Ours relative to fio's".into(),
        caption: format!("{lane}; ours / fio's"),
        corner: "kernel, workload".into(),
        columns: columns("effect"),
        groups: groups(pairs, |pair| {
            let mut entries: Vec<Entry> = COMPARED.iter().map(|m| relative(pair, *m)).collect();
            entries.push(optional(pair.effect, 3));
            entries.push(optional(pair.instructions(), 3));
            vec![Row {
                label: format!("{} {}", pair.kernel, pair.ours.workload),
                entries,
            }]
        }),
        footnotes: vec![
            format!(
                "! differs from fio's by more than {:.0}%: see METHODOLOGY.md, \"Agreement with fio\"; \
                 - nothing on either side",
                AGREE_WITHIN * 100.0
            ),
            "effect: our ratio to the baseline / fio's".into(),
        ],
    }
}

fn relative(pair: &EnginePair, metric: Metric) -> Entry {
    let sides = (
        pair.ours.medians.get(&metric),
        pair.fio.medians.get(&metric),
    );
    let (Some(ours), Some(fio)) = sides else {
        return Entry::plain(NONE);
    };
    let floor = metric.facts().floor;
    let text = if ours.max(*fio) <= floor {
        "-".to_owned()
    } else if *fio == 0.0 {
        format!("+{ours:.2}")
    } else {
        number(ours / fio, 3)
    };
    let mut entry = Entry::plain(text);
    if pair.apart.contains_key(&metric) {
        entry.mark = Some('!');
        entry.tone = Tone::Worse;
    }
    entry
}

/// Rows by file system, in the pairs' order.
fn groups(pairs: &[EnginePair], rows: impl Fn(&EnginePair) -> Vec<Row>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for pair in pairs {
        if groups.last().is_none_or(|g| g.name != pair.filesystem) {
            groups.push(Group {
                name: pair.filesystem.clone(),
                rows: Vec::new(),
            });
        }
        if let Some(group) = groups.last_mut() {
            group.rows.extend(rows(pair));
        }
    }
    groups
}
