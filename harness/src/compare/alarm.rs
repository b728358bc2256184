//! Equal input digests with unequal digits: what must never be, looked for wherever two cells meet.

use super::leaves::{Leaf, Leaves};
use crate::{
    digest::Sha256,
    record::{CellResult, Measured, Outcome, Results},
    scenario::CellKey,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Differences named per pair of cells; more are counted only.
const NAMED: usize = 8;

/// Two cells that were measured with equal inputs and whose digits differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// The input digest of both.
    pub inputs: Sha256,
    /// The first one.
    pub first: Sighting,
    /// The one that differs from it.
    pub other: Sighting,
    /// What differs: `repetitions[2].ios: 5103, was 5102`.
    pub differences: Vec<String>,
}

/// A cell of one of several runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// Name of the run's directory.
    pub run_id: String,
    /// Which cell of it.
    pub key: CellKey,
}

impl Alarm {
    /// In one sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let place = |place: &Sighting| format!("{} of {}", place.key, place.run_id);
        format!(
            "EQUAL INPUTS, DIFFERENT DIGITS: {} and {} have the same input digest {} but differ: \
             {}",
            place(&self.first),
            place(&self.other),
            self.inputs.short(),
            self.differences.join("; ")
        )
    }
}

/// Every cell whose digits are not those of the first cell with the same input digest, in the exact
/// lane: elsewhere equal inputs promise nothing.
#[must_use]
pub fn alarms(runs: &[&Results]) -> Vec<Alarm> {
    let mut first: BTreeMap<Sha256, (&Results, &CellResult)> = BTreeMap::new();
    let mut found = Vec::new();
    let cells = runs
        .iter()
        .flat_map(|run| run.cells.iter().map(move |c| (*run, c)));
    for (run, cell) in cells {
        let (Some(inputs), true) = (cell.inputs, cell.key.lane.is_exact() && answered(cell)) else {
            continue;
        };
        let (first_run, known) = *first.entry(inputs).or_insert((run, cell));
        let differences = outcomes(&known.outcome, &cell.outcome);
        if !differences.is_empty() {
            let place = |run: &Results, cell: &CellResult| Sighting {
                run_id: run.run_id.clone(),
                key: cell.key.clone(),
            };
            found.push(Alarm {
                inputs,
                first: place(first_run, known),
                other: place(run, cell),
                differences,
            });
        }
    }
    found
}

/// Whether a cell came to an end that its inputs alone decide. A deadline, a stop and a failing host
/// are not inputs, and a guest may have been killed from outside.
fn answered(cell: &CellResult) -> bool {
    matches!(
        cell.outcome,
        Outcome::Measured(_) | Outcome::WrongResult { .. }
    )
}

fn outcomes(before: &Outcome, now: &Outcome) -> Vec<String> {
    match (before, now) {
        (Outcome::Measured(before), Outcome::Measured(now)) => differences(before, now),
        (before, now) if before == now => Vec::new(),
        (before, now) => vec![format!("{}, was {}", now.words(), before.words())],
    }
}

/// Whether both cells have the digest of their guest's memory after the measurement, so that a
/// comparison says something of it.
#[must_use]
pub fn memory_compared(before: &Measured, now: &Measured) -> bool {
    before.memory.end.is_some() && now.memory.end.is_some()
}

/// Everything the guest reported, and its instructions and its memory's digests where both cells have
/// them; not the host's own times. Each difference names its place: `repetitions[2].ios: 5103, was
/// 5102`.
#[must_use]
pub fn differences(before: &Measured, now: &Measured) -> Vec<String> {
    let (before, now) = comparable(before, now);
    let leaves = Leaves::of(&before, &now);
    let mut found: Vec<String> = leaves.differ.iter().map(words).collect();
    if found.len() > NAMED {
        let more = found.len() - NAMED;
        found.truncate(NAMED);
        found.push(format!("and {more} more"));
    }
    found
}

