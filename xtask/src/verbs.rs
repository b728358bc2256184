//! One function per verb.

use crate::{
    build::{Built, cargo, harness, root, run},
    licences, workflows,
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

type Done = Result<ExitCode, String>;

/// Hands over to diorama: this process becomes it, so signals and exit codes are its own.
pub fn diorama(verb: &OsStr, rest: &[OsString]) -> Done {
    let root = root()?;
    let mut command = Command::new(harness(&root)?);
    command.env("DIORAMA_ROOT", root);
    let error = command.arg(verb).args(rest).exec();
    Err(format!("starting diorama: {error}"))
}

/// Everything that is tested, real guests included.
pub fn test(rest: &[OsString]) -> Done {
    let mut tests = tests(&Built::new()?)?;
    run(tests.arg("--workspace").args(rest))?;
    Ok(ExitCode::SUCCESS)
}

/// The test with a machine in a machine, with what it says.
pub fn nested(rest: &[OsString]) -> Done {
    let mut tests = tests(&Built::new()?)?;
    let only = match rest {
        [] => None,
        [word] if word == "--smoke" => {
            tests.env("DIORAMA_NESTED", "smoke");
            None
        }
        [word] if word == "--drives" => Some("drives"),
        other => {
            return Err(format!(
                "nested takes --smoke or --drives and nothing else, not {other:?}"
            ));
        }
    };
    tests.args([
        "--package",
        "diorama",
        "--test",
        "nested",
        "--",
        "--nocapture",
        "--test-threads",
        "1",
    ]);
    tests.args(only);
    run(&mut tests)?;
    Ok(ExitCode::SUCCESS)
}

/// `cargo test`, with all that it needs provided.
fn tests(built: &Built) -> Result<Command, String> {
    // Downloads belong to provisioning, not into a test's time.
    run(built.command(&built.diorama).args([
        "fetch",
        "smoke",
        "--tool-set",
        "busybox",
        "--tool-set",
        "btrfs-tools",
        "--tool-set",
        "registry",
    ]))?;
    let mut tests = cargo(&built.root);
    tests
        .args(["test", "--locked"])
        .env("DIORAMA_ROOT", &built.root)
        .env("DIORAMA_AGENT", &built.agent);
    Ok(tests)
}

/// What must hold on every commit besides the tests.
pub fn check() -> Done {
    let root = root()?;
    run(cargo(&root).args(["fmt", "--all", "--check"]))?;
    run(cargo(&root).args([
        "clippy",
        "--workspace",
        "--all-targets",
        // Not among them: a plain `cargo test` does not run it.
        "--test",
        "nested",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    licences::check(&root)?;
    workflows::check(&root)?;
    Ok(ExitCode::SUCCESS)
}

/// The cost benchmarks; figures, never a verdict.
pub fn bench(rest: &[OsString]) -> Done {
    let built = Built::new()?;
    run(built.command(&built.diorama).args(["fetch"]))?;
    let mut bench = cargo(&built.root);
    bench.args([
        "bench",
        "--locked",
        "--package",
        "diorama",
        "--bench",
        "cost",
        "--profile",
        "dev",
        "--",
    ]);
    bench
        .args(rest)
        .env("DIORAMA_ROOT", &built.root)
        .env("DIORAMA_AGENT", &built.agent);
    run(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}

/// Scenarios measured afresh from fresh checkpoints, then once more, one guest at a time, against the first:
/// every digit and the guests' memory must be equal. And the gallery, whose entries must end as they are known to.
pub fn nightly() -> Done {
    let built = Built::new()?;
    // What `test` names as ignored.
    let mut long = tests(&built)?;
    run(long.args([
        "--package",
        "diorama",
        "--test",
        "guests",
        "--",
        "--ignored",
    ]))?;
    for words in [
        &["repro", "smoke", "--fresh", "--no-checkpoint"][..],
        &["repro", "smoke", "--verify"],
        // Every pattern on the oldest and on the newest kernel; the guest checks each answer.
        &["repro", "patterns", "--fresh"],
        &["repro", "patterns", "--verify", "--jobs", "1"],
        &["gallery"],
        // Last, so that `latest` is the run that the workflow reports.
        &["repro", "--fresh"],
        &["repro", "--verify", "--jobs", "1"],
    ] {
        run(built.command(&built.diorama).args(words))?;
    }
    Ok(ExitCode::SUCCESS)
}
