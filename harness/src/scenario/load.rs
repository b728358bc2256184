//! Finding and reading a scenario's file.

use super::{Overrides, Scenario, resolve::resolve_with};
use crate::{
    error::{Error, Result},
    files,
    suggest::next_step,
};
use std::path::{Path, PathBuf};

/// The file that an argument of the command line means: a path, or the bare name of a file in
/// scenarios/ below `root`.
///
/// # Errors
/// When there is no such file; names the scenarios that there are.
pub fn locate(argument: &str, root: &Path) -> Result<PathBuf> {
    let file = if is_path(argument) {
        PathBuf::from(argument)
    } else {
        root.join("scenarios").join(format!("{argument}.toml"))
    };
    if file.is_file() {
        return Ok(file);
    }
    let names = available(root);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let error = Error::input(format!(
        "there is no scenario `{argument}`: {} is not a file",
        file.display()
    ));
    Err(error.hint(next_step(argument, "scenarios", &names)))
}

/// Whether an argument of the command line is a file's path, and not a scenario's name.
#[must_use]
pub fn is_path(argument: &str) -> bool {
    let extension = Path::new(argument).extension();
    argument.contains('/') || extension.is_some_and(|e| e == "toml")
}

/// Names of the scenarios below `root`, sorted; empty when the directory cannot be read.
#[must_use]
pub fn available(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("scenarios")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            Some(
                entry
                    .ok()?
                    .file_name()
                    .to_str()?
                    .strip_suffix(".toml")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}

/// Reads and resolves a scenario's file. `known_kernels` are the names in the lock.
///
/// # Errors
/// When the file cannot be read, and for every problem in it at once. Files of local kernels are not
/// looked for ([`look_for`]).
pub fn load(path: &Path, known_kernels: &[String], overrides: &Overrides) -> Result<Scenario> {
    let text = files::read_text(path, files::TEXT).map_err(|e| {
        Error::input(format!("reading the scenario {}", path.display()))
            .because(e)
            .hint("give a scenario file, or the name of one in scenarios/")
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    let read = |path: &Path| files::read_text(path, files::TEXT).map_err(|e| e.to_string());
    resolve_with(
        &text,
        &path.display().to_string(),
        base,
        known_kernels,
        overrides,
        &read,
    )
}

/// Whether a local kernel's image and modules are where the scenario says.
///
/// # Errors
/// When one is not, naming the kernel.
pub fn look_for(kernel: &str, image: &Path, modules: Option<&Path>) -> Result<()> {
    if !image.is_file() {
        return Err(absent(kernel, "image", image, "bzImage or vmlinux"));
    }
    match modules.filter(|dir| !dir.is_dir()) {
        Some(dir) => Err(absent(
            kernel,
            "modules",
            dir,
            "directory of its *.ko files",
        )),
        None => Ok(()),
    }
}

fn absent(kernel: &str, part: &str, path: &Path, wanted: &str) -> Error {
    Error::input(format!(
        "kernel `{kernel}` has no {part} at {}",
        path.display()
    ))
    .hint(format!("give the path of a {wanted}"))
}
