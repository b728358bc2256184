//! A session that was interrupted goes on where it was.

use crate::{
    plan::{Plan, Task},
    record::{self, Results, Session},
};
use std::{collections::BTreeSet, fs, path::Path};

/// Records that are looked at, the newest first: reading one takes milliseconds.
const LOOKED_AT: usize = 50;

/// The newest session of the same cells below `results`, if it did not come to its end: the name of its
/// run, and the session without what was measured of a block's cell that was not measured whole. What is
/// compared must have been measured close together, so that is measured anew.
#[must_use]
pub fn interrupted(results: &Path, plan: &Plan) -> Option<(String, Session)> {
    let names = fs::read_dir(results).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        // Not those of a scenario whose name begins with this one's.
        (record::begun(&name)?.0 == plan.scenario.name).then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort_unstable_by(|a, b| record::begun(b).cmp(&record::begun(a)));
    let records = names.into_iter().take(LOOKED_AT);
    let mut same = records.filter_map(|name| {
        // Another program's directory, another version's record: not this session.
        let (_, record) = record::open(results, &name).ok()?;
        let session = goes_on_with(&record, plan)?.clone();
        Some((name, session))
    });
    let (name, mut session) = same.next()?;
    let missing: BTreeSet<(u32, usize)> = left(&session, plan)
        .iter()
        .filter_map(|task| Some((task.turn?.block, task.cell)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let mut whole = plan.session(session.blocks, session.seed);
    whole.retain(|task| {
        let turn = task.turn;
        turn.is_some_and(|turn| !missing.contains(&(turn.block, task.cell)))
    });
    session.samples.retain(|sample| {
        let mut whole = whole.iter();
        whole.any(|task| is_of(sample, plan, task))
    });
    (!session.samples.is_empty()).then_some((name, session))
}

/// Whether a record is of the same cells, with the same inputs, in as many blocks.
fn goes_on_with<'a>(record: &'a Results, plan: &Plan) -> Option<&'a Session> {
    let session = record.session.as_ref()?;
    let wanted = plan.scenario.session?;
    let cells = plan.cells().map(|(_, cell)| (&cell.key, cell.inputs));
    let same = record
        .cells
        .iter()
        .map(|cell| (&cell.key, cell.inputs))
        .eq(cells)
        && record.scenario.baseline == plan.scenario.baseline
        && session.blocks == wanted.blocks
        && wanted.seed.is_none_or(|seed| seed == session.seed);
    same.then_some(session)
}

/// What of a session is still to be measured, in its order.
#[must_use]
pub fn left(session: &Session, plan: &Plan) -> Vec<Task> {
    let mut tasks = plan.session(session.blocks, session.seed);
    tasks.retain(|task| !was_done(session, plan, task));
    tasks
}

/// Whether a session has a task's sample.
fn was_done(session: &Session, plan: &Plan, task: &Task) -> bool {
    let mut samples = session.samples.iter();
    samples.any(|sample| is_of(sample, plan, task))
}

fn is_of(sample: &record::Sample, plan: &Plan, task: &Task) -> bool {
    Some(sample.at) == task.turn && sample.key == plan.kernels[task.kernel].cells[task.cell].key
}
