//! `diorama agree`: the same workloads through our engines and through fio's.

use super::fio_args::FioArgs;
use super::{
    args::{AgreeArgs, Cli, GuestWords, OwnKernels, SelectArgs},
    repro::{self, Judge, Then},
    share::ShareArgs,
};
use crate::error::{Exit, Result};

/// The scenario.
const SCENARIO: &str = "agree";

/// `diorama agree`
pub fn agree(cli: &Cli, args: &AgreeArgs) -> Result<Exit> {
    let select = SelectArgs {
        scenario: SCENARIO.to_owned(),
        fio: FioArgs::default(),
        own: OwnKernels::default(),
        baseline: None,
        only: args.only.clone(),
        only_filesystems: vec![],
        only_workloads: vec![],
        device: None,
        erase: None,
        repetitions: None,
        blocks: None,
        seed: None,
        runtime: None,
        words: GuestWords::default(),
        share: ShareArgs::default(),
        artifacts: false,
    };
    // Whether the scenario's claims hold is for the tables to say.
    repro::repro(cli, &select, &args.measure, Judge::No, Then::CountUser)
}
