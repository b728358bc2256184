//! The value that every format renders.

use super::{Why, axis::Axis, method, session, setup};
use crate::{
    compare::{self, Alarm, Claim, Comparison, Locked, Reproduction, SessionFacts, Unmeasured},
    record::{KernelRecord, Origin, Results},
    scenario::{CellKey, Lane, Source},
    text::counted,
};
use serde::Serialize;

/// Everything a report says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The report's heading.
    pub title: String,
    /// What was reported, and what to look for; may be empty.
    pub description: String,
    /// The published report that it is about; for a single run of a scenario that names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Name of the first run's scenario.
    pub scenario: String,
    /// Lane of the first run, which all ratios are about.
    pub lane: Lane,
    /// The scenario's keys that rows differ in besides kernels, of the first run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub varies: Vec<String>,
    /// What was measured, as name and value.
    pub setup: Vec<(String, String)>,
    /// Every kernel of every run.
    pub kernels: Vec<KernelRow>,
    /// Figures, ratios and verdicts of every cell.
    pub comparison: Comparison,
    /// What the first run's workloads differ in, where that is one number: then a chart shows
    /// figures over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis: Option<Axis>,
    /// The scenario's claims and what became of each; for a single run.
    pub claims: Vec<(String, Claim)>,
    /// Whether they were reproduced; for a single run whose scenario makes claims.
    pub reproduction: Option<Reproduction>,
    /// Where the instructions of the cells that differ went; empty unless they were profiled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<Why>,
    /// Cells without figures.
    pub failures: Vec<FailedCell>,
    /// Cells taken from the cache.
    pub cached: usize,
    /// What a reader must know besides the figures.
    pub notes: Vec<String>,
    /// What the first run's session rests on and what it leaves open, one sentence each; empty in the
    /// exact lane.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub session: Vec<String>,
    /// That an emulator executed guests that ran by the wall clock, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulated: Option<String>,
    /// How the figures came about, in five sentences.
    pub method: Vec<String>,
    /// The command that measures again and compares digit by digit.
    pub replay: String,
}

/// A kernel as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelRow {
    /// As tables name it.
    pub label: String,
    /// Whether everything is compared with it.
    pub baseline: bool,
    /// Whether it is the one that the lock names.
    pub locked: Locked,
    /// What it was; absent when the run has no record of it.
    pub record: Option<KernelRecord>,
}

/// A cell without figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedCell {
    /// As tables name its kernel.
    pub label: String,
    /// The cell.
    pub key: CellKey,
    /// Why.
    pub failure: Unmeasured,
}

impl Report {
    /// Of one run.
    #[must_use]
    pub fn new(results: &Results) -> Report {
        Report::of_runs(results, &[])
    }

    /// Of a run and others that are compared with it.
    #[must_use]
    pub fn of_runs(first: &Results, others: &[&Results]) -> Report {
        let runs: Vec<&Results> = [&[first], others].concat();
        let comparison = compare::compare(&runs);
        let single = others.is_empty();
        let claims = if single {
            compare::claims(first)
        } else {
            vec![]
        };
        let baseline = &first.scenario.baseline;
        let mut notes = comparison.notes.clone();
        for (run, results) in comparison.runs.iter().zip(&runs) {
            notes.extend(results.notes.iter().map(|note| match single {
                true => note.clone(),
                false => format!("{}: {note}", run.letter),
            }));
        }
        if comparison.baseline().is_none() {
            notes.push(format!("the baseline {baseline} is not among the kernels"));
        }
        Report {
            title: if single {
                first.scenario.title.clone()
            } else {
                let ids: Vec<_> = runs.iter().map(|r| r.run_id.as_str()).collect();
                format!("{}: {}", first.scenario.title, ids.join(" and "))
            },
            description: first.scenario.description.trim().to_owned(),
            source: single.then(|| first.scenario.source.clone()).flatten(),
            scenario: first.scenario.name.clone(),
            lane: first.scenario.lane(),
            varies: first
                .scenario
                .varies()
                .into_iter()
                .map(String::from)
                .collect(),
            setup: setup::of(&runs, &comparison),
            axis: match first
                .scenario
                .variants
                .iter()
                .any(|v| v.parts.workloads.is_some())
            {
                false => Axis::of(&first.scenario.workloads, &comparison.workloads),
                // A column is not one value of its key.
                true => None,
            },
            kernels: kernels(&runs, &comparison),
            reproduction: single.then(|| compare::reproduction(first)).flatten(),
            claims: claims
                .into_iter()
                .map(|claim| (claim.words(), claim))
                .collect(),
            why: vec![],
            failures: failures(&comparison),
            cached: comparison
                .cells
                .iter()
                .filter(|c| c.origin == Origin::Cached)
                .count(),
            notes,
            session: session::sentences(&comparison),
            emulated: session::emulated(&runs),
            method: method::sentences(first),
            replay: first
                .replay
                .clone()
                .unwrap_or_else(|| format!("cargo xtask repro {} --verify", first.scenario.name)),
            comparison,
        }
    }

