//! The terminal: aligned tables. In brief the verdict and the ratios come first; of everything, last,
//! where the eye ends up.

mod brief;

use super::{
    Detail, Report, Style, source,
    table::{Entry, Row, Table, Tone},
    tables, why,
};
use crate::{
    compare::{Held, Reproduction},
    text,
};

/// Renders the report.
pub(super) fn render(report: &Report, style: &Style) -> String {
    let mut out = Out {
        text: String::new(),
        color: style.color,
        wrap: None,
    };
    match style.detail {
        Detail::Brief => {
            out.wrap = Some(style.width);
            brief::render(&mut out, report, style.width);
        }
        Detail::Whole => whole(&mut out, report, style.width),
    }
    out.text
}

fn whole(out: &mut Out, report: &Report, width: usize) {
    out.line(&report.title, "1");
    for line in report.head() {
        out.line(&line, "");
    }
    if let Some(source) = &report.source {
        out.line(&source::whole(source), "");
    }
    for alarm in report.alarms() {
        out.line(&format!("! {alarm}"), LOUD);
    }
    for table in tables::details(report)
        .into_iter()
        .chain(tables::ratios(report))
    {
        out.line("", "");
        self::table(out, &table, width);
    }
    explained(out, report, width);
    failures(out, report);
    section(out, "Session", &report.session);
    section(out, "Notes", &report.notes);
    verdict(out, report);
    for alarm in report.alarms() {
        out.line(&format!("! {alarm}"), LOUD);
    }
}

/// Where instructions went, if they were profiled.
fn explained(out: &mut Out, report: &Report, width: usize) {
    for table in why::of_a_run(&report.why) {
        out.line("", "");
        self::table(out, &table, width);
    }
    if !report.why.is_empty() {
        for line in why::checked(&report.why) {
            out.paragraph(&line, if line.starts_with('!') { LOUD } else { "2" });
        }
    }
}

/// Renders tables by themselves.
pub(super) fn tables(tables: &[Table], style: &Style) -> String {
    let mut out = Out {
        text: String::new(),
        color: style.color,
        wrap: None,
    };
    for table in tables {
        out.line("", "");
        self::table(&mut out, table, style.width);
    }
    out.text
}

/// Bold red.
const LOUD: &str = "1;31";

struct Out {
    text: String,
    color: bool,
    /// Columns at which sentences are broken; none where the terminal does that.
    wrap: Option<usize>,
}

impl Out {
    /// Adds text in an SGR style; an empty one is plain.
    fn put(&mut self, text: &str, sgr: &str) {
        // The only sequences that a terminal gets are our own.
        let text = text::line(text);
        if self.color && !sgr.is_empty() && !text.is_empty() {
            self.text.push_str(&format!("\x1b[{sgr}m{text}\x1b[0m"));
        } else {
            self.text.push_str(&text);
        }
    }

    fn line(&mut self, text: &str, sgr: &str) {
        self.put(text, sgr);
        self.end();
    }

    /// A sentence, broken between words; what follows its first line begins below its first word.
    fn paragraph(&mut self, text: &str, sgr: &str) {
        let Some(limit) = self.wrap else {
            return self.line(text, sgr);
        };
        let text = text::line(text);
        let first = text.trim_start_matches([' ', '-', '!']);
        let indent = " ".repeat(text.len() - first.len());
        let mut line = text[..indent.len()].to_owned();
        for (i, word) in first.split_whitespace().enumerate() {
            if i > 0 && width(&line) + 1 + width(word) > limit {
                self.line(&line, sgr);
                line.clone_from(&indent);
                line.push_str(word);
            } else {
                line.push_str(if i > 0 { " " } else { "" });
                line.push_str(word);
            }
        }
        self.line(&line, sgr);
    }

    /// Ends a line, without the blanks that alignment left at its end.
    fn end(&mut self) {
        let kept = self.text.trim_end_matches(' ').len();
        self.text.truncate(kept);
        self.text.push('\n');
    }
}

fn sgr(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Quiet => "2",
        Tone::Better => "32",
        Tone::Worse => "33",
        Tone::Loud => LOUD,
    }
}

fn width(text: &str) -> usize {
    text::line(text).chars().count()
}

fn pad(text: &str, to: usize) -> String {
    " ".repeat(to.saturating_sub(width(text)))
}

/// A column as it is laid out: the texts' width, and whether a mark stands behind them.
struct Column {
    index: usize,
    width: usize,
    marked: bool,
}

impl Column {
    /// With two blanks before it.
    fn total(&self) -> usize {
        2 + self.width + if self.marked { 2 } else { 0 }
    }
}