/// What of two cells may be compared: all of what the guest said, and what both have of the rest.
pub(super) fn comparable(before: &Measured, now: &Measured) -> (Value, Value) {
    let mut both = [before, now].map(|cell| json!({"guest": cell.guest, "memory": {}}));
    let mut put = |place: [&str; 2], values: [Option<Value>; 2]| {
        // A guest that did not stop itself, or was not asked to, has none: nothing to compare.
        if let [Some(a), Some(b)] = values {
            for (of, value) in both.iter_mut().zip([a, b]) {
                of[place[0]][place[1]] = value;
            }
        }
    };
    let two = [before, now];
    put(
        ["memory", "checkpoint"],
        two.map(|cell| cell.memory.checkpoint.clone().map(Value::from)),
    );
    put(
        ["memory", "end"],
        two.map(|cell| cell.memory.end.clone().map(Value::from)),
    );
    let counted = two.map(|cell| cell.instructions.as_ref());
    put(
        ["instructions", "executed"],
        counted.map(|i| i.map(|i| json!(i.executed))),
    );
    put(
        ["instructions", "drive"],
        counted.map(|i| i.and_then(|i| i.drive).map(|drive| json!(drive))),
    );
    let [before, now] = both;
    (before, now)
}

fn words(leaf: &Leaf) -> String {
    let Leaf { path, a, b } = leaf;
    match (a.as_array(), b.as_array()) {
        (Some(a), Some(b)) if a.len() != b.len() => {
            format!("{path}: {} entries, previously {}", b.len(), a.len())
        }
        _ => format!("{path}: {b}, was {a}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn with_inputs() -> Results {
        let mut results = fixture::results();
        for (i, cell) in results.cells.iter_mut().enumerate() {
            cell.inputs = Some(Sha256::of(&i.to_be_bytes()));
        }
        results
    }

    fn measured(results: &mut Results, at: usize) -> &mut Measured {
        match &mut results.cells[at].outcome {
            Outcome::Measured(measured) => measured,
            other => panic!("{other:?}"),
        }
    }

    fn found(a: &Results, b: &Results) -> Vec<String> {
        alarms(&[a, b]).iter().map(Alarm::words).collect()
    }

    #[test]
    fn one_digit_under_equal_inputs_is_an_alarm_that_names_cell_and_digit() {
        let (a, mut b) = (with_inputs(), with_inputs());
        b.run_id = "another".into();
        assert_eq!(found(&a, &b), [""; 0]);
        measured(&mut b, 3).guest.repetitions[1].ios += 1;
        let found = found(&a, &b);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("5.10/ext4/write-16k of another"),
            "{found:?}"
        );
        assert!(found[0].contains("guest.repetitions[1].ios: "), "{found:?}");
    }

    #[test]
    fn what_may_differ_between_equal_runs_is_no_alarm() {
        let (a, mut b) = (with_inputs(), with_inputs());
        let one = measured(&mut b, 0);
        (one.host.wall_s, one.host.checkpoint) = (99.0, false);
        one.host.vsock = "vhost-vsock".into();
        // Booted without a checkpoint: no digest, which is not another digest.
        one.memory.end = None;
        b.cells[1].outcome = Outcome::NotRun {
            why: "stopped".into(),
        };
        b.cells[2].inputs = None;
        measured(&mut b, 2).guest.repetitions.truncate(1);
        assert_eq!(found(&a, &b), [""; 0]);
    }

    #[test]
    fn the_memory_counts_where_both_have_it_and_a_wrong_result_is_another_digit() {
        let (mut a, mut b) = (with_inputs(), with_inputs());
        measured(&mut a, 0).memory.end = Some("00".into());
        measured(&mut b, 0).memory.end = Some("11".into());
        b.cells[1].outcome = Outcome::WrongResult { why: "torn".into() };
        let found = found(&a, &b);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("memory.end: \"11\", was \"00\""),
            "{found:?}"
        );
        assert!(
            found[1].contains("wrong result (torn), was measured"),
            "{found:?}"
        );
    }

    #[test]
    fn two_cells_of_one_run_meet_as_well() {
        let mut run = with_inputs();
        run.cells[4].inputs = run.cells[0].inputs;
        assert_eq!(alarms(&[&run]).len(), 1);
    }
}
