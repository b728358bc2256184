//! `diorama agree`: the same workloads through our engines and through fio's.

use super::{
    args::{AgreeArgs, Cli, SelectArgs},
    repro::{self, Judge, Then},
};
use crate::error::{Exit, Result};

/// The scenario.
const SCENARIO: &str = "agree";

/// `diorama agree`
pub fn agree(cli: &Cli, args: &AgreeArgs) -> Result<Exit> {
    let select = SelectArgs {
        scenario: SCENARIO.to_owned(),
        kernels: vec![],
        baseline: None,
        only_kernels: args.only_kernels.clone(),
        only_filesystems: vec![],
        only_workloads: vec![],
        repetitions: None,
        cmdline: vec![],
    };
    // Whether the scenario's claims hold is for the tables to say.
    repro::repro(cli, &select, &args.measure, Judge::No, Then::CountUser)
}
