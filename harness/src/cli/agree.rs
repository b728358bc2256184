//! `diorama agree`: the same workloads through our engines and through fio's.

use super::{
    args::{AgreeArgs, Cli, SelectArgs},
    measuring::{Judge, Then},
    repro,
};
use crate::error::{Exit, Result};

/// The scenario.
const SCENARIO: &str = "agree";

/// `diorama agree`
pub fn agree(cli: &Cli, args: &AgreeArgs) -> Result<Exit> {
    let select = SelectArgs {
        scenario: SCENARIO.to_owned(),
        only: args.only.clone(),
        ..SelectArgs::default()
    };
    // Whether the scenario's claims hold is for the tables to say.
    repro::repro(cli, &select, &args.measure, Judge::No, Then::CountUser)
}
