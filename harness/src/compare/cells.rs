//! Every cell of one or several runs beside its baseline.

use super::{
    Alarm, BothLanes, Figure, METRICS, Ratio, Unmeasured, Verdict, alarms, both_lanes, failure,
    figure,
    others::{besides_the_kernel, decisive, differing},
    resolution::resolution,
    session::{Judgement, SessionFacts},
    verdict::{NOISE, judge, judge_failures},
};
use crate::{
    digest::Sha256,
    metal::Cause,
    record::{CellResult, Origin, Outcome, Results},
    scenario::{
        CellKey, Difference, FilesystemSpec, KernelSource, Lane, Metric, Scenario, SubjectKey,
    },
};
use serde::Serialize;
use std::collections::BTreeMap;

/// One or several runs, compared with one baseline kernel: that of the first run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs, in the order given.
    pub runs: Vec<Run>,
    /// Every subject of every run, in the runs' order; the rows of tables.
    pub subjects: Vec<Subject>,
    /// File systems of all runs, in order of first appearance.
    pub filesystems: Vec<String>,
    /// Workloads of all runs, in order of first appearance; the columns of tables.
    pub workloads: Vec<String>,
    /// Every cell, in the runs' and their plans' order.
    pub cells: Vec<Cell>,
    /// What the reader of a comparison of several runs must know.
    pub notes: Vec<String>,
    /// Cells with equal inputs and different digits.
    pub alarms: Vec<Alarm>,
    /// What path length says beside what the drive says, where runs of both lanes have cells in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub both_lanes: Option<BothLanes>,
}

/// A run that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// `A`, `B`, ... where there are several; empty for one.
    pub letter: String,
    /// Name of the run's directory.
    pub run_id: String,
    /// Device and clock.
    pub lane: Lane,
    /// What is to be known of it as a session of the metal lane, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionFacts>,
}

/// A row of a run: a kernel, as the scenario is written or with a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Index into [`Comparison::runs`].
    pub run: usize,
    /// Its kernel and its variant.
    #[serde(flatten)]
    pub key: SubjectKey,
    /// What tables show: the name, with the run's letter before it where there are several runs.
    pub label: String,
    /// Whether everything is compared with it.
    pub baseline: bool,
    /// Whether it is the kernel that the lock names.
    pub locked: Locked,
}

/// Whether a kernel is one that the lock names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locked {
    /// It is the locked kernel.
    Yes,
    /// Another one of its series, since the lock's is gone.
    Replaced,
    /// A build of somebody's own, which no lock names.
    Local,
}

impl Locked {
    /// As reports name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Locked::Yes => "yes",
            Locked::Replaced => "NOT THE LOCKED KERNEL",
            Locked::Local => "local build",
        }
    }

    /// What a run says of one of its kernels.
    #[must_use]
    pub fn of(run: &Results, kernel: &str) -> Locked {
        let mut named = run.scenario.kernels.iter();
        let local = |source: &KernelSource| matches!(source, KernelSource::Local { .. });
        if named.any(|k| k.name == kernel && local(&k.source)) {
            return Locked::Local;
        }
        let record = run.kernels.iter().find(|k| k.name == kernel);
        match record.is_none_or(|k| k.as_locked) {
            true => Locked::Yes,
            false => Locked::Replaced,
        }
    }
}

/// A cell beside its baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Index into [`Comparison::subjects`].
    pub subject: usize,
    /// Which cell of its run.
    pub key: CellKey,
    /// Whether it was measured in its run or taken from the cache.
    pub origin: Origin,
    /// Digest of everything its digits depend on; absent when it never got that far.
    pub inputs: Option<Sha256>,
    /// Why it has no figures, unless it was measured.
    pub failure: Option<Unmeasured>,
    /// What it measured. A metric whose counter the kernel lacks is absent.
    pub figures: BTreeMap<Metric, Figure>,
    /// Against the baseline on the same file system and workload; empty for the baseline itself.
    pub against: BTreeMap<Metric, Against>,
    /// Why no claim may rest on its figures; absent where one may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// A figure against the baseline's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// The ratio, where both were measured, in the same lane, doing the same job.
    pub ratio: Option<Ratio>,
    /// What may be concluded.
    pub verdict: Verdict,
    /// What it costs that moved with the verdict: then it is explained. Of a session's rates alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

impl Comparison {
    /// The cell in a row and a column of a file system's table.
    #[must_use]
    pub fn cell(&self, subject: usize, filesystem: &str, workload: &str) -> Option<&Cell> {
        self.cells.iter().find(|c| {
            c.subject == subject && c.key.filesystem == filesystem && c.key.workload == workload
        })
    }

    /// The baseline's row, unless its scenario names a kernel it does not have.
    #[must_use]
    pub fn baseline(&self) -> Option<&Subject> {
        self.subjects.iter().find(|s| s.baseline)
    }

