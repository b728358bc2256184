//! Who may do what, read off the sources, because the compiler cannot say it: the pure modules know no
//! file system, process, network, clock or async runtime, and few files start programs.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Pure modules, below src/ unless they begin with `..`.
const PURE: [&str; 11] = [
    "scenario",
    "plan",
    "compare",
    "report",
    "digest.rs",
    "text.rs",
    "units.rs",
    "vm/spec.rs",
    "run/verify.rs",
    "run/event.rs",
    "../../wire/src",
];

/// Their only exceptions: where a scenario's file is read and the paths in it are looked at.
const IMPURE: [&str; 1] = ["scenario/load.rs"];

const OUTSIDE: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::net",
    "std::env",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "tokio",
];

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory of sources") {
            sources(&entry.expect("an entry").path(), found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        found.push(path.to_owned());
    }
}

/// The part of a source before its unit tests, without comments.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
    let lines = product
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Where programs are started: cargo for the agent, and QEMU. The command lines are made of typed
/// fields there; none comes out of a record.
const STARTS_PROGRAMS: [&str; 6] = [
    "image/sysroot.rs",
    "cli/agent.rs",
    "store/hermetic.rs",
    "vm/kvm.rs",
    "vm/vmm.rs",
    "vm/machine.rs",
];

#[test]
fn programs_are_started_in_few_places_and_never_from_a_record() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    let mut starters = Vec::new();
    for path in found {
        let code = code(&fs::read_to_string(&path).expect("a source"));
        let starts = [
            "process::Command",
            "Command::new",
            "process::{Child, Command",
        ];
        if !starts.iter().any(|word| code.contains(word)) {
            continue;
        }
        for reader in ["record::open", "record::Results", "Manifest"] {
            assert!(!code.contains(reader), "{}: {reader}", path.display());
        }
        let name = path.strip_prefix(&src).expect("below src");
        starters.push(name.to_string_lossy().into_owned());
    }
    starters.sort();
    let mut expected = STARTS_PROGRAMS.map(str::to_owned);
    expected.sort();
    assert_eq!(starters, expected);
}

#[test]
fn pure_modules_know_no_outside_world() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    for module in PURE {
        let mut found = Vec::new();
        sources(&src.join(module), &mut found);
        assert!(!found.is_empty(), "there is no module {module}");
        found.retain(|path| {
            !path.to_string_lossy().ends_with("tests.rs")
                && !IMPURE.iter().any(|impure| path.ends_with(impure))
        });
        for path in found {
            let code = code(&fs::read_to_string(&path).expect("a source"));
            for word in OUTSIDE.iter().filter(|word| code.contains(*word)) {
                violations.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}
