//! Kernels of a scenario: the lock's and people's own (pure).

use super::parse::{RawKernel, RawScenario};
use super::problems::{At, Place, Problems};
use super::rules::check_name;
use super::{KernelRef, KernelSource, Overrides};
use crate::suggest::next_step;
use std::path::Path;

/// The kernels, those of the command line behind the scenario's own.
pub(super) fn kernels(
    raw: &RawScenario,
    base_dir: &Path,
    known: &[String],
    overrides: &Overrides,
    problems: &mut Problems,
) -> Vec<KernelRef> {
    let mut kernels: Vec<KernelRef> = Vec::new();
    for raw in &raw.kernels {
        let Some(kernel) = kernel(raw, base_dir, known, problems) else {
            continue;
        };
        add_kernel(&mut kernels, kernel, &raw.at, problems);
    }
    let option = Place::option("--kernel");
    for kernel in &overrides.kernels {
        check_name(
            &At {
                value: kernel.name.clone(),
                at: option.clone(),
            },
            problems,
        );
        add_kernel(&mut kernels, kernel.clone(), &option, problems);
    }
    if raw.kernels.is_empty() && kernels.is_empty() && !problems.names("kernels") {
        let place = Place {
            key: "kernels".to_owned(),
            offset: None,
        };
        problems.add(
            &place,
            "is missing or empty",
            "add kernels = [\"6.12\", \"7.2\"]",
        );
    }
    kernels
}

fn kernel(
    raw: &RawKernel,
    base_dir: &Path,
    known: &[String],
    problems: &mut Problems,
) -> Option<KernelRef> {
    let Some(name) = &raw.name else {
        problems.add(
            &raw.at,
            "has no name",
            "add name = \"..\", which tables will show",
        );
        return None;
    };
    check_name(name, problems);
    let source = match (&raw.path, &raw.modules) {
        (Some(path), modules) => KernelSource::Local {
            path: base_dir.join(&path.value),
            modules: modules.as_ref().map(|dir| base_dir.join(&dir.value)),
        },
        (None, Some(modules)) => {
            let what = "modules are given without a kernel";
            problems.add(&modules.at, what, "add path = \"bzImage or vmlinux\"");
            return None;
        }
        (None, None) => {
            if !known.contains(&name.value) {
                unknown_kernel(name, known, problems);
            }
            KernelSource::Locked
        }
    };
    Some(KernelRef {
        name: name.value.clone(),
        source,
    })
}

fn unknown_kernel(name: &At<String>, known: &[String], problems: &mut Problems) {
    let what = format!("kernel `{}` is not in the lock", name.value);
    let next = if known.is_empty() {
        "declare it in kernels/ and run `diorama lock`".to_owned()
    } else {
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        format!(
            "{}; for your own build use {{ name = \"{}\", path = \"bzImage\" }}",
            next_step(&name.value, "kernels", &known),
            name.value
        )
    };
    problems.add(&name.at, what, next);
}

fn add_kernel(
    kernels: &mut Vec<KernelRef>,
    kernel: KernelRef,
    at: &Place,
    problems: &mut Problems,
) {
    let same = |other: &&KernelRef| {
        let local = matches!(kernel.source, KernelSource::Local { .. });
        other.name == kernel.name || (local && other.source == kernel.source)
    };
    match kernels.iter().find(same) {
        Some(other) if other.name == kernel.name => {
            let what = format!("there is already a kernel `{}`", kernel.name);
            problems.add(at, what, "remove it or give it another name");
        }
        Some(other) => {
            let what = format!(
                "kernels `{}` and `{}` are the same file",
                other.name, kernel.name
            );
            problems.add(at, what, "remove one: equal inputs give equal digits");
        }
        None => kernels.push(kernel),
    }
}
