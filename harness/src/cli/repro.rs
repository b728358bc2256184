//! `diorama repro` and `run`: from a scenario to a run, its reports and a verdict.

use super::{
    args::{Cli, MeasureArgs, SelectArgs},
    context::Context,
    measuring::{self, Judge, Place, Then},
    prepare::{needs_digits, prepare},
    replay_line,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Error, Exit, Result},
    run::Finished,
    scenario::{Clock, Scenario},
};
use std::num::NonZeroUsize;

/// Measures a scenario, and judges it if asked to.
pub fn repro(
    cli: &Cli,
    select: &SelectArgs,
    measure: &MeasureArgs,
    judge: Judge,
    then: Then,
) -> Result<Exit> {
    let (exit, _) = measured(cli, select, measure, judge, then)?;
    Ok(exit)
}

/// The same, with the run.
pub fn measured(
    cli: &Cli,
    select: &SelectArgs,
    measure: &MeasureArgs,
    judge: Judge,
    then: Then,
) -> Result<(Exit, Finished)> {
    let mut context = Context::new(&cli.places, measure.inputs.offline)?;
    let ui = Ui::new(Drawing::of_stderr(measure.plain));
    context.store = context.store.telling(ui.teller());
    let prepared = prepare(
        &context,
        select,
        &measure.inputs,
        |of| check(measure, then, of),
        &ui,
    )?;
    let here = (context.program(), context.root.as_path());
    let scenario = &prepared.plan.scenario;
    // Whoever repeats it has another environment.
    let asked_of = (select, scenario.environment.as_slice());
    let replay = replay_line::command(asked_of, &measure.inputs, scenario.lane(), here);
    let place = Place {
        store: &context.store,
        inputs: &context.store,
        results: &context.results(),
        device: select.drive.device.as_ref(),
        replay,
    };
    measuring::run(cli, prepared, place, measure, (judge, then), ui)
}

/// Refuses what a scenario's lane cannot give.
fn check(measure: &MeasureArgs, then: Then, scenario: &Scenario) -> Result<()> {
    match (measure.verify, then) {
        (true, _) => needs_digits(scenario, "--verify compares digits")?,
        (_, Then::Explain) => needs_digits(scenario, "--explain counts every instruction")?,
        (_, Then::CountUser) => needs_digits(scenario, "agree counts every instruction")?,
        (false, Then::Calibrate(_)) => needs_blocks(scenario)?,
        (false, Then::End) => {}
    }
    match measure.jobs.map(NonZeroUsize::get) {
        Some(jobs @ 2..) if scenario.clock == Clock::Wall => Err(Error::input(format!(
            "--jobs {jobs}: by the wall clock guests that run at once disturb each other"
        ))
        .hint("omit --jobs")),
        _ => Ok(()),
    }
}

/// Refuses a scenario of the lane in which nothing is to be calibrated.
fn needs_blocks(scenario: &Scenario) -> Result<()> {
    match scenario.lane() {
        lane if lane.is_exact() => Err(Error::input(format!(
            "calibrate measures how a drive and its host differ from themselves; in the {lane} they do not"
        ))
        .hint("add --device nvme, or name a drive")),
        _ => Ok(()),
    }
}
