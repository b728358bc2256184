//! deny.toml's rules that need no network, held by a test, so that they cannot be absent: every crate
//! that is compiled has a licence on the list, and comes from crates.io or this workspace.
//!
//! `cargo deny check` does the same, and looks up advisories too, where it is installed.

use serde_json::Value;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};
use std::{fs, path::Path, process::Command};

/// Where Cargo says a crate of the registry is from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is in the workspace")
}

/// The licences in deny.toml.
fn allowed() -> Vec<Licensee> {
    let text = fs::read_to_string(workspace().join("deny.toml")).expect("deny.toml");
    let deny: toml::Table = toml::from_str(&text).expect("TOML");
    let list = deny["licenses"]["allow"].as_array().expect("a list");
    list.iter()
        .map(|name| Licensee::parse(name.as_str().expect("a name")).expect("a licence"))
        .collect()
}

/// Every crate of the lock that is compiled for the one target.
fn crates() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(["metadata", "--locked", "--format-version=1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// Whether a crate's expression (`MIT/Apache-2.0` as older crates write it, too) is satisfied by
/// the list; an expression that is none is not.
fn accepted(expression: &str, allowed: &[Licensee]) -> bool {
    let on_the_list = |wanted: &LicenseReq| allowed.iter().any(|own| own.satisfies(wanted));
    Expression::parse_mode(expression, ParseMode::LAX)
        .is_ok_and(|parsed| parsed.evaluate(on_the_list))
}

#[test]
fn every_crate_has_a_licence_on_the_list_and_comes_from_the_registry() {
    let allowed = allowed();
    let crates = crates();
    assert!(crates.len() > 50, "these are not all: {}", crates.len());
    let mut refused = Vec::new();
    for one in &crates {
        let name = format!("{} {}", one["name"], one["version"]);
        // A crate without an expression has a file in its place: somebody must read it.
        let licence = one["license"].as_str().unwrap_or("");
        if !accepted(licence, &allowed) {
            refused.push(format!("{name}: licence `{licence}`"));
        }
        // None: a path in this workspace.
        if one["source"]
            .as_str()
            .is_some_and(|source| source != REGISTRY)
        {
            refused.push(format!("{name}: from {}", one["source"]));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_list_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"];
    let allowed = allowed.map(|name| Licensee::parse(name).expect("a licence"));
    for good in ["MIT", "GPL-2.0-only OR MIT", "MIT/Apache-2.0"] {
        assert!(accepted(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0-only", "MIT AND ISC", "Apache-2.0", "whatever"] {
        assert!(!accepted(bad, &allowed), "{bad}");
    }
}
