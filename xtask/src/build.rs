//! Building the harness and the agent.

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
    /// Builds both. The agent is linked against the locked C library, so the harness, which can
    /// fetch that, comes first and drives the agent's build.
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
    let manifest = env::var_os("CARGO_MANIFEST_DIR").ok_or("run me as `cargo xtask`")?;
    Path::new(&manifest)
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| "xtask has no parent".into())
}

/// Builds the harness and returns the path of its executable.
pub fn harness(root: &Path) -> Result<PathBuf, String> {
    run(cargo(root).args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        "diorama",
        "--bin",
        "diorama",
    ]))?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("debug/diorama"))
}

/// cargo, in the workspace.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
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
