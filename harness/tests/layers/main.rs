//! Who may know what, read off the parsed sources, because the compiler cannot say it: imports run
//! downwards, the pure modules know no file system, process, network, clock or async runtime, and few
//! files start programs.

mod sources;

use sources::{Source, names};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The harness's modules, from the top floor down: each may use those of lower floors. What is not
/// named here is not allowed to exist.
const FLOORS: [&[&str]; 17] = [
    &["cli", "fuzz"],
    &["report", "run"],
    &["sharing"],
    &["bundle"],
    &["compare", "provision"],
    &["plan"],
    &["record"],
    &["scenario", "host"],
    &["devices"],
    &["carried", "image", "lock"],
    &["vm"],
    &["kernel"],
    &["filesystem", "metal", "store"],
    &["clock", "files", "runtime", "vocabulary"],
    &["digest", "pages", "profile", "shared_object", "units"],
    &["error"],
    &["suggest", "text"],
];

/// Pure modules, below src/ unless they begin with `..`.
const PURE: [&str; 32] = [
    "bundle/limits.rs",
    "bundle/manifest.rs",
    "bundle/oci.rs",
    "bundle/portable.rs",
    "bundle/recipe.rs",
    "bundle/ustar.rs",
    "bundle/vet.rs",
    "scenario",
    "filesystem",
    "metal",
    "profile",
    "plan",
    "compare",
    "report",
    "vocabulary",
    "carried/section.rs",
    "digest.rs",
    "shared_object.rs",
    "sharing/reference.rs",
    "suggest.rs",
    "text.rs",
    "units.rs",
    "devices/admin.rs",
    "devices/signature.rs",
    "devices/smart.rs",
    "devices/usage.rs",
    "devices/word.rs",
    "host/hygiene/judge.rs",
    "vm/spec.rs",
    "run/verify.rs",
    "run/event.rs",
    "../../wire/src",
];

/// Their only exceptions: where a scenario's file is read and the paths in it are looked at.
const IMPURE: [&str; 1] = ["scenario/load.rs"];

/// What they may not name. A path is refused when it has these words in a row; a whole crate, when it
/// begins with it.
const OUTSIDE: [&[&str]; 8] = [
    &["std", "fs"],
    &["std", "process"],
    &["std", "net"],
    &["std", "env"],
    &["std", "thread"],
    &["Instant", "now"],
    &["SystemTime"],
    &["Timestamp", "now"],
];
const OUTSIDE_CRATES: [&str; 6] = ["tokio", "rustix", "libc", "ureq", "tempfile", "vsock"];

