//! The program that carries everything, run where there is neither checkout nor cargo.

use crate::common::{Lab, text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What `cargo xtask dist` makes, but for the program's being static: a copy of the one under test.
fn carrying(lab: &Lab, place: &Path) -> PathBuf {
    let path = place.join("diorama");
    let mut command = lab.diorama();
    command.args([
        "dist",
        "--offline",
        "--program",
        env!("CARGO_BIN_EXE_diorama"),
    ]);
    command.arg("--prebuilt").arg(lab.agent());
    let output = command
        .arg("--output")
        .arg(&path)
        .output()
        .expect("diorama");
    assert!(output.status.success(), "{}", text(&output));
    path
}

/// Runs it with nothing of this environment but the cache.
fn run(program: &Path, here: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/nonexistent");
    command
        .env("HOME", here)
        .env("DIORAMA_CACHE", crate::common::store().root());
    let command = command.args(words).current_dir(here);
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    println!("$ diorama {}\n{}", words.join(" "), text(&output));
    output
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_program_that_carries_everything_needs_no_checkout_and_no_cargo() {
    let Some(lab) = Lab::open("a_program_that_carries_everything_needs_no_checkout_and_no_cargo")
    else {
        return;
    };
    let place = tempfile::tempdir().expect("a directory");
    let program = carrying(&lab, place.path());
    let again = lab.results().join("again");
    fs::create_dir(&again).expect("a directory");
    let [one, other] = [&program, &carrying(&lab, &again)].map(|p| fs::read(p).expect("it"));
    assert!(one == other, "two programs from one checkout differ");

    let here = place.path().join("empty");
    fs::create_dir(&here).expect("a directory");
    let run = |words: &[&str], exit| {
        let output = run(&program, &here, words);
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output));
        output
    };
    assert!(said(&run(&["kernels"], 0)).contains("6.12"));
    // The agent's own bytes, and nothing was built.
    let agent = run(&["agent", "--offline"], 0);
    let agent = fs::read(said(&agent).trim()).expect("the agent's path");
    assert!(agent == fs::read(lab.agent()).expect("the agent"));

    // Equal inputs: the same digests as in the checkout.
    let words = ["plan", "smoke", "--offline", "--json"];
    let plan = run(&words, 0);
    let mut in_checkout = lab.diorama();
    let wanted = in_checkout.args(words).output().expect("diorama");
    assert_eq!(said(&plan), said(&wanted));

    // A run: recorded here, and to be repeated by this program.
    let cell = ["--filesystem", "ext4", "--workload", "write-4k"];
    let words = [
        "run",
        "smoke",
        "--offline",
        "--plain",
        "--only-kernel",
        "7.2",
    ];
    run(&[&words[..], &cell].concat(), 0);
    let report = run(&["report", "latest", "--format", "markdown"], 0);
    let replay = "    diorama repro smoke --only-kernel 7.2";
    assert!(said(&report).contains(replay), "{}", said(&report));
    assert!(here.join("results/latest/results.json").is_file());

    // What it cannot do, it says.
    let refused = text(&run(&["lock", "--update", "7.2"], 2));
    assert!(refused.contains("a part of this program"), "{refused}");
    assert!(refused.contains("--root DIR"), "{refused}");
    let refused = text(&run(&["dist"], 2));
    assert!(refused.contains("clone of the repository"), "{refused}");
    let unknown = text(&run(&["plan", "smok", "--offline"], 2));
    assert!(unknown.contains("smoke"), "{unknown}");
}