    /// The lane, and what varies besides kernels: what every reader must know first.
    pub(super) fn head(&self) -> Vec<String> {
        let varies =
            (!self.varies.is_empty()).then(|| format!("varies: {}", self.varies.join(", ")));
        [self.lane.to_string()].into_iter().chain(varies).collect()
    }

    /// What tables call their rows.
    pub(super) fn rows_are(&self) -> String {
        match self
            .comparison
            .subjects
            .iter()
            .any(|s| s.key.variant.is_some())
        {
            true => "kernel+variant".to_owned(),
            false => "kernel".to_owned(),
        }
    }

    /// The baseline as tables name it.
    pub(super) fn baseline(&self) -> &str {
        let baseline = self.comparison.baseline();
        baseline.map_or("the baseline", |s| s.label.as_str())
    }

    /// The first run's session, in the metal lane.
    pub(super) fn session(&self) -> Option<&SessionFacts> {
        self.comparison.runs.first()?.session.as_ref()
    }

    /// What must not be overlooked: digits that differ under equal inputs, kernels that are not the
    /// locked ones, and cells that failed.
    pub(super) fn alarms(&self) -> Vec<String> {
        let replaced = self.replaced().map(|k| {
            let origin = k.record.as_ref().map_or("unknown", |r| r.origin.as_str());
            format!("{} is NOT THE LOCKED KERNEL: {origin}", k.label)
        });
        let differ = self.comparison.alarms.iter().map(Alarm::words);
        let mut alarms: Vec<String> = differ.chain(replaced).collect();
        alarms.extend(self.emulated.clone());
        alarms.extend(self.session().and_then(session::invalid));
        if !self.failures.is_empty() {
            alarms.push(format!(
                "{} of {} {} NOT MEASURED",
                self.failures.len(),
                counted(self.comparison.cells.len(), "cell"),
                if self.failures.len() == 1 {
                    "WAS"
                } else {
                    "WERE"
                }
            ));
        }
        alarms
    }

    /// Kernels that are not those that the lock names.
    pub(super) fn replaced(&self) -> impl Iterator<Item = &KernelRow> {
        self.kernels.iter().filter(|k| k.locked == Locked::Replaced)
    }

    /// Where the figures came from, for footnotes.
    pub(super) fn cached_note(&self) -> Option<String> {
        (self.cached > 0).then(|| {
            format!(
                "{} of {} from the cache: the same inputs had been measured before.",
                self.cached,
                counted(self.comparison.cells.len(), "cell")
            )
        })
    }
}

fn kernels(runs: &[&Results], comparison: &Comparison) -> Vec<KernelRow> {
    let of = |s: &compare::Subject| KernelRow {
        label: s.label.clone(),
        baseline: s.baseline,
        locked: s.locked,
        record: runs[s.run]
            .kernels
            .iter()
            .find(|k| k.subject() == s.key)
            .cloned(),
    };
    comparison.subjects.iter().map(of).collect()
}

fn failures(comparison: &Comparison) -> Vec<FailedCell> {
    let cells = comparison.cells.iter();
    cells
        .filter_map(|cell| {
            Some(FailedCell {
                label: comparison.subjects[cell.subject].label.clone(),
                key: cell.key.clone(),
                failure: cell.failure.clone()?,
            })
        })
        .collect()
}
