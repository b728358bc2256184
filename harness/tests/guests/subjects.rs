//! Rows that are one kernel with a variant: another scheduler, from the same checkpoint.

use crate::common::{Lab, digits, text};
use serde_json::Value;

const SCENARIO: &str = r#"
name = "scheduler"
title = "What a scheduler costs"
baseline = "6.12"
kernels = ["6.12"]
[measure]
repetitions = 5
[filesystems.ext4]
[workloads.randread-4k]
rw = "randread"
bs = "4k"
runtime = "20ms"
"#;

const VARIANT: &str = "[[variants]]\nname = \"mq-deadline\"\nmodel.scheduler = \"mq-deadline\"\n";

/// The boots of the newest run that its cells started from.
fn boots(lab: &Lab) -> usize {
    let events = lab.results().join("latest/events.jsonl");
    let events = std::fs::read_to_string(events).expect("the run's events");
    let boots = events
        .lines()
        .filter(|line| line.contains("\"checkpoint-ready\""));
    boots.count()
}

/// A column of the newest run's CSV in the row of a variant and a metric.
fn figure(lab: &Lab, variant: &str, metric: &str, column: &str) -> f64 {
    let output = lab.run(&["report", "latest", "--format", "csv"]);
    let csv = String::from_utf8(output.stdout).expect("UTF-8");
    // The only field of a row with a ratio that has a comma in it.
    let csv = csv.replace("\"exact lane: model device, instructions clock\"", "exact");
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let at = |name: &str| header.iter().position(|h| *h == name).expect("a column");
    let mut rows = lines.filter(|row| row.contains(&metric) && row.last() == Some(&variant));
    let row = rows.next().unwrap_or_else(|| panic!("{csv}"));
    row[at(column)]
        .parse()
        .unwrap_or_else(|_| panic!("{row:?}"))
}

#[test]
fn a_scheduler_is_a_row_of_its_own_from_the_same_checkpoint_and_costs_what_it_executes() {
    let test =
        "a_scheduler_is_a_row_of_its_own_from_the_same_checkpoint_and_costs_what_it_executes";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("scheduler.toml", &format!("{SCENARIO}{VARIANT}"));
    let results = lab.measure(&[&path, "--fresh"], 0);
    assert_eq!(boots(&lab), 1, "one machine");
    let first = digits(&results);
    assert_eq!(first.len(), 2);
    let scheduler = |results: &Value, cell: usize| {
        let device = &results["cells"][cell]["outcome"]["guest"]["device"];
        device["scheduler"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(scheduler(&results, 0), "none");
    assert_eq!(scheduler(&results, 1), "mq-deadline");
    assert_eq!(results["cells"][1]["key"]["variant"], "mq-deadline");
    let longer = figure(&lab, "mq-deadline", "path-length", "ratio");
    let fewer = figure(&lab, "mq-deadline", "iops", "ratio");
    println!("mq-deadline: path length {longer}, IOPS {fewer}");
    assert!(longer > 1.01 && fewer < 1.0, "{longer} {fewer}");

    // The command line's variant is the scenario's: equal inputs, and so the digits that are known.
    let plain = lab.write("plain.toml", SCENARIO);
    let vary = ["--vary", "model.scheduler=none,mq-deadline"];
    let again = lab.run(&["repro", &plain, vary[0], vary[1], "--verify", "--plain"]);
    let said = text(&again);
    assert!(said.contains("verify: 2 of 2 cells identical"), "{said}");
    assert!(said.contains("varies: model.scheduler"), "{said}");
}
