//! `diorama diff`: which inputs of two runs differ, which results do, and nothing else.

use super::{
    args::{Cli, DiffArgs},
    context::results_root,
    print_json, print_text,
    records::read_runs,
};
use crate::{
    compare::Diff,
    error::{Exit, Result},
    report,
};

/// Says what differs; the answer to "are they the same?" is the exit code.
pub fn diff(cli: &Cli, args: &DiffArgs) -> Result<Exit> {
    let runs = read_runs(&results_root(&cli.places)?, &[&args.a, &args.b])?;
    let diff = Diff::of(&runs[0], &runs[1]);
    if args.json {
        print_json(&diff)?;
    } else {
        print_text(&report::diff_text(&diff, args.verbose))?;
    }
    Ok(exit(&diff))
}

fn exit(diff: &Diff) -> Exit {
    match diff.is_empty() {
        true => Exit::Ok,
        false => Exit::NotReproduced,
    }
}
