//! `cargo xtask VERB`: builds the harness and the guest agent, then runs them. It has no logic of
//! its own: whatever else a verb does is done by the harness.

mod build;
mod licences;
mod verbs;
mod workflows;

use std::{env, process::ExitCode};

const HELP: &str = "\
cargo xtask VERB [ARGUMENTS]

  repro [SCENARIO] ...  build everything, then run `diorama repro` (see `cargo xtask repro --help`)
  test [ARGUMENTS]      fetch what the tests need, then run all of them, including real guests
  check                 check formatting, lints and workflows
  nested [--smoke | --drives]
                        run the exact lane inside an emulated machine that has vhost-vsock and KVM: one
                        small cell, or the whole smoke scenario; then drives inside one that has an
                        IOMMU and NVMe drives, or these alone
  bench                 run the cost benchmarks (boots, cells, parallelism, the agent's own path)
  licences              write images/crates, which says under which licences the crates in the agent are
  dist [-o FILE]        build one static program that carries all it needs, and runs on any x86-64 Linux
  nightly               run what takes too long for `test`: every pattern and the default scenario, twice, and
                        the gallery

All other verbs are diorama's own: run, gallery, explain, shell, agree, compare, diff, report, plan,
kernels, lock, fetch, doctor, devices, pack, inspect, replay, push, pull, cache, completions.
`cargo xtask VERB --help` explains each.";

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
        Some("licences") => licences::write().map(|()| ExitCode::SUCCESS),
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
