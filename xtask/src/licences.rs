//! images/crates: the licences of the crates that are in the guests' agent and in the plugin, which every
//! image hands on.

use crate::build::{cargo, root};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

/// What images hand on.
const PROGRAMS: [&str; 2] = ["diorama-guest-agent", "diorama-tcg-plugin"];
/// Where they run.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Whose crates' sources these are.
const REGISTRY: &str = "https://crates.io/crates";

/// Writes the directory anew.
pub fn write() -> Result<(), String> {
    let root = root()?;
    let wanted = licences(&root)?;
    let dir = directory(&root);
    for name in there(&dir)?
        .keys()
        .filter(|name| !wanted.contains_key(*name))
    {
        fs::remove_file(dir.join(name)).map_err(|e| format!("removing {name}: {e}"))?;
    }
    fs::create_dir_all(&dir).map_err(|e| format!("creating {}: {e}", dir.display()))?;
    for (name, text) in wanted {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|e| format!("writing {}: {e}", path.display()))?;
    }
    Ok(())
}

/// Refuses a directory that is not what [`write`] would write.
pub fn check(root: &Path) -> Result<(), String> {
    let dir = directory(root);
    let (wanted, have) = (licences(root)?, there(&dir)?);
    let all: BTreeSet<_> = wanted.keys().chain(have.keys()).collect();
    match all
        .into_iter()
        .find(|name| wanted.get(*name) != have.get(*name))
    {
        None => Ok(()),
        Some(name) => Err(format!(
            "{} is not what the crates say: run `cargo xtask licences`",
            dir.join(name).display()
        )),
    }
}

fn directory(root: &Path) -> PathBuf {
    root.join("images/crates")
}

fn there(dir: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(files);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let text =
            fs::read_to_string(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
        files.insert(entry.file_name().display().to_string(), text);
    }
    Ok(files)
}

/// Names and contents of the files.
fn licences(root: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut command = cargo(root);
    command.args(["metadata", "--format-version", "1", "--locked"]);
    command.args(["--filter-platform", PLATFORM]);
    let output = (command.stderr(Stdio::inherit()).output())
        .map_err(|e| format!("starting {command:?}: {e}"))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("{command:?}: {e}"))?;
    let mut files = BTreeMap::new();
    for package in linked(&metadata)? {
        // The project's own are under the project's licence, which is with them.
        if package["source"].is_null() {
            continue;
        }
        let (name, version) = (text(package, "name")?, text(package, "version")?);
        let licence = text(package, "license")?;
        let manifest = Path::new(text(package, "manifest_path")?);
        let words = words(manifest.parent().unwrap_or(manifest), licence)?;
        files.insert(
            format!("{name}_{version}"),
            format!(
                "{name} {version}\nSource: {REGISTRY}/{name}/{version}\nLicence: {licence}\n\n{words}"
            ),
        );
    }
    Ok(files)
}

/// The packages whose code is in the programs: through no edge of a build's or a test's, and no macro.
fn linked(metadata: &Value) -> Result<Vec<&Value>, String> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let by_id: BTreeMap<&str, &Value> = { packages.iter() }
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = { metadata["resolve"]["nodes"].as_array() }
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let is_macro = |package: &Value| {
        let targets = list(&package["targets"]);
        let kinds = targets.iter().flat_map(|target| list(&target["kind"]));
        kinds.into_iter().any(|kind| kind == "proc-macro")
    };
    let mut left: Vec<&str> = { by_id.iter() }
        .filter(|(_, package)| PROGRAMS.iter().any(|program| package["name"] == *program))
        .map(|(id, _)| *id)
        .collect();
    if left.len() != PROGRAMS.len() {
        return Err(format!("the workspace lacks one of {PROGRAMS:?}"));
    }
    let mut found = BTreeMap::new();
    while let Some(id) = left.pop() {
        let Some(package) = by_id.get(id).filter(|package| !is_macro(package)) else {
            continue;
        };
        if found.insert(id, *package).is_some() {
            continue;
        }
        let edges = nodes.get(id).and_then(|node| node["deps"].as_array());
        for edge in edges.into_iter().flatten() {
            let normal = list(&edge["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null());
            left.extend(edge["pkg"].as_str().filter(|_| normal));
        }
    }
    Ok(found.into_values().collect())
}

fn text<'a>(package: &'a Value, key: &str) -> Result<&'a str, String> {
    package[key]
        .as_str()
        .ok_or_else(|| format!("package {} has no {key}", package["name"]))
}

/// The words of a crate's licence, out of its own files; where it may be chosen, MIT's.
fn words(dir: &Path, licence: &str) -> Result<String, String> {
    let mut names: Vec<String> = { fs::read_dir(dir) }
        .map_err(|e| format!("listing {}: {e}", dir.display()))?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let name = name.to_ascii_uppercase();
            ["LICENSE", "LICENCE", "COPYING"]
                .iter()
                .any(|word| name.starts_with(word))
        })
        .collect();
    names.sort();
    let is_mit = |name: &&String| name.to_ascii_uppercase().contains("MIT");
    let chosen: Vec<&String> = match names.iter().find(is_mit) {
        Some(mit) if licence.contains("MIT") => vec![mit],
        _ => names.iter().collect(),
    };
    if chosen.is_empty() {
        return Err(format!("{} has no licence file", dir.display()));
    }
    let mut all = String::new();
    for name in chosen {
        let path = dir.join(name);
        let text =
            fs::read_to_string(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
        all.push_str(text.trim_end());
        all.push('\n');
    }
    Ok(all.replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, kind: &str) -> Value {
        json!({"id": name, "name": name, "targets": [{"kind": [kind]}]})
    }

    #[test]
    fn what_is_linked_is_found_and_what_only_builds_is_not() {
        let edge = |to: &str, kind: Value| json!({"pkg": to, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package(PROGRAMS[0], "bin"), package(PROGRAMS[1], "cdylib"), package("a", "lib"),
                package("b", "lib"), package("derive", "proc-macro"), package("cc", "lib"),
                package("syn", "lib"),
            ],
            "resolve": {"nodes": [
                {"id": PROGRAMS[0], "deps": [edge("a", Value::Null), edge("cc", json!("build"))]},
                {"id": PROGRAMS[1], "deps": []},
                {"id": "a", "deps": [edge("b", Value::Null), edge("derive", Value::Null)]},
                {"id": "derive", "deps": [edge("syn", Value::Null)]},
            ]},
        });
        let names: Vec<_> = { linked(&metadata).unwrap().into_iter() }
            .map(|package| package["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b", PROGRAMS[0], PROGRAMS[1]]);
    }

    #[test]
    fn mit_is_chosen_where_it_may_be() {
        let dir = tempfile_dir();
        for (name, text) in [("LICENSE-APACHE", "apache\n"), ("LICENSE-MIT", "mit\r\n\n")] {
            fs::write(dir.join(name), text).unwrap();
        }
        assert_eq!(words(&dir, "MIT OR Apache-2.0").unwrap(), "mit\n");
        assert_eq!(words(&dir, "Apache-2.0").unwrap(), "apache\nmit\n");
        fs::remove_dir_all(&dir).unwrap();
        assert!(words(&dir, "MIT").is_err());
    }

    fn tempfile_dir() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-licences-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}
