//! Records that somebody else wrote, or a disk altered: whatever can be read can be compared and
//! rendered, without a panic, without an endless loop, and without a word that a terminal obeys.

use super::*;
use crate::{compare::fixture, record::Results};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

/// Numbers that arithmetic must survive.
fn numbers() -> Vec<Value> {
    vec![
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(5e-324),
    ]
}

fn texts() -> Vec<Value> {
    vec![json!(""), json!(HOSTILE)]
}

/// Longer than any width that `format!` takes.
fn long() -> Value {
    json!("ä".repeat(70_000))
}

const HOSTILE: &str =
    "\u{1b}]0;owned\u{7}\u{9b}31m\n\u{202e}<img src=x onerror=alert(1)>|`*[[x]]{{{m}}}#+X";

/// All ways to a value that is no object.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(k, v)| leaves(v, &format!("{at}/{}", k.replace('/', "~1")), found)),
        Value::Array(items) => {
            found.push(at.to_owned());
            // Elements of one list are alike.
            for (i, item) in items.iter().enumerate().take(2) {
                leaves(item, &format!("{at}/{i}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

/// What stands in a value's place.
fn instead(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(_) => numbers(),
        Value::String(_) => texts(),
        Value::Null => [numbers(), texts()].concat(),
        Value::Array(items) => {
            let twice = [&items[..], &items[..]].concat();
            let reversed = items.iter().rev().cloned().collect();
            vec![json!([]), Value::Array(twice), Value::Array(reversed)]
        }
        Value::Bool(b) => vec![json!(!b)],
        Value::Object(_) => Vec::new(),
    }
}

/// Renders whatever there is to render; fails loudly, naming the place.
fn survives(results: &Results, other: &Results, place: &str) {
    let style = Style::default();
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        let one = Report::new(results);
        let two = Report::of_runs(other, &[results]);
        for format in Format::ALL {
            // A picture of them is the SVG's, and slow.
            if format == Format::Png {
                continue;
            }
            // What a second run adds is in these two as well as in all.
            let together = matches!(format, Format::Terminal | Format::Markdown);
            for report in [Some(&one), together.then_some(&two)].into_iter().flatten() {
                let bytes = render(report, format, &style).expect("rendered");
                let text = String::from_utf8(bytes).expect("UTF-8");
                if !matches!(format, Format::Json) {
                    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
                    assert!(!text.contains(acts), "{format:?} has a control character");
                }
                if matches!(format, Format::Markdown) {
                    // Four blanks begin a block of code, which shows what it is.
                    let mut prose = text.lines().filter(|line| !line.starts_with("    "));
                    let html = |line: &str| line.replace("\\<", "").contains('<');
                    assert!(!prose.any(html), "HTML in Markdown");
                }
            }
        }
    }));
    assert!(rendered.is_ok(), "{place}");
}

/// Two kernels and two workloads on one file system are enough to go wrong.
fn small(mut results: Results) -> Results {
    let kernels = ["6.12", "7.2"];
    results.scenario.filesystems.truncate(1);
    let filesystem = results.scenario.filesystems[0].name.clone();
    (results.scenario.kernels).retain(|k| kernels.contains(&k.name.as_str()));
    (results.scenario.subjects).retain(|s| kernels.contains(&s.kernel.as_str()));
    results
        .scenario
        .workloads
        .retain(|w| w.name.ends_with("-4k"));
    results
        .kernels
        .retain(|k| kernels.contains(&k.name.as_str()));
    results.cells.retain(|cell| {
        kernels.contains(&cell.key.subject.kernel.as_str())
            && cell.key.filesystem == filesystem
            && cell.key.workload.ends_with("-4k")
    });
    results
}

#[test]
fn a_foreign_record_never_panics_and_gives_no_terminal_a_command() {
    let good = small(fixture::results());
    let (mut trials, mut seen) = (Vec::new(), BTreeSet::new());
    let session = fixture::session(4, 1.0);
    for record in [good.clone(), small(fixture::with_failures()), session] {
        let whole = serde_json::to_value(&record).expect("a record");
        let mut places = Vec::new();
        leaves(&whole, "", &mut places);
        // Of the others, what the first has not.
        places.retain(|place| seen.insert(place.clone()));
        for place in places {
            let Some(value) = whole.pointer(&place) else {
                continue;
            };
            let mut others = instead(value);
            if ["/name", "/title", "/why"]
                .iter()
                .any(|end| place.ends_with(end))
            {
                others.push(long());
            }
            for changed in others {
                let mut record = whole.clone();
                *record.pointer_mut(&place).expect("the same place") = changed.clone();
                if let Ok(results) = serde_json::from_value::<Results>(record) {
                    let short: String = changed.to_string().chars().take(40).collect();
                    trials.push((results, format!("{place} = {short}")));
                }
            }
        }
    }
    assert!(trials.len() > 500, "{}", trials.len());
    // A minute on one CPU.
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for part in trials.chunks(trials.len().div_ceil(cpus)) {
            let good = &good;
            scope.spawn(move || {
                for (results, place) in part {
                    survives(results, good, place);
                }
            });
        }
    });
}
