//! Org: tables as Emacs writes them and as the original report's mail showed them.

use super::{Report, Style, markdown::held, source, table::Table, tables};
use crate::compare::Locked;
use crate::text::{self, org as shown};

/// Renders the whole report.
pub(super) fn render(report: &Report, style: &Style) -> String {
    let mut out = vec![format!("#+TITLE: {}", shown(&report.title))];
    out.extend(
        report
            .head()
            .iter()
            .map(|line| format!("{}\n", shown(line))),
    );
    for alarm in report.alarms() {
        out.push(format!("*WARNING: {}*\n", shown(&alarm)));
    }
    if let Some(source) = &report.source {
        out.push(list(&source::words(source)));
    }
    if let Some(reproduction) = &report.reproduction {
        out.push(format!("* Verdict: {}", reproduction.word()));
        out.push(list(reproduction.reasons()));
        let claims = report.claims.iter();
        let claims = claims.map(|(words, c)| vec![words.clone(), held(&c.held).to_owned()]);
        out.push(aligned(
            &["claim".into(), "held".into()],
            vec![claims.collect()],
        ));
    }
    if let Some(chart) = &style.chart {
        out.push(format!("[[file:{chart}]]\n"));
    }
    for table in tables::all(report) {
        out.push(format!("* {}", shown(&table.title)));
        out.push(shown(&table.caption));
        out.push(self::table(&table));
        out.push(list(&table.footnotes));
    }
    if !report.session.is_empty() {
        out.push("* Session".into());
        out.push(list(&report.session));
    }
    if !report.failures.is_empty() {
        out.push("* Cells that were not measured".into());
        let failures = report.failures.iter().map(|f| {
            format!(
                "{}/{}/{}: {}: {}",
                f.label,
                f.key.filesystem,
                f.key.workload,
                f.failure.word.to_uppercase(),
                f.failure.why
            )
        });
        out.push(list(&failures.collect::<Vec<_>>()));
    }
    out.push("* What was measured".into());
    let setup = report.setup.iter();
    let setup = setup.map(|(name, value)| format!("{name} :: {value}"));
    out.push(list(&setup.collect::<Vec<_>>()));
    out.push("* Kernels".into());
    out.push(list(&kernels(report)));
    if !report.notes.is_empty() {
        out.push("* Notes".into());
        out.push(list(&report.notes));
    }
    out.push(format!("* Method\n{}\n", shown(&report.method.join(" "))));
    out.push(format!("* Replay\n: {}", text::line(&report.replay)));
    out.join("\n") + "\n"
}

/// A bar would begin a new column.
fn cell(text: &str) -> String {
    shown(text).replace('|', "\\vert{}")
}

fn list(items: &[String]) -> String {
    items.iter().map(|i| format!("- {}\n", shown(i))).collect()
}

fn kernels(report: &Report) -> Vec<String> {
    let kernels = report.kernels.iter();
    kernels
        .map(|k| match &k.record {
            None => format!("{} :: NO RECORD", k.label),
            Some(r) => format!(
                "{} :: {}, {}, image sha256 {}, initramfs sha256 {}{}",
                k.label,
                r.release.as_deref().unwrap_or("unknown release"),
                r.origin,
                r.image.map_or("unknown".into(), |d| d.to_string()),
                r.initramfs.map_or("unknown".into(), |d| d.to_string()),
                match k.locked {
                    Locked::Yes => String::new(),
                    other => format!(", {}", other.word()),
                }
            ),
        })
        .collect()
}

fn table(table: &Table) -> String {
    let mut head = vec!["file system".to_owned(), table.corner.clone()];
    head.extend(table.columns.iter().cloned());
    let groups = table.groups.iter().map(|group| {
        let rows = group.rows.iter().map(|row| {
            let mut cells = vec![group.name.clone(), row.label.clone()];
            cells.extend(row.entries.iter().map(super::table::Entry::marked));
            cells
        });
        rows.collect()
    });
    aligned(&head, groups.collect())
}

/// A table with a rule below its head and between its groups.
fn aligned(head: &[String], groups: Vec<Vec<Vec<String>>>) -> String {
    let width = |column: usize| {
        let rows = groups.iter().flatten().filter_map(|r| r.get(column));
        let texts = rows
            .chain(head.get(column))
            .map(|t| cell(t).chars().count());
        texts.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let row = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(c, w)| {
            let text = cell(c);
            // Not a width of `format!`, which has a limit.
            let blanks = " ".repeat(w.saturating_sub(text.chars().count()));
            format!(" {text}{blanks} ")
        });
        format!("|{}|\n", padded.collect::<Vec<_>>().join("|"))
    };
    let rule = widths.iter().map(|w| "-".repeat(w + 2));
    let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("+"));
    let mut text = row(head);
    for group in &groups {
        text.push_str(&rule);
        text.extend(group.iter().map(|r| row(r)));
    }
    text
}
