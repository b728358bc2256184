//! The two runs of a calibration, and what is said of them.

use super::{print_text, session};
use crate::{
    compare::{self, Cell},
    error::{Error, Exit, Result},
    metal::Calibration,
    plan::{Plan, THROTTLED},
    record::{Results, RunDir},
    run::{Known, Recording},
    scenario::{Metric, SessionSpec},
};
use std::{collections::BTreeMap, num::NonZeroU64};

/// A calibration that a run is to become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// By how much the throttled arm is made slower, in percent; none where the baseline is measured
    /// against itself alone.
    pub slowdown: Option<f64>,
}

impl Control {
    /// The plan of its first run: one block of the baseline, to see how fast it is; without a throttled
    /// arm, the whole session.
    #[must_use]
    pub fn first(self, plan: &Plan) -> Plan {
        let mut plan = plan.baseline_alone();
        if self.slowdown.is_some()
            && let Some(session) = &mut plan.scenario.session
        {
            session.blocks = 1;
        }
        plan
    }

    /// The plan of its second run, after a pilot's results; none where the first one is all of it.
    #[must_use]
    pub fn second(
        self,
        first: &Plan,
        session: Option<SessionSpec>,
        pilot: &Results,
    ) -> Option<Plan> {
        let share = 1.0 - self.slowdown? / 100.0;
        let comparison = compare::compare(&[pilot]);
        let bound = |cell: &Cell| {
            let iops = cell.figures.get(&Metric::Iops)?.median * share;
            // A rate of less than one I/O a second cannot be asked for.
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked"
            )]
            let bound = (1.0..1e15).contains(&iops).then_some(iops as u64)?;
            let at = (cell.key.filesystem.clone(), cell.key.workload.clone());
            Some((at, NonZeroU64::new(bound)?))
        };
        let bounds: BTreeMap<_, _> = comparison.cells.iter().filter_map(bound).collect();
        let mut plan = first.with_throttled(&bounds);
        plan.scenario.session = session;
        Some(plan)
    }
}

/// What the second run is to be: a session of its own.
pub fn order(plan: &Plan, dir: RunDir, took: &BTreeMap<String, f64>) -> Recording {
    let (session, note) = session::anew(plan, dir.run_id(), took).unzip();
    Recording {
        dir,
        known: Known::Use,
        session,
        notes: note.into_iter().collect(),
    }
}

/// Says what a calibration's session found; success if verdicts of this machine may be believed.
///
/// # Errors
/// When standard output cannot be written.
pub fn show(results: &Results, control: Control) -> Result<Exit> {
    let Some((names, calibration)) = compare::calibration(results) else {
        return Err(Error::internal("a calibration is no session"));
    };
    print_text(&words(&names, &calibration, control))?;
    Ok(match calibration.holds() {
        true => Exit::Ok,
        false => Exit::NotReproduced,
    })
}

fn words(names: &[String], calibration: &Calibration, control: Control) -> String {
    let mut text = String::new();
    for (name, found) in names.iter().zip(&calibration.found) {
        let least = found.least.map_or_else(
            || "too few blocks for any difference".to_owned(),
            |least| {
                format!(
                    "the least difference that can be called one is {:.1}%",
                    100.0 * least
                )
            },
        );
        let throttled = match (control.slowdown, found.ratio, found.detected) {
            (Some(_), Some([ratio, low, high]), Some(detected)) => format!(
                "; throttled {ratio:.3} [{low:.3}, {high:.3}] {}",
                if detected { "found" } else { "NOT FOUND" }
            ),
            (Some(_), ..) => "; throttled NOT MEASURED in enough blocks".to_owned(),
            (None, ..) => String::new(),
        };
        text.push_str(&format!("{name}: {least}{throttled}\n"));
    }
    let gate = calibration.gate.forbids();
    let missed = calibration.found.iter().any(|f| f.detected == Some(false));
    text.push_str(&match (calibration.holds(), gate, control.slowdown) {
        (true, _, Some(percent)) => format!(
            "CALIBRATED: the baseline agrees with itself, and a slowdown of {percent}% is found in \
             every cell\n"
        ),
        (true, _, None) => "CALIBRATED: the baseline agrees with itself\n".to_owned(),
        (false, Some(why), _) => format!("NOT CALIBRATED: {why}\n"),
        (false, None, Some(percent)) if missed => format!(
            "NOT CALIBRATED: a slowdown of {percent}% (`{THROTTLED}`) was not found in every cell: use \
             more blocks or longer windows, or quieten the host (`diorama doctor`)\n"
        ),
        (false, None, _) => "NOT CALIBRATED: nothing was tested\n".to_owned(),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metal::{Found, Gate};

    fn told(found: Found, gate: Gate, slowdown: Option<f64>) -> String {
        let calibration = Calibration {
            gate,
            found: vec![found],
        };
        words(
            &["ext4/write-4k".to_owned()],
            &calibration,
            Control { slowdown },
        )
    }

    #[test]
    fn a_calibration_says_what_it_found_and_what_to_do() {
        let passed = Gate::Passed { tested: 1 };
        let found = Found {
            least: Some(0.021),
            ratio: Some([0.902, 0.895, 0.909]),
            detected: Some(true),
        };
        let missed = Found {
            least: Some(0.12),
            ratio: Some([0.93, 0.85, 1.02]),
            detected: Some(false),
        };
        let alone = Found {
            least: Some(0.021),
            ratio: None,
            detected: None,
        };
        let invalid = Gate::Invalid {
            tested: 1,
            differ: vec![0],
        };
        let all = [
            told(found, passed.clone(), Some(10.0)),
            told(missed, passed.clone(), Some(10.0)),
            told(alone, passed, None),
            told(found, invalid, Some(10.0)),
            told(
                Found {
                    least: None,
                    ratio: None,
                    ..missed
                },
                Gate::Untested,
                Some(10.0),
            ),
        ];
        insta::assert_snapshot!(all.join("\n"), @"
        ext4/write-4k: the least difference that can be called one is 2.1%; throttled 0.902 [0.895, 0.909] found
        CALIBRATED: the baseline agrees with itself, and a slowdown of 10% is found in every cell

        ext4/write-4k: the least difference that can be called one is 12.0%; throttled 0.930 [0.850, 1.020] NOT FOUND
        NOT CALIBRATED: a slowdown of 10% (`throttled`) was not found in every cell: use more blocks or longer windows, or quieten the host (`diorama doctor`)

        ext4/write-4k: the least difference that can be called one is 2.1%
        CALIBRATED: the baseline agrees with itself

        ext4/write-4k: the least difference that can be called one is 2.1%; throttled 0.902 [0.895, 0.909] found
        NOT CALIBRATED: the session is invalid: the baseline differs from itself in 1 of 1 comparison

        ext4/write-4k: too few blocks for any difference; throttled NOT MEASURED in enough blocks
        NOT CALIBRATED: the baseline was not measured twice in enough blocks
        ");
    }
}
