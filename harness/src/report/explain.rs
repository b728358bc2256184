//! Explanations as text, as markdown, and as lines for a mail.

use super::{
    Style, markdown,
    table::number,
    terminal,
    why::{self, ProfileCheck, Why, signed},
};

/// Columns of a mail.
const MAIL: usize = 72;

/// A difference smaller than this is no line of a mail, in instructions per I/O.
const MAILED: f64 = 1.0;

/// For a terminal: tables with this many functions, then the checks.
#[must_use]
pub fn explanation_text(why: &Why, functions: usize, style: &Style) -> String {
    let tables = [why::layers(why), why::functions(why, functions)];
    let mut text = terminal::tables(&tables, style);
    text.push('\n');
    for line in why.checks.iter().flat_map(ProfileCheck::words) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// The same in markdown, below a heading of this many `#`.
#[must_use]
pub fn explanation_markdown(why: &Why, functions: usize, depth: usize) -> String {
    let hashes = "#".repeat(depth);
    let mut parts = Vec::new();
    for table in [why::layers(why), why::functions(why, functions)] {
        parts.push(format!("{hashes} {}", table.title));
        parts.push(format!("*{}*", table.caption));
        parts.push(markdown::ungrouped(&table));
    }
    let words: Vec<String> = why.checks.iter().flat_map(ProfileCheck::words).collect();
    parts.push(markdown::list(&words));
    parts.join("\n\n") + "\n"
}

/// What a maintainer pastes into a mail: a line per layer that grew, no wider than 72 columns.
#[must_use]
pub fn explanation_mail(why: &Why) -> String {
    let e = &why.explanation;
    let total = e.total();
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let subject = &e.subject.kernel;
    line(format!(
        "{}, instructions per I/O, counted one by one:",
        e.cell
    ));
    let Some(against) = &e.against else {
        line(format!("{subject}: {}", number(e.subject_per_io(total), 0)));
        for part in &e.layers {
            let per_io = number(e.subject_per_io(part.instructions), 0);
            line(format!("{per_io:>8}  {}", part.layer.title()));
        }
        line(format!("({})", why.lane));
        return text;
    };
    line(format!(
        "{subject} {}, {} {}, difference {}",
        number(e.subject_per_io(total), 0),
        against.kernel,
        number(e.against_per_io(total), 0),
        signed(e.difference(total))
    ));
    let mut rest = e.difference(total);
    for part in &e.layers {
        let difference = e.difference(part.instructions);
        if difference < MAILED {
            continue;
        }
        rest -= difference;
        let mut row = format!("{:>8}  {:<19}", signed(difference), part.layer.title());
        let grew = part.functions.iter().filter_map(|f| {
            let difference = e.difference(f.instructions);
            (difference >= MAILED).then(|| format!("{} {}", f.name, signed(difference)))
        });
        for (i, function) in grew.enumerate() {
            let function = if i == 0 {
                format!("  {function}")
            } else {
                format!(", {function}")
            };
            if row.chars().count() + function.chars().count() > MAIL {
                break;
            }
            row.push_str(&function);
        }
        line(row);
    }
    line(format!("{:>8}  what shrank", signed(rest)));
    line(format!("({})", why.lane));
    text
}
