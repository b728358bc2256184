//! `cargo xtask VERB`: builds the harness and the guest agent, then spawns. It holds no logic of
//! its own: whatever a verb does beyond that is the harness's.

mod build;
mod verbs;
mod workflows;

use std::{env, process::ExitCode};

const HELP: &str = "\
cargo xtask VERB [ARGUMENTS]

  repro [SCENARIO] ...  build everything, then `diorama repro` (see `cargo xtask repro --help`)
  test [ARGUMENTS]      provision what the tests need, then run all of them, real guests included
  check                 formatting, lints, workflows
  nested [--smoke]      the test with an emulated machine that has vhost-vsock and KVM, with what it
                        says; the whole smoke scenario in it in place of one small cell
  bench                 the cost benchmarks (boots, cells, parallelism, the agent's own path)
  nightly               what takes too long for `test`: the whole default scenario, twice

Any other verb is one of diorama's own: run, explain, agree, compare, report, plan, kernels, lock,
fetch, doctor, cache, completions. `cargo xtask VERB --help` explains it.";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    let done = match verb.to_str() {
        Some("" | "--help" | "-h") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some("test") => verbs::test(&rest),
        Some("check") => verbs::check(),
        Some("nested") => verbs::nested(&rest),
        Some("bench") => verbs::bench(&rest),
        Some("nightly") => verbs::nightly(),
        _ => verbs::diorama(&verb, &rest),
    };
    match done {
        Ok(code) => code,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(6)
        }
    }
}
