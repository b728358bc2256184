//! Building the harness, and having it build the agent.

use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What was built.
pub struct Built {
    /// The workspace.
    pub root: PathBuf,
    /// The `diorama` executable.
    pub diorama: PathBuf,
    /// The static agent.
    pub agent: PathBuf,
}

impl Built {
    /// Builds both, for tests and benchmarks, which do not build the agent by themselves. It is
    /// linked against the locked C library, so the harness, which can fetch that, comes first and
    /// drives the agent's build, as it does for every verb of its own.
    pub fn new() -> Result<Built, String> {
        let root = root()?;
        let diorama = harness(&root)?;
        let output = Command::new(&diorama)
            .arg("agent")
            .env("DIORAMA_ROOT", &root)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("starting {}: {e}", diorama.display()))?;
        if !output.status.success() {
            return Err(format!("the guest agent was not built: {}", output.status));
        }
        let agent = String::from_utf8(output.stdout)
            .map_err(|e| format!("the agent's path is not UTF-8: {e}"))?;
        Ok(Built {
            root,
            diorama,
            agent: PathBuf::from(agent.trim()),
        })
    }

    /// A command with what tests and the harness look for in the environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("DIORAMA_ROOT", &self.root)
            .env("DIORAMA_AGENT", &self.agent);
        command
    }
}

/// The workspace: cargo names this package's directory when it runs us.
pub fn root() -> Result<PathBuf, String> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").ok_or("run this as `cargo xtask`")?;
    Path::new(&manifest)
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| "xtask has no parent".into())
}

/// Builds the harness and returns the path of its executable, wherever the user's cargo puts it.
pub fn harness(root: &Path) -> Result<PathBuf, String> {
    let mut command = cargo(root);
    command.args([
        "build",
        "--locked",
        "--package",
        "diorama",
        "--bin",
        "diorama",
    ]);
    command.arg("--message-format=json-render-diagnostics");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("starting {command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    executable(&output.stdout).ok_or_else(|| format!("{command:?} did not say where diorama is"))
}

/// The executable that cargo names in its messages, one JSON object a line.
fn executable(messages: &[u8]) -> Option<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
}

/// cargo, in the workspace, as if nobody's `cargo run` had started it: what cargo sets for the program it
/// runs is an input of some crates' build scripts, and one cargo would undo what the other has built.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_a_program) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether cargo sets a variable for the programs it runs ("Environment variables", the Cargo Book), and
/// not a user for cargo.
fn is_of_a_program(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
        )
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|e| format!("starting {command:?}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_variables_reach_cargo_and_those_of_xtask_do_not() {
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_PKG_NAME",
            "OUT_DIR",
        ] {
            assert!(is_of_a_program(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!is_of_a_program(name), "{name}");
        }
    }

    #[test]
    fn cargo_says_where_the_harness_is() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"diorama"},"executable":"/elsewhere/x86/debug/diorama"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(
            executable(messages),
            Some("/elsewhere/x86/debug/diorama".into())
        );
        assert_eq!(executable(b"not JSON\n"), None);
    }
}