    /// Whether a comparison of several runs compares anything across them.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.both_lanes.as_ref().is_some_and(BothLanes::answers)
            || self.cells.iter().any(|cell| {
                let mut figures = cell.against.values();
                self.subjects[cell.subject].run > 0 && figures.any(|a| a.ratio.is_some())
            })
    }

    /// Lanes of the runs, each once, in order of first appearance.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        distinct(self.runs.iter().map(|r| r.lane))
    }
}

/// Compares every cell of one or several runs with the first run's baseline kernel on the same
/// file system and workload. Cells of another lane, or that ran another job, are incomparable.
#[must_use]
pub fn compare(runs: &[&Results]) -> Comparison {
    let several = runs.len() > 1;
    let mut comparison = Comparison {
        runs: Vec::new(),
        subjects: Vec::new(),
        filesystems: distinct(runs.iter().flat_map(|r| {
            let specs = r.scenario.filesystems.iter();
            specs.map(|f| f.name.clone())
        })),
        workloads: distinct(runs.iter().flat_map(|r| {
            let specs = r.scenario.workloads.iter();
            specs.map(|w| w.name.clone())
        })),
        cells: Vec::new(),
        notes: notes(runs),
        alarms: alarms(runs),
        both_lanes: several.then(|| both_lanes(runs)).flatten(),
    };
    let sessions: Vec<Option<Judgement>> = runs.iter().map(|run| Judgement::of(run)).collect();
    for (index, run) in runs.iter().enumerate() {
        let letter = if several {
            letter(index)
        } else {
            String::new()
        };
        for key in &run.scenario.subjects {
            comparison.subjects.push(Subject {
                run: index,
                key: key.clone(),
                label: if several {
                    format!("{letter}:{key}")
                } else {
                    key.to_string()
                },
                baseline: index == 0 && run.scenario.is_baseline(key),
                locked: Locked::of(run, &key.kernel),
            });
        }
        comparison.runs.push(Run {
            letter,
            run_id: run.run_id.clone(),
            lane: run.scenario.lane(),
            session: sessions[index]
                .as_ref()
                .map(|session| session.facts.clone()),
        });
    }
    for (index, run) in runs.iter().enumerate() {
        // Blocks pair a session's kernels with its own baseline, which is everybody's for the first run.
        let session = sessions[index].as_ref().filter(|_| index == 0);
        for cell in &run.cells {
            let of = |s: &Subject| s.run == index && s.key == cell.key.subject;
            // A cell of a subject that its own scenario does not name cannot be labelled.
            if let Some(subject) = comparison.subjects.iter().position(of) {
                let is_baseline = comparison.subjects[subject].baseline;
                comparison
                    .cells
                    .push(beside(runs, (run, session), cell, subject, is_baseline));
            }
        }
    }
    if several && !comparison.answers() {
        let note = "no cell of the other runs can be compared with A's: see the verdicts for why";
        comparison.notes.push(note.into());
    }
    comparison
}

/// `A` to `Z`, then numbers.
fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(i) if i < 26 => char::from(b'A' + i).to_string(),
        _ => (index + 1).to_string(),
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

fn notes(runs: &[&Results]) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(first) = runs.first() else {
        return notes;
    };
    for (index, run) in runs.iter().enumerate().skip(1) {
        let (a, b) = (letter(0), letter(index));
        if run.scenario.lane() != first.scenario.lane() {
            notes.push(format!(
                "{a} and {b} are from different lanes ({} and {}): ratios between them are \
                 meaningless",
                first.scenario.lane(),
                run.scenario.lane()
            ));
        } else {
            notes.extend(differing(first, run, [&a, &b]));
            notes.extend(besides_the_kernel(first, run, [&a, &b]));
        }
    }
    notes
}

fn beside(
    runs: &[&Results],
    (run, session): (&Results, Option<&Judgement>),
    cell: &CellResult,
    subject: usize,
    is_baseline: bool,
) -> Cell {
    let failed = failure(&cell.outcome);
    let figures = figures(&cell.outcome);
    let against = if is_baseline {
        BTreeMap::new()
    } else {
        let baseline = runs.first().and_then(|first| {
            let base = first.cells.iter().find(|c| {
                first.scenario.is_baseline(&c.key.subject)
                    && c.key.filesystem == cell.key.filesystem
                    && c.key.workload == cell.key.workload
            });
            base.map(|base| (*first, base))
        });
        let against = all_against(run, cell, failed.as_ref(), &figures, baseline);
        match session.and_then(|session| session.against(&cell.key)) {
            // Both were measured: what the blocks say, and the ratio of medians where they say nothing.
            Some(judged) if against.values().any(|against| against.ratio.is_some()) => {
                let with_ratio = |(metric, judged): (&Metric, &Against)| {
                    let ratio = judged.ratio.or(against.get(metric).and_then(|a| a.ratio));
                    let judged = judged.clone();
                    (*metric, Against { ratio, ..judged })
                };
                judged.iter().map(with_ratio).collect()
            }
            _ => against,
        }
    };
    Cell {
        subject,
        key: cell.key.clone(),
        origin: cell.origin,
        inputs: cell.inputs,
        failure: failed,
        figures,
        against,
        doubt: match session {
            _ if cell.key.lane.is_exact() => None,
            Some(session) => session.facts.gate.forbids(),
            None => Some(NOISE.to_owned()),
        },
    }
}

