//! Checking .github/workflows with tools that are not Rust's: where they are missing, that is said, and
//! under CI, which installs them, it is a failure.

use crate::build::run;
use std::{env, fs, io, path::Path, process::Command};

/// What is run, with what comes before the workflows' files.
const CHECKERS: [(&str, &[&str]); 2] = [
    ("zizmor", &["--offline", "--quiet", "--no-progress"]),
    // Without the shell's and Python's own checkers: what is installed must not decide.
    ("actionlint", &["-shellcheck=", "-pyflakes="]),
];

/// Checks all workflows with all checkers.
pub fn check(root: &Path) -> Result<(), String> {
    let dir = root.join(".github/workflows");
    let failed = |e: io::Error| format!("listing {}: {e}", dir.display());
    let entries = fs::read_dir(&dir).map_err(failed)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("{} contains no workflow", dir.display()));
    }
    for (name, options) in CHECKERS {
        let there = Command::new(name).arg("--version").output();
        if !there.is_ok_and(|output| output.status.success()) {
            absent(name, env::var_os("CI").is_some())?;
            continue;
        }
        run(Command::new(name)
            .current_dir(root)
            .args(options)
            .args(&files))?;
    }
    Ok(())
}

/// A checker that is not installed: said, or refused.
fn absent(name: &str, ci: bool) -> Result<(), String> {
    let next = "pip install --require-hashes --requirement ci/requirements.txt";
    if ci {
        return Err(format!(
            "under CI, {name} is required to check the workflows: {next}"
        ));
    }
    println!("skipped {name} on .github/workflows: not installed ({next})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::absent;

    #[test]
    fn an_absent_checker_is_a_failure_under_ci_alone() {
        assert!(absent("zizmor", false).is_ok());
        assert!(absent("zizmor", true).unwrap_err().contains("zizmor"));
    }
}
