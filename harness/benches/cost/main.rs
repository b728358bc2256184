//! What measuring costs, in figures and without a verdict: `cargo xtask bench [PART..] [--runs N]`.
//!
//! | part | figure | goal |
//! |---|---|---|
//! | `boot` | CPU seconds of QEMU to the checkpoint, relative to raw QEMU with the same kernel, the same options and an initramfs of 1 MB whose /init only says READY | 1.5 |
//! | `cell` | CPU seconds of QEMU from the `cont` of a restored cell to its first measured I/O | 1.5 |
//! | `instructions` | user-space instructions of the agent per 4k I/O, all in | 300 |
//! | `jobs` | wall time of one guest at a time relative to two | 1.8 |
//!
//! CPU seconds are utime + stime of the QEMU process. They grow with the host's load too (shared
//! caches and cores), so what is compared is run in turns, and the median stands.

mod boot;
mod cell;
mod instructions;
mod jobs;
mod lab;

use diorama::error::Result;
use lab::Lab;
use std::process::ExitCode;

/// A benchmark; the second argument is how often it runs.
type Part = fn(&Lab, usize) -> Result<()>;

const PARTS: [(&str, Part); 4] = [
    ("boot", boot::measure),
    ("cell", cell::measure),
    ("instructions", instructions::measure),
    ("jobs", jobs::measure),
];

/// What the parts measure.
const SCENARIO: &str = "harness/benches/cost/scenario.toml";

fn main() -> ExitCode {
    let mut runs = 5;
    let mut wanted = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // What cargo itself adds.
            "--bench" => {}
            // `cargo test --benches` only wants to know that it builds.
            "--test" => return ExitCode::SUCCESS,
            "--runs" => match words.next().map(|n| n.parse()) {
                Some(Ok(n)) if n > 0 => runs = n,
                _ => return usage("--runs takes a number"),
            },
            part if PARTS.iter().any(|(name, _)| *name == part) => wanted.push(word),
            other => return usage(&format!("there is no part `{other}`")),
        }
    }
    let chosen = PARTS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name));
    let result = Lab::open(SCENARIO).and_then(|lab| {
        for (_, part) in chosen {
            part(&lab, runs)?;
        }
        Ok(())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.render());
            ExitCode::FAILURE
        }
    }
}

fn usage(why: &str) -> ExitCode {
    let parts: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    eprintln!(
        "{why}\nusage: cargo xtask bench [{}].. [--runs N]",
        parts.join("|")
    );
    ExitCode::from(2)
}
