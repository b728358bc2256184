//! What fio says of a job file that it refuses (pure).

use super::Refusal;
use super::ini::{JobFile, JobOption};
use crate::text::line;

/// fio's reasons, each at the line that it is about. fio tells the option, but not where it stands.
pub(super) fn refusals(said: &str, file: &JobFile) -> Vec<Refusal> {
    let lines = said.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|l| !l.is_empty() && !l.ends_with("dropped"))
        .collect();
    let mut found: Vec<(Option<&JobOption>, String)> = Vec::new();
    let mut values: Vec<Vec<&str>> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for line in &lines {
        if let Some(first) = line.strip_prefix("valid values:") {
            values.push(first.split_whitespace().take(1).collect());
        } else if let (Some(more), Some(list)) = (line.strip_prefix(':'), values.last_mut()) {
            list.extend(more.split_whitespace().take(1));
        } else if let Some(option) = option(line, file) {
            if !line.contains("failed parsing") {
                words.push(line);
            }
            found.push((Some(option), words.join("; ")));
            words.clear();
        } else if !line.starts_with("Did you mean") {
            words.push(line);
        }
    }
    if found.is_empty() {
        found.push((None, words.join("; ")));
    }
    // fio prints its lists apart from what they are about: they are told apart only where each
    // refusal without words has one.
    let bare = found.iter().filter(|(_, words)| words.is_empty()).count();
    let lists = values.len() == bare;
    let mut values = values.into_iter();
    found
        .into_iter()
        .map(|(option, words)| {
            let list = if words.is_empty() && lists {
                values.next()
            } else {
                None
            };
            let reason = if words.is_empty() {
                "it cannot read it"
            } else {
                &words
            };
            let what = match option {
                Some(option) => format!("fio refuses `{}`: {reason}", option.raw),
                None => format!("fio refuses it: {reason}"),
            };
            Refusal {
                line: option.map_or(1, |option| option.line),
                what: line(&what),
                next: match list {
                    Some(list) => format!("use one of {}", list.join(", ")),
                    None => "see fio's HOWTO".to_owned(),
                },
            }
        })
        .collect()
}

/// The option that a line of fio's is about.
fn option<'a>(line: &str, file: &'a JobFile) -> Option<&'a JobOption> {
    let mut options = file.sections.iter().flat_map(|section| &section.options);
    options.find(|option| match line.split_once("failed parsing ") {
        Some((_, option_said)) => option_said == option.raw,
        None => line.contains(&format!("<{}>", option.raw)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::ini::{lines, read};
    use super::*;

    #[test]
    fn fios_reason_stands_at_the_options_line() {
        let file = read(&lines("[j]\ndirect=1\niodepth=0\nrw = read\nfoo\n")).unwrap();
        let found = |said: &str| {
            let found = refusals(said, &file);
            let shown = found
                .iter()
                .map(|r| format!("{}: {}; {}", r.line, r.what, r.next));
            shown.collect::<Vec<_>>().join("\n")
        };
        let said = [
            found(
                "iodepth: min value out of range: 0 (1 min)\nfio: failed parsing iodepth=0\nfio: failed parsing rw = read\nfio: job j dropped\n   valid values: read       Sequential read\n    : write      Sequential write\n",
            ),
            found(
                "fio: failed parsing direct=1\nfio: failed parsing rw = read\n   valid values: read       Sequential read\n",
            ),
            found("Bad option <foo>\nDid you mean bar?\nfio: job j dropped\n"),
            found("out of memory\n"),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        3: fio refuses `iodepth=0`: iodepth: min value out of range: 0 (1 min); see fio's HOWTO
        4: fio refuses `rw = read`: it cannot read it; use one of read, write
        2: fio refuses `direct=1`: it cannot read it; see fio's HOWTO
        4: fio refuses `rw = read`: it cannot read it; see fio's HOWTO
        5: fio refuses `foo`: Bad option <foo>; see fio's HOWTO
        1: fio refuses it: out of memory; see fio's HOWTO
        ");
    }
}
