//! Where a cell's instructions went, with real guests: the smoke scenario. What is held against the
//! report's regression is not IOPS, but which functions the difference is made of.

use crate::common::{Lab, digits, text};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// What the plugin's count and QEMU's may differ by beyond the instructions that were begun twice: those
/// between the agent's last mark and its stop, and page faults of a block's last instruction, which look
/// like faults of the next block's code.
const REMAINDER: i64 = 16;

fn explain(lab: &Lab, cell: &str) -> Value {
    let mut words = vec!["explain", cell, "--scenario", "smoke", "--plain"];
    words.extend(["--format", "json"]);
    let output = lab.diorama().args(&words).output().expect("diorama starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    let whys: Value = serde_json::from_slice(&output.stdout).expect("explanations as JSON");
    whys[0].clone()
}

/// Layer -> instructions per I/O: of the kernel that is explained, and of the other.
fn layers(why: &Value) -> BTreeMap<String, [f64; 2]> {
    let e = &why["explanation"];
    let ios = |side: &str| e[side]["ios"].as_f64().expect("I/Os");
    let layers = e["layers"].as_array().expect("layers");
    let pair = |part: &Value| {
        let of = |side: &str| part["instructions"][side].as_f64().expect("a count");
        [
            of("subject") / ios("subject"),
            of("against") / ios("against"),
        ]
    };
    let name = |part: &Value| part["layer"].as_str().expect("a name").to_owned();
    layers.iter().map(|part| (name(part), pair(part))).collect()
}

#[test]
fn the_hand_over_to_a_workqueue_is_what_makes_writes_slower_and_reads_have_none_of_it() {
    let test = "the_hand_over_to_a_workqueue_is_what_makes_writes_slower_and_reads_have_none_of_it";
    let Some(lab) = Lab::open(test) else { return };
    let write = explain(&lab, "6.12/ext4/write-4k");
    let read = explain(&lab, "6.12/ext4/read-4k");
    for why in [&write, &read] {
        sums_close(why);
        for check in why["checks"].as_array().expect("checks") {
            assert_eq!(check["perturbed"], serde_json::json!([]), "{check}");
            let executed = check["executed"].as_i64().expect("a count");
            let icount = check["icount"].as_i64().expect("QEMU's count");
            let faults = check["faults"].as_i64().expect("what was begun twice");
            assert!(faults > 100, "{check}");
            let remainder = executed - icount - faults;
            assert!(remainder.abs() <= REMAINDER, "{check}");
        }
        let other = layers(why).get("other").map_or(0.0, |o| o[0]);
        let all: f64 = layers(why).values().map(|l| l[0]).sum();
        assert!(other < 0.03 * all, "{other} of {all} in no layer");
    }

    let of_write = layers(&write);
    let difference = |layer: &str| of_write.get(layer).map_or(0.0, |[a, b]| a - b);
    let hand_over = difference("workqueue") + difference("scheduler");
    let rest = of_write
        .keys()
        .filter(|l| !["workqueue", "scheduler"].contains(&l.as_str()));
    let biggest = rest.map(|l| difference(l)).fold(0.0, f64::max);
    assert!(
        hand_over > 2_000.0 && hand_over > 3.0 * biggest,
        "{hand_over} against {biggest}: {of_write:#?}"
    );
    let of_read = layers(&read);
    assert!(
        of_read.get("workqueue").is_none_or(|[a, _]| *a < 10.0),
        "{of_read:#?}"
    );
    let reads = of_read.get("scheduler").map_or(0.0, |[a, b]| a - b);
    assert!(reads.abs() < 100.0, "{of_read:#?}");

    files(&lab);
    let mail = lab.run(&[
        "explain",
        "6.12/ext4/write-4k",
        "--scenario",
        "smoke",
        "--plain",
        "--format",
        "mail",
    ]);
    let mail = String::from_utf8(mail.stdout).expect("UTF-8");
    assert!(
        mail.contains("workqueue") && mail.contains("scheduler"),
        "{mail}"
    );
    assert!(mail.lines().all(|l| l.chars().count() <= 72), "{mail}");
}

/// Functions and layers add up to what was executed in the windows, which the plain run counted as
/// well, window by window.
fn sums_close(why: &Value) {
    let e = &why["explanation"];
    for side in ["subject", "against"] {
        let total = e[side]["instructions"].as_u64().expect("a total");
        for parts in ["layers", "functions"] {
            let parts = e[parts].as_array().expect("parts").iter();
            let sum: u64 = parts
                .map(|p| p["instructions"][side].as_u64().expect("a count"))
                .sum();
            assert_eq!(sum, total, "{side}");
        }
    }
}

fn files(lab: &Lab) {
    let dirs = fs::read_dir(lab.results()).expect("results");
    let dir = dirs
        .flatten()
        .map(|d| d.path())
        .find(|d| d.to_string_lossy().contains("explain-6.12-ext4-write-4k"))
        .expect("the explanation's directory");
    for name in [
        "explain.md",
        "explain.json",
        "6.12-ext4-write-4k.folded",
        "6.12-ext4-write-4k.svg",
        "7.2-ext4-write-4k.svg",
        "6.12-ext4-write-4k-against-7.2.svg",
        "6.12-ext4-write-4k-against-7.2.folded",
    ] {
        let text = fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!text.is_empty(), "{name}");
        if name.ends_with(".svg") {
            assert!(
                text.contains("io_submit") && !text.contains("<script"),
                "{name}"
            );
        }
    }
}

