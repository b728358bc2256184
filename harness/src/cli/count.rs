//! What each engine costs in user space, counted one by one.

use super::{print, ui::Ui, width};
use crate::{
    compare::{agreement, compare},
    error::{Error, Exit, Result},
    files::write_atomically,
    plan::CellPlan,
    record::{Outcome, Results},
    report::{self, Style},
    run::{Booted, Executor as _, Qemu, Session},
    scenario::in_fios_words,
};
use diorama_wire::Bound;
use std::path::Path;

/// Fewer and more I/Os of a repetition. Two runs that differ in nothing else differ by those I/Os
/// alone: what fio costs at its start and its end is in both.
const IOS: [u64; 2] = [2_000, 12_000];

/// User-space instructions per I/O, by kernel and workload.
pub type User = agreement::UserInstructions;

/// Counts every engine on every kernel. User space does not see the file system: one is enough.
///
/// # Errors
/// When a guest does not get to its end.
pub async fn count(session: &Session<Qemu>, ui: &Ui) -> Result<User> {
    let (plan, qemu) = (&session.plan, &session.executor);
    let cpu = session.options.cpus.first().copied().unwrap_or_default();
    let mut found = User::new();
    let Some(filesystem) = plan.scenario.filesystems.first() else {
        return Ok(found);
    };
    for kernel in &plan.kernels {
        let name = &kernel.record.name;
        ui.line(&format!(
            "{name}: counting the engines' user-space instructions"
        ));
        let quiet = || Box::new(|_, _: &str| {});
        let checkpoint = match qemu.checkpoint(kernel, cpu, quiet()).await {
            Ok(Booted::Saved(checkpoint)) => Some(checkpoint.handle),
            Ok(Booted::NotSaved { .. }) => None,
            Err(outcome) => return Err(ended(name, &outcome)),
        };
        let cells = kernel.cells.iter();
        for cell in cells.filter(|c| c.key.filesystem == filesystem.name && c.settled.is_none()) {
            let mut user = [0; 2];
            let mut ios = [0; 2];
            for i in 0..2 {
                let cell = with_ios(cell, IOS[i])?;
                let profiled = qemu
                    .explain(kernel, &cell, checkpoint.as_ref(), cpu, quiet())
                    .await;
                let (measured, seen) =
                    profiled.map_err(|outcome| ended(&cell.key.to_string(), &outcome))?;
                user[i] = seen.stacks.user();
                ios[i] = measured.guest.repetitions.iter().map(|r| r.span_ios).sum();
            }
            let key = (name.clone(), cell.key.workload.clone());
            found.insert(key, per_io(user, ios));
        }
    }
    Ok(found)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_io(user: [u64; 2], ios: [u64; 2]) -> f64 {
    (user[1] as f64 - user[0] as f64) / (ios[1] as f64 - ios[0] as f64)
}

/// The same cell with one repetition of so many I/Os.
fn with_ios(cell: &CellPlan, ios: u64) -> Result<CellPlan> {
    let mut cell = cell.clone();
    cell.job.workload.bound = Bound::Ios(ios);
    cell.job.measure.repetitions = 1;
    // No more than either, so that the warm-up is the same in both.
    cell.job.measure.warmup_ios = IOS[0];
    if cell.job.fio.is_some() {
        let fio = in_fios_words(&cell.job.workload);
        cell.job.fio = Some(fio.map_err(Error::input)?);
    }
    Ok(cell)
}

fn ended(what: &str, outcome: &Outcome) -> Error {
    Error::new(
        Exit::Incomplete,
        format!("{what}: {}: {}", outcome.word(), outcome.why()),
    )
}

/// Prints the tables and writes them into the run's directory.
///
/// # Errors
/// When they cannot be written.
pub fn show(results: &Results, user: &User, dir: &Path, color: bool) -> Result<()> {
    let pairs = agreement::agreement(&results.scenario, &compare(&[results]), user);
    let lane = results.scenario.lane;
    let style = Style {
        width: width(),
        color,
        chart: None,
    };
    print(report::agreement_text(&pairs, lane, &style).as_bytes())?;
    let markdown = report::agreement_markdown(&pairs, lane);
    write_atomically(&dir.join("agreement.md"), markdown.as_bytes())
}