/// Where programs are started: cargo for the agent, QEMU, and this program itself to serve a directory. The command lines are made of typed
/// fields there; none comes out of a record.
const STARTS_PROGRAMS: [&str; 10] = [
    "cli/agent.rs",
    "image/build.rs",
    "store/hermetic.rs",
    "vm/confine/launch.rs",
    "vm/confine/program.rs",
    "vm/machine.rs",
    "vm/plugin.rs",
    "vm/share/process.rs",
    "vm/trial.rs",
    "vm/vmm.rs",
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn has(name: &[String], words: &[&str]) -> bool {
    name.windows(words.len())
        .any(|window| window.iter().zip(words).all(|(a, b)| a == b))
}

#[test]
fn programs_are_started_in_few_places_and_never_from_a_record() {
    let mut starters = Vec::new();
    for source in sources::all(&src()) {
        let names = &source.names;
        let starts = names.iter().any(|name| {
            has(name, &["process", "Command"])
                || name.starts_with(&["Command".into(), "new".into()])
        });
        if !starts {
            continue;
        }
        for reader in [
            &["record", "open"][..],
            &["record", "Results"],
            &["RunManifest"],
        ] {
            let reads = names.iter().any(|name| has(name, reader));
            assert!(!reads, "{}: {reader:?}", source.file);
        }
        starters.push(source.file);
    }
    assert_eq!(starters, STARTS_PROGRAMS);
}

#[test]
fn pure_modules_know_no_outside_world() {
    let src = src();
    let wire = src.join("../../wire/src");
    let of_wire = sources::all(&wire).into_iter().map(|source| Source {
        file: format!("../../wire/src/{}", source.file),
        ..source
    });
    let all: Vec<Source> = sources::all(&src).into_iter().chain(of_wire).collect();
    let mut violations = Vec::new();
    for module in PURE {
        let mut found = all
            .iter()
            .filter(|source| Path::new(&source.file).starts_with(module))
            .peekable();
        assert!(found.peek().is_some(), "there is no module {module}");
        for source in found.filter(|source| !IMPURE.contains(&source.file.as_str())) {
            for name in source.names.iter().filter(|name| outside(name)) {
                violations.push(format!("{}: {}", source.file, name.join("::")));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Whether a name is of the world outside, or hides what it is of: all of std under another name.
fn outside(name: &[String]) -> bool {
    OUTSIDE.iter().any(|words| has(name, words))
        || OUTSIDE_CRATES.contains(&name[0].as_str())
        || *name == ["std"]
}

#[test]
fn imports_run_downwards_only() {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut upwards = BTreeMap::new();
    for source in sources::all(&src()) {
        let Some(own) = source.module.first() else {
            continue;
        };
        let at = floor(own).unwrap_or_else(|| panic!("{own} is on no floor"));
        for name in &source.names {
            let Some(other) =
                absolute(&source.module, name).and_then(|path| path.into_iter().next())
            else {
                continue;
            };
            // What lies in lib.rs itself is no module.
            let Some(below) = floor(&other).filter(|_| other != *own) else {
                continue;
            };
            if below <= at {
                let edge = (own.clone(), other);
                upwards
                    .entry(edge)
                    .or_insert_with(Vec::new)
                    .push(source.file.clone());
            }
        }
    }
    assert!(upwards.is_empty(), "{upwards:#?}");
}

#[test]
fn modules_of_one_parent_do_not_use_each_other_in_circles() {
    let mut edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for source in sources::all(&src()) {
        for depth in 1..source.module.len() {
            let (parent, own) = (&source.module[..depth], &source.module[depth]);
            for name in &source.names {
                let Some(path) = absolute(&source.module, name) else {
                    continue;
                };
                if path.starts_with(parent) && path.len() > depth && path[depth] != *own {
                    let of = edges.entry(parent.join("::")).or_default();
                    of.entry(own.clone())
                        .or_default()
                        .insert(path[depth].clone());
                }
            }
        }
    }
    let mut circles = Vec::new();
    for (parent, graph) in &edges {
        for circle in circles_of(graph) {
            circles.push((parent.clone(), circle));
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Sets of modules that reach each other.
fn circles_of(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut todo = vec![from];
        while let Some(at) = todo.pop() {
            for next in graph.get(at).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        graph.keys().map(|m| (m, reach(m))).collect();
    let mutual = |a: &String, b: &String| {
        reached[a].contains(b) && reached.get(b).is_some_and(|of| of.contains(a))
    };
    graph
        .keys()
        .map(|a| {
            graph
                .keys()
                .filter(|b| mutual(a, b))
                .cloned()
                .collect::<Vec<_>>()
        })
        .filter(|circle| circle.len() > 1)
        .collect()
}

/// A name's path below the crate, where it is of this crate: `crate::..`, `super::..`, `self::..`.
fn absolute(module: &[String], name: &[String]) -> Option<Vec<String>> {
    let (first, rest) = name.split_first()?;
    let mut at = module.to_vec();
    match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => {}
        "super" => {
            at.pop()?;
        }
        _ => return None,
    }
    let mut rest = rest;
    while let Some((word, more)) = rest.split_first().filter(|(word, _)| *word == "super") {
        debug_assert_eq!(word, "super");
        at.pop()?;
        rest = more;
    }
    at.extend(rest.iter().cloned());
    Some(at)
}

/// The tests above are as good as their reader is.
#[test]
fn every_way_to_name_something_is_seen() {
    let text = r#"
        //! std::process
        use std::{collections::BTreeMap, fs as files, io::{self, Read as _}};
        use super::super::store::{Store, tree::*};
        // use tokio::fs;
        fn f() -> std::env::Args { let x = std::time::Instant::now(); println!("{}", std::thread::current().id()) }
        #[cfg(test)]
        mod tests { use std::net::TcpStream; }
        #[cfg(test)]
        use tokio::fs;
        const TEXT: &str = "std::net";
    "#;
    let found = names(text).expect("it parses");
    let found: Vec<String> = found.iter().map(|name| name.join("::")).collect();
    for wanted in [
        "std::fs",
        "std::io",
        "std::io::Read",
        "super::super::store::Store",
        "super::super::store::tree",
        "std::env::Args",
        "std::time::Instant::now",
        "std::thread::current",
    ] {
        assert!(
            found.iter().any(|name| name == wanted),
            "{wanted}: {found:?}"
        );
    }
    for none in ["std::net", "tokio", "std::process"] {
        assert!(
            !found.iter().any(|name| name.starts_with(none)),
            "{none}: {found:?}"
        );
    }
    let path = |name: &str| {
        let words = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        absolute(&words("vm::qmp::line"), &words(name)).map(|path| path.join("::"))
    };
    assert_eq!(
        path("super::super::spec::Spec").as_deref(),
        Some("vm::spec::Spec")
    );
    assert_eq!(path("crate::store").as_deref(), Some("store"));
    assert_eq!(path("std::fs"), None);
    assert!(outside(&["std".into(), "fs".into()]) && outside(&["std".into()]));
}