/// Not even the plugin is there: an agent without a plugin beside it measures uncounted.
#[test]
fn the_memory_of_a_profiled_guest_is_that_of_a_guest_that_nobody_watches() {
    let test = "the_memory_of_a_profiled_guest_is_that_of_a_guest_that_nobody_watches";
    let Some(lab) = Lab::open(test) else { return };
    let agent = std::env::var_os("DIORAMA_AGENT").expect("the agent");
    let alone = lab.results().join("agent");
    fs::copy(agent, &alone).expect("the agent, copied");
    let alone = alone.to_str().expect("UTF-8");
    let select = [
        "smoke",
        "--only-kernel",
        "7.2",
        "--workload",
        "write-4k",
        "--agent",
        alone,
        "--fresh",
    ];
    let unwatched = digits(&lab.measure(&select, 0));
    let cell = "7.2/ext4/write-4k";
    let why = explain(&lab, cell);
    let profiled = &why["checks"][0]["memory"];
    assert!(profiled.is_string(), "{why}");
    assert_eq!(*profiled, unwatched[cell]["memory"]["end"]);
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_run_is_explained_where_it_differs_and_says_so_in_its_report() {
    let test = "a_run_is_explained_where_it_differs_and_says_so_in_its_report";
    let Some(lab) = Lab::open(test) else { return };
    let done = lab.run(&["repro", "smoke", "--plain", "--explain"]);
    assert_eq!(done.status.code(), Some(0));
    let said = text(&done);
    assert!(
        said.contains("Why: instructions per I/O by layer, ext4/write-4k"),
        "{said}"
    );
    assert!(
        said.contains("without changing a byte of guest memory"),
        "{said}"
    );
    let run = lab.results().join("latest");
    let report = fs::read_to_string(run.join("report.md")).expect("the report");
    assert!(report.contains("## Why: instructions per I/O by layer, ext4/write-4k"));
    assert!(
        run.join("explain/6.12-ext4-write-4k-against-7.2.svg")
            .exists()
    );

    let again = lab.run(&["explain", "latest", "--plain", "--format", "markdown"]);
    assert_eq!(again.status.code(), Some(0));
    let said = text(&again);
    assert!(said.contains("by layer, 6.12/ext4/write-4k"), "{said}");
    // A run that is not the same any more is not explained.
    let results = run.join("results.json");
    let record = fs::read_to_string(&results).expect("the record");
    fs::write(
        &results,
        // The scenario's; what the cells were asked for is in their digests.
        record.replacen("\"warmup_ios\": ", "\"warmup_ios\": 1", 1),
    )
    .expect("written");
    let other = lab.run(&["explain", "latest", "--plain"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        text(&other).contains("have changed since"),
        "{}",
        text(&other)
    );
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let Some(lab) = Lab::open("what_is_not_there_is_named_with_what_is") else {
        return;
    };
    let done = lab.run(&["explain", "6.13/ext4/write-4k", "--scenario", "smoke"]);
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done);
    assert!(
        said.contains("no cell 6.13/ext4/write-4k") && said.contains("6.12, 7.2"),
        "{said}"
    );
}