fn table(out: &mut Out, table: &Table, limit: usize) {
    out.line(&table.title, "1");
    if !table.caption.is_empty() {
        out.line(&table.caption, "");
    }
    let rows = || table.groups.iter().flat_map(|g| &g.rows);
    // Row labels stand two blanks in, below their group's name.
    let labels = rows()
        .map(|r| width(&r.label) + 2)
        .chain(table.groups.iter().map(|g| width(&g.name)))
        .chain([width(&table.corner)]);
    let label = labels.max().unwrap_or(0);
    let full = columns(table, false);
    let fits = label + full.iter().map(Column::total).sum::<usize>() <= limit;
    let (columns, short) = if fits {
        (full, false)
    } else {
        (columns(table, true), true)
    };
    for part in split(columns, limit.saturating_sub(label)) {
        header(out, table, label, &part);
        for group in &table.groups {
            if !group.name.is_empty() {
                out.line(&group.name, "");
            }
            for r in &group.rows {
                row(out, r, label, &part, short);
            }
        }
    }
    for note in &table.footnotes {
        out.paragraph(note, if note.starts_with('!') { LOUD } else { "2" });
    }
}

fn shown(entry: &Entry, short: bool) -> &str {
    match (&entry.short, short) {
        (Some(text), true) => text,
        _ => &entry.text,
    }
}

fn columns(table: &Table, short: bool) -> Vec<Column> {
    let heads = table.columns.iter().enumerate();
    heads
        .map(|(index, head)| {
            let rows = table.groups.iter().flat_map(|g| &g.rows);
            let entries: Vec<_> = rows.filter_map(|r| r.entries.get(index)).collect();
            let texts = entries.iter().map(|e| width(shown(e, short)));
            Column {
                index,
                width: texts.chain([width(head)]).max().unwrap_or(0),
                marked: entries.iter().any(|e| e.mark.is_some()),
            }
        })
        .collect()
}

/// Parts of a table that fit side by side; each has at least one column.
fn split(columns: Vec<Column>, limit: usize) -> Vec<Vec<Column>> {
    let mut parts: Vec<Vec<Column>> = Vec::new();
    let mut used = usize::MAX;
    for column in columns {
        let total = column.total();
        match parts.last_mut() {
            Some(part) if used.saturating_add(total) <= limit => part.push(column),
            _ => {
                used = 0;
                parts.push(vec![column]);
            }
        }
        used += total;
    }
    parts
}

fn header(out: &mut Out, table: &Table, label: usize, part: &[Column]) {
    out.put(&table.corner, "");
    out.put(&pad(&table.corner, label), "");
    for column in part {
        let head = &table.columns[column.index];
        out.put(&format!("  {}{head}", pad(head, column.width)), "");
        out.put(if column.marked { "  " } else { "" }, "");
    }
    out.end();
}

fn row(out: &mut Out, row: &Row, label: usize, part: &[Column], short: bool) {
    out.put(
        &format!(
            "  {}{}",
            row.label,
            pad(&row.label, label.saturating_sub(2))
        ),
        "",
    );
    for column in part {
        let Some(entry) = row.entries.get(column.index) else {
            continue;
        };
        let text = shown(entry, short);
        out.put(&format!("  {}", pad(text, column.width)), "");
        out.put(text, sgr(entry.tone));
        if column.marked {
            out.put(&format!(" {}", entry.mark.unwrap_or(' ')), sgr(entry.tone));
        }
    }
    out.end();
}

fn failures(out: &mut Out, report: &Report) {
    if report.failures.is_empty() {
        return;
    }
    out.line("", "");
    out.line("Cells that were not measured", "1");
    for f in &report.failures {
        out.put(
            &format!("  {}/{}/{}: ", f.label, f.key.filesystem, f.key.workload),
            "",
        );
        out.put(&f.failure.word.to_uppercase(), LOUD);
        out.line(&format!(": {}", f.failure.why), "");
        for line in &f.failure.console {
            out.line(&format!("      | {line}"), "2");
        }
    }
}

fn section(out: &mut Out, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.line("", "");
    out.line(title, "1");
    for line in lines {
        out.paragraph(&format!("  - {line}"), "");
    }
}

fn verdict(out: &mut Out, report: &Report) {
    let Some(reproduction) = &report.reproduction else {
        return;
    };
    out.line("", "");
    out.line(&format!("Claims ({})", report.lane), "1");
    for (words, claim) in &report.claims {
        let tone = match &claim.held {
            Held::Yes => "32",
            Held::No | Held::Unknown { .. } | Held::LeftOut { .. } => LOUD,
        };
        let why = match &claim.held {
            Held::LeftOut { why } => format!(": {why}"),
            _ => String::new(),
        };
        out.put("  ", "");
        out.put(claim.held.word(), tone);
        out.line(&format!(": {words}{why}"), "");
    }
    let tone = match reproduction {
        Reproduction::Reproduced => "1;32",
        Reproduction::NotReproduced { .. } | Reproduction::Undecided { .. } => LOUD,
    };
    out.line(reproduction.word(), tone);
    for reason in reproduction.reasons() {
        out.line(&format!("  - {reason}"), "");
    }
}