fn figures(outcome: &Outcome) -> BTreeMap<Metric, Figure> {
    match outcome {
        Outcome::Measured(measured) => METRICS
            .iter()
            .filter_map(|m| Some((*m, figure(measured, *m)?)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn all_against(
    run: &Results,
    cell: &CellResult,
    failed: Option<&Unmeasured>,
    figures: &BTreeMap<Metric, Figure>,
    baseline: Option<(&Results, &CellResult)>,
) -> BTreeMap<Metric, Against> {
    let Some((base_run, base_cell)) = baseline else {
        return without_ratio(Verdict::Incomparable {
            why: "the baseline has no such cell".into(),
        });
    };
    if let Some(why) = different(run, cell, base_run, base_cell) {
        return without_ratio(Verdict::Incomparable { why });
    }
    if let Some(verdict) = judge_failures(failed, failure(&base_cell.outcome).as_ref()) {
        return without_ratio(verdict);
    }
    let base_figures = self::figures(&base_cell.outcome);
    let bound = |run: &Results, cell: &CellResult, metric| {
        let measured = cell.outcome.measured();
        measured.map_or(0.0, |m| resolution(run, &cell.key, m, metric))
    };
    let one = |metric: Metric| match (figures.get(&metric), base_figures.get(&metric)) {
        (Some(figure), Some(base)) => {
            let bound = bound(run, cell, metric).max(bound(base_run, base_cell, metric));
            Against {
                ratio: Ratio::of(figure, base, bound),
                verdict: judge(metric, cell.key.lane, bound, figure, base),
                causes: Vec::new(),
            }
        }
        (mine, _) => Against {
            ratio: None,
            verdict: Verdict::Incomparable {
                why: format!(
                    "{} has no such counter",
                    if mine.is_none() {
                        "this kernel"
                    } else {
                        "the baseline"
                    }
                ),
            },
            causes: Vec::new(),
        },
    };
    METRICS.iter().map(|m| (*m, one(*m))).collect()
}

fn without_ratio(verdict: Verdict) -> BTreeMap<Metric, Against> {
    let same = Against {
        ratio: None,
        verdict,
        causes: Vec::new(),
    };
    METRICS.iter().map(|m| (*m, same.clone())).collect()
}

/// Why two cells are not two measurements of the same thing, if they are not. Rows of one run differ in
/// what its variants say; cells of two runs may differ in one key, which then is what is compared.
fn different(a: &Results, cell: &CellResult, b: &Results, base: &CellResult) -> Option<String> {
    if cell.key.lane != base.key.lane {
        return Some(format!(
            "different lanes: {} and {}",
            cell.key.lane, base.key.lane
        ));
    }
    if std::ptr::eq(a, b) {
        return None;
    }
    let (filesystem, workload) = (&cell.key.filesystem, &cell.key.workload);
    let (own, other) = (
        a.scenario.of(&cell.key.subject),
        b.scenario.of(&base.key.subject),
    );
    let job = |s: &Scenario| s.workloads.iter().find(|w| w.name == *workload).cloned();
    // fio's job file decides as much as what it amounts to.
    let fio = |s: &Scenario| job(s).and_then(|workload| workload.fio);
    if fio(&own) != fio(&other) {
        return Some(format!("a different job named {workload}"));
    }
    let keys = decisive(&other, &own, (filesystem, workload));
    let parts = [
        (own.device == other.device, "another device".to_owned()),
        (
            spec(&own, filesystem) == spec(&other, filesystem),
            format!("a different file system named {filesystem}"),
        ),
        (
            job(&own).map(|w| w.job) == job(&other).map(|w| w.job),
            format!("a different job named {workload}"),
        ),
    ];
    let parts: Vec<String> = (parts.into_iter())
        .filter_map(|(same, what)| (!same).then_some(what))
        .collect();
    if parts.is_empty() || keys.len() == 1 {
        return None;
    }
    let keys: Vec<String> = keys.iter().map(Difference::to_string).collect();
    Some(format!("{}: {}", parts.join(", "), keys.join(", ")))
}

fn spec<'a>(scenario: &'a Scenario, filesystem: &str) -> Option<&'a FilesystemSpec> {
    let mut specs = scenario.filesystems.iter();
    specs.find(|spec| spec.name == filesystem)
}

#[cfg(test)]
mod tests;
