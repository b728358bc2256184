//! What differs between two runs, for people.

use crate::{
    compare::{CellDiff, Diff, Leaf},
    scenario::CellKey,
    text::{self, counted},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Digits named per cell, unless all are wanted.
const NAMED: usize = 3;

/// Longest text of a value.
const LONG: usize = 120;

/// A diff as text: inputs, then results, and nothing that is equal but for its count. All digits of a
/// cell with `all`.
#[must_use]
pub fn diff_text(diff: &Diff, all: bool) -> String {
    let mut lines = vec![format!("A: {}", diff.a), format!("B: {}", diff.b)];
    let mut section = |title: &str, found: Vec<String>| {
        lines.push(String::new());
        lines.push(match found.is_empty() {
            true => format!("{title}: none"),
            false => title.to_owned(),
        });
        lines.extend(found.into_iter().map(|line| format!("  {line}")));
    };
    section("Inputs that differ", diff.inputs.iter().map(leaf).collect());
    let mut results: Vec<String> = diff
        .alarms
        .iter()
        .map(|a| format!("! {}", a.words()))
        .collect();
    // Cells of another lane may have the same names.
    let lanes = diff
        .only_in_a
        .iter()
        .chain(&diff.only_in_b)
        .map(|key| key.lane);
    let of_one_lane = lanes.collect::<BTreeSet<_>>().len() < 2;
    let name = |key: &CellKey| match of_one_lane {
        true => key.to_string(),
        false => format!("{key} ({})", key.lane),
    };
    for (run, only) in [("A", &diff.only_in_a), ("B", &diff.only_in_b)] {
        results.extend(
            only.iter()
                .map(|key| format!("{}: only in {run}", name(key))),
        );
    }
    for cell in &diff.cells {
        results.extend(self::cell(cell, all));
    }
    section("Results that differ", results);
    lines.push(String::new());
    lines.push(equal(diff));
    let lines: Vec<String> = lines.iter().map(|line| text::line(line)).collect();
    lines.join("\n") + "\n"
}

fn equal(diff: &Diff) -> String {
    let equal = &diff.equal;
    let digits = match equal.of_digits {
        0 => String::new(),
        of => format!(", {} of {}", equal.digits, counted(of, "digit")),
    };
    let memory = match equal.of_memories {
        0 => ", no digest of guest memory to compare".to_owned(),
        of => format!(
            ", {} of {} of guest memory",
            equal.memories,
            counted(of, "digest")
        ),
    };
    format!(
        "Equal: {} of {} in both{digits}{memory}",
        equal.cells,
        counted(equal.of_cells, "cell")
    )
}

fn cell(cell: &CellDiff, all: bool) -> Vec<String> {
    let inputs = match cell.same_inputs {
        true => " (equal inputs)",
        false => "",
    };
    let key = &cell.key;
    if let Some([a, b]) = &cell.outcomes {
        return vec![format!("{key}{inputs}: {a} -> {b}")];
    }
    let digits = &cell.digits;
    let of = digits.equal + digits.differ.len();
    let mut lines = vec![format!(
        "{key}{inputs}: {} of {} differ",
        digits.differ.len(),
        counted(of, "digit")
    )];
    let named = if all { usize::MAX } else { NAMED };
    // Which words of the guest differ is seldom the point: numbers first.
    let mut differ: Vec<&Leaf> = digits.differ.iter().collect();
    if !all {
        differ.sort_by_key(|leaf| rank(leaf));
    }
    let shown = differ.iter().take(named);
    lines.extend(shown.map(|found| format!("  {}", leaf(found))));
    if let Some(more) = digits.differ.len().checked_sub(named).filter(|n| *n > 0) {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// Rates first, then other numbers, then the rest.
fn rank(leaf: &Leaf) -> u8 {
    match (&leaf.a, &leaf.b) {
        _ if leaf.path.ends_with("].ios") => 0,
        (Value::Number(_), Value::Number(_)) => 1,
        _ => 2,
    }
}

fn leaf(leaf: &Leaf) -> String {
    let (a, b) = (&leaf.a, &leaf.b);
    let is_line = leaf.path.ends_with("cmdline");
    if let (Some(a), Some(b)) = (words(a, is_line), words(b, is_line)) {
        let (gone, come) = apart(&a, &b);
        let mark = |mark: &str, words: &[&str]| match words {
            [] => String::new(),
            words => format!(" {mark} {}", words.join(" ")),
        };
        // The same words in another order.
        if !(gone.is_empty() && come.is_empty()) {
            return format!("{}:{}{}", leaf.path, mark("-", &gone), mark("+", &come));
        }
    }
    match (a, b) {
        (Value::Null, Value::Object(_)) => format!("{}: only in B", leaf.path),
        (Value::Object(_), Value::Null) => format!("{}: only in A", leaf.path),
        (a, b) => format!("{}: {} -> {}", leaf.path, value(a), value(b)),
    }
}

/// The words of a command line: of a list of texts, or of a text that is one.
fn words(value: &Value, is_line: bool) -> Option<Vec<&str>> {
    match value {
        Value::String(text) if is_line => Some(text.split_whitespace().collect()),
        Value::Array(list) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Some(texts?.into_iter().flat_map(str::split_whitespace).collect())
        }
        _ => None,
    }
}

/// What only the first has, and what only the second has, by the longest common subsequence.
fn apart<'a>(a: &[&'a str], b: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut longest = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = match a[i] == b[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut gone, mut come) = (0, 0, Vec::new(), Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            gone.push(a[i]);
            i += 1;
        } else {
            come.push(b[j]);
            j += 1;
        }
    }
    (gone, come)
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if is_digest(text) => text[..12].to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => counted(list.len(), "entry"),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::fixture,
        digest::Sha256,
        record::{Outcome, Results},
    };

    fn text(a: &Results, b: &Results) -> String {
        diff_text(&Diff::of(a, b), false)
    }

    #[test]
    fn equal_runs_are_said_to_be_equal_and_how_much_was_compared() {
        let (a, mut b) = (fixture::results(), fixture::results());
        b.run_id = "iomap-dio-2".into();
        insta::assert_snapshot!(text(&a, &b), @"
        A: iomap-dio-1
        B: iomap-dio-2

        Inputs that differ: none

        Results that differ: none

        Equal: 40 of 40 cells in both, 5280 of 5280 digits, no digest of guest memory to compare
        ");
    }

    #[test]
    fn what_differs_is_named_with_both_values_and_the_rest_is_counted() {
        let (a, mut b) = (fixture::results(), fixture::results());
        b.run_id = "iomap-dio-2".into();
        b.scenario.workloads[2].job.iodepth = 32;
        b.scenario.workloads.pop();
        b.scenario.cmdline = vec!["nohz=off".into()];
        for machine in &mut b.machines {
            machine.covers.argv[3].push_str(" nohz=off");
        }
        b.kernels[4].image = Some(Sha256::of(b"another"));
        b.vmm.version = "QEMU emulator version 11.1.0 (Debian 1:11.1.0+ds-2)".into();
        b.cells.retain(|cell| cell.key.workload != "write-16k");
        for cell in &mut b.cells {
            cell.inputs = None;
        }
        if let Outcome::Measured(cell) = &mut b.cells[0].outcome {
            let repetition = &mut cell.guest.repetitions[1];
            (repetition.ios, repetition.bytes) = (repetition.ios + 1, repetition.bytes + 4096);
            repetition.latency.clear();
            cell.guest.boot.modules.push("xfs".into());
        }
        b.cells[1].outcome = Outcome::WrongResult { why: "torn".into() };
        insta::assert_snapshot!(text(&a, &b), @"
        A: iomap-dio-1
        B: iomap-dio-2

        Inputs that differ
          scenario.cmdline: + nohz=off
          scenario.workloads.write-16k: only in A
          scenario.workloads.write-4k.iodepth: 64 -> 32
          kernels.7.2.image: 18ed019486eb -> ae448ac86c4e
          vmm.version: QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2) -> QEMU emulator version 11.1.0 (Debian 1:11.1.0+ds-2)
          machines.*.argv: + nohz=off

        Results that differ
          5.10/ext4/write-16k: only in A
          5.10/xfs/write-16k: only in A
          6.1/ext4/write-16k: only in A
          6.1/xfs/write-16k: only in A
          6.12/ext4/write-16k: only in A
          6.12/xfs/write-16k: only in A
          6.18/ext4/write-16k: only in A
          6.18/xfs/write-16k: only in A
          7.2/ext4/write-16k: only in A
          7.2/xfs/write-16k: only in A
          5.10/ext4/read-4k: 4 of 131 digits differ
            guest.repetitions[1].ios: 18419 -> 18420
            guest.repetitions[1].bytes: 75444224 -> 75448320
            guest.boot.modules: + xfs
            and 1 more
          5.10/ext4/read-16k: measured -> wrong result (torn)

        Equal: 28 of 30 cells in both, 3823 of 3827 digits, no digest of guest memory to compare
        ");
    }

    #[test]
    fn cells_of_one_name_in_two_lanes_are_told_apart() {
        let (a, mut b) = (fixture::results(), fixture::results());
        fixture::on_a_drive(&mut b.scenario);
        let lane = b.scenario.lane();
        b.cells.iter_mut().for_each(|cell| cell.key.lane = lane);
        let text = text(&a, &b);
        for line in [
            "\n  5.10/ext4/read-4k (exact lane: model device, instructions clock): only in A\n",
            "\n  5.10/ext4/read-4k (metal lane: nvme device, wall clock): only in B\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn words_that_are_gone_and_words_that_came_are_told_apart_in_their_order() {
        let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
        let of = |a, b| apart(&words(a), &words(b));
        assert_eq!(of("a b c", "a c d"), (vec!["b"], vec!["d"]));
        assert_eq!(of("a b", "b a"), (vec!["a"], vec!["a"]));
        assert_eq!(of("a", "a"), (vec![], vec![]));
    }
}
