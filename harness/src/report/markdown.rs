//! report.md: a document that stands alone.

use super::{Report, Style, source, table::Table, tables, why};
use crate::compare::{Claim, Held};
use crate::text::{self, markdown as escape};

/// Renders the whole report.
pub(super) fn render(report: &Report, style: &Style) -> String {
    let mut out = vec![format!("# {}", escape(&report.title))];
    out.extend(
        report
            .head()
            .iter()
            .map(|line| format!("**{}**", escape(line))),
    );
    for alarm in report.alarms() {
        out.push(format!("> **WARNING: {}**", escape(&alarm)));
    }
    if !report.description.is_empty() {
        // Its paragraphs stay; whatever else it is, it is shown as text.
        let paragraphs = report.description.trim().split("\n\n").map(escape);
        out.push(paragraphs.collect::<Vec<_>>().join("\n\n"));
    }
    if let Some(source) = &report.source {
        out.push(list(&source::words(source)));
    }
    out.extend(verdict(report));
    if let Some(chart) = &style.chart {
        out.push(format!(
            "![IOPS relative to {}, {}]({chart})",
            escape(report.baseline()),
            report.lane
        ));
    }
    for table in tables::all(report) {
        out.push(format!("## {}", escape(&table.title)));
        out.push(format!("*{}*", escape(&table.caption)));
        out.push(body(&table));
        out.push(list(&table.footnotes));
    }
    for table in why::of_a_run(&report.why) {
        out.push(format!("## {}", escape(&table.title)));
        out.push(format!("*{}*", escape(&table.caption)));
        out.push(ungrouped(&table));
    }
    if !report.why.is_empty() {
        out.push(list(&why::checked(&report.why)));
    }
    if !report.session.is_empty() {
        out.push("## Session".into());
        out.push(list(&report.session));
    }
    out.extend(failures(report));
    out.push("## What was measured".into());
    let setup = report.setup.iter();
    out.push(rows(
        &["", ""],
        setup.map(|(name, value)| vec![name.clone(), value.clone()]),
    ));
    out.push("## Kernels".into());
    out.push(kernels(report));
    if !report.notes.is_empty() {
        out.push("## Notes".into());
        out.push(list(&report.notes));
    }
    out.push("## Method".into());
    out.push(escape(&report.method.join(" ")));
    out.push("## Replay".into());
    out.push(
        match report.lane.is_exact() {
            true => {
                "This measures every cell again and compares it with the record, digit by digit:"
            }
            false => "This measures every cell again:",
        }
        .into(),
    );
    out.push(format!("    {}", text::line(&report.replay)));
    out.join("\n\n") + "\n"
}

pub(super) fn list(items: &[String]) -> String {
    let items = items.iter().map(|i| format!("- {}", escape(i)));
    items.collect::<Vec<_>>().join("\n")
}

pub(super) fn rows(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![
        line(&head.iter().map(|h| escape(h)).collect::<Vec<_>>()),
        format!("|{}", "---|".repeat(head.len())),
    ];
    lines.extend(rows.map(|cells| line(&cells.iter().map(|c| escape(c)).collect::<Vec<_>>())));
    lines.join("\n")
}

/// A table whose groups have no names.
pub(super) fn ungrouped(table: &Table) -> String {
    let columns = table.columns.iter().map(String::as_str);
    let head: Vec<&str> = [table.corner.as_str()].into_iter().chain(columns).collect();
    let lines = table.groups.iter().flat_map(|g| &g.rows).map(|row| {
        let entries = row.entries.iter().map(super::table::Entry::marked);
        [row.label.clone()].into_iter().chain(entries).collect()
    });
    rows(&head, lines).replacen(
        &"---|".repeat(head.len()),
        &format!("---|{}", "---:|".repeat(table.columns.len())),
        1,
    )
}

pub(super) fn body(table: &Table) -> String {
    let columns = table.columns.iter().map(|c| escape(c));
    let columns = columns.collect::<Vec<_>>().join(" | ");
    let mut lines = vec![
        format!("| file system | {} | {columns} |", escape(&table.corner)),
        format!("|---|---|{}", "---:|".repeat(table.columns.len())),
    ];
    for group in &table.groups {
        for row in &group.rows {
            let entries = row.entries.iter().map(|e| match e.tone {
                super::table::Tone::Loud => format!("**{}**", escape(&e.marked())),
                _ => escape(&e.marked()),
            });
            lines.push(format!(
                "| {} | {} | {} |",
                escape(&group.name),
                escape(&row.label),
                entries.collect::<Vec<_>>().join(" | ")
            ));
        }
    }
    lines.join("\n")
}

fn verdict(report: &Report) -> Vec<String> {
    let Some(reproduction) = &report.reproduction else {
        return vec![];
    };
    let mut out = vec![format!("## Verdict: {}", reproduction.word())];
    if !reproduction.reasons().is_empty() {
        out.push(list(reproduction.reasons()));
    }
    let claims = report.claims.iter();
    out.push(rows(
        &["claim", "because", "cells", "values", "held"],
        claims.map(|(words, claim)| {
            vec![
                words.clone(),
                claim.expect.because.clone(),
                claim.tested.len().to_string(),
                values(claim),
                held(&claim.held),
            ]
        }),
    ));
    out
}

/// Smallest and largest value among a claim's cells.
fn values(claim: &Claim) -> String {
    let values: Vec<f64> = claim.tested.iter().filter_map(|t| t.value).collect();
    let low = values.iter().copied().reduce(f64::min);
    match (low, values.iter().copied().reduce(f64::max)) {
        (Some(low), Some(high)) => format!("{low:.4} to {high:.4}"),
        _ => "none".into(),
    }
}

/// What became of a claim, and why it was left out, if it was.
pub(super) fn held(held: &Held) -> String {
    match held {
        Held::Yes => "yes".into(),
        Held::No => "NO".into(),
        Held::Unknown { .. } => held.word().into(),
        Held::LeftOut { why } => format!("{}: {why}", held.word()),
    }
}

fn failures(report: &Report) -> Vec<String> {
    if report.failures.is_empty() {
        return vec![];
    }
    let mut out = vec!["## Cells that were not measured".to_owned()];
    for f in &report.failures {
        out.push(format!(
            "**{}/{}/{}: {}**: {}",
            escape(&f.label),
            escape(&f.key.filesystem),
            escape(&f.key.workload),
            f.failure.word.to_uppercase(),
            escape(&f.failure.why)
        ));
        if !f.failure.console.is_empty() {
            // Indented, so that no line of the console can end the block.
            let lines = f.failure.console.iter().map(|l| format!("    {l}"));
            out.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    out
}

fn kernels(report: &Report) -> String {
    let hash = |digest: Option<crate::digest::Sha256>| {
        digest.map_or("unknown".to_owned(), |d| d.to_string())
    };
    rows(
        &[
            &report.rows_are(),
            "release",
            "origin",
            "locked",
            "image sha256",
            "initramfs sha256",
        ],
        report.kernels.iter().map(|k| {
            let label = match k.baseline {
                true => format!("{} (baseline)", k.label),
                false => k.label.clone(),
            };
            match &k.record {
                None => vec![label, "unknown".into(), "NO RECORD".into()],
                Some(r) => vec![
                    label,
                    r.release.clone().unwrap_or_else(|| "unknown".into()),
                    r.origin.clone(),
                    k.locked.word().into(),
                    hash(r.image),
                    hash(r.initramfs),
                ],
            }
        }),
    )
}
