//! Every cell of one or several runs beside its baseline.

use super::{
    Failure, Figure, METRICS, Ratio, Verdict, failure, figure,
    verdict::{judge, judge_failures},
};
use crate::{
    digest::Sha256,
    record::{CellResult, Origin, Outcome, Results},
    scenario::{CellKey, Lane, Metric},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// One or several runs, compared with one baseline kernel: that of the first run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs, in the order given.
    pub runs: Vec<Run>,
    /// Every kernel of every run, in the runs' order; the rows of tables.
    pub subjects: Vec<Subject>,
    /// File systems of all runs, in order of first appearance.
    pub filesystems: Vec<String>,
    /// Workloads of all runs, in order of first appearance; the columns of tables.
    pub workloads: Vec<String>,
    /// Every cell, in the runs' and their plans' order.
    pub cells: Vec<Cell>,
    /// What the reader of a comparison of several runs must know.
    pub notes: Vec<String>,
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
}

/// A kernel of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Index into [`Comparison::runs`].
    pub run: usize,
    /// Its name in its scenario.
    pub kernel: String,
    /// What tables show: the name, with the run's letter before it where there are several runs.
    pub label: String,
    /// Whether everything is compared with it.
    pub baseline: bool,
    /// Whether it is the kernel that the lock names.
    pub as_locked: bool,
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
    pub failure: Option<Failure>,
    /// What it measured. A metric whose counter the kernel lacks is absent.
    pub figures: BTreeMap<Metric, Figure>,
    /// Against the baseline on the same file system and workload; empty for the baseline itself.
    pub against: BTreeMap<Metric, Against>,
}

/// A figure against the baseline's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// The ratio, where both were measured, in the same lane, doing the same job.
    pub ratio: Option<Ratio>,
    /// What may be concluded.
    pub verdict: Verdict,
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
    };
    for (index, run) in runs.iter().enumerate() {
        let letter = if several {
            letter(index)
        } else {
            String::new()
        };
        for kernel in &run.scenario.kernels {
            let record = run.kernels.iter().find(|k| k.name == kernel.name);
            comparison.subjects.push(Subject {
                run: index,
                kernel: kernel.name.clone(),
                label: if several {
                    format!("{letter}:{}", kernel.name)
                } else {
                    kernel.name.clone()
                },
                baseline: index == 0 && kernel.name == run.scenario.baseline,
                as_locked: record.is_none_or(|k| k.as_locked),
            });
        }
        comparison.runs.push(Run {
            letter,
            run_id: run.run_id.clone(),
            lane: run.scenario.lane,
        });
    }
    for (index, run) in runs.iter().enumerate() {
        for cell in &run.cells {
            let of = |s: &Subject| s.run == index && s.kernel == cell.key.kernel;
            // A cell of a kernel that its own scenario does not name cannot be labelled.
            if let Some(subject) = comparison.subjects.iter().position(of) {
                let is_baseline = comparison.subjects[subject].baseline;
                comparison
                    .cells
                    .push(beside(runs, run, cell, subject, is_baseline));
            }
        }
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
        if run.scenario.lane != first.scenario.lane {
            notes.push(format!(
                "{a} and {b} are of different lanes ({} against {}): no ratio between them means anything",
                first.scenario.lane, run.scenario.lane
            ));
        } else if run.vmm.digest != first.vmm.digest {
            notes.push(format!(
                "{a} and {b} ran under different VMMs ({} against {}): digits may differ for that alone",
                first.vmm.version, run.vmm.version
            ));
        }
    }
    notes
}

fn beside(
    runs: &[&Results],
    run: &Results,
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
                c.key.kernel == first.scenario.baseline
                    && c.key.filesystem == cell.key.filesystem
                    && c.key.workload == cell.key.workload
            });
            base.map(|base| (*first, base))
        });
        all_against(run, cell, failed.as_ref(), &figures, baseline)
    };
    Cell {
        subject,
        key: cell.key.clone(),
        origin: cell.origin,
        inputs: cell.inputs,
        failure: failed,
        figures,
        against,
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
    failed: Option<&Failure>,
    figures: &BTreeMap<Metric, Figure>,
    baseline: Option<(&Results, &CellResult)>,
) -> BTreeMap<Metric, Against> {
    let Some((base_run, base)) = baseline else {
        return without_ratio(Verdict::Incomparable {
            why: "the baseline has no such cell".into(),
        });
    };
    if let Some(why) = different(run, cell, base_run, base) {
        return without_ratio(Verdict::Incomparable { why });
    }
    if let Some(verdict) = judge_failures(failed, failure(&base.outcome).as_ref()) {
        return without_ratio(verdict);
    }
    let base_figures = self::figures(&base.outcome);
    let one = |metric: Metric| match (figures.get(&metric), base_figures.get(&metric)) {
        (Some(figure), Some(base)) => Against {
            ratio: Ratio::of(figure, base),
            verdict: judge(metric, cell.key.lane, figure, base),
        },
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
        },
    };
    METRICS.iter().map(|m| (*m, one(*m))).collect()
}

fn without_ratio(verdict: Verdict) -> BTreeMap<Metric, Against> {
    let same = Against {
        ratio: None,
        verdict,
    };
    METRICS.iter().map(|m| (*m, same.clone())).collect()
}

/// Why two cells are not two measurements of the same thing, if they are not.
fn different(a: &Results, cell: &CellResult, b: &Results, base: &CellResult) -> Option<String> {
    if cell.key.lane != base.key.lane {
        return Some(format!(
            "another lane: {} against {}",
            cell.key.lane, base.key.lane
        ));
    }
    let job = |r: &Results, key: &CellKey| {
        let mut specs = r.scenario.workloads.iter();
        specs
            .find(|w| w.name == key.workload)
            .map(|w| w.job.clone())
    };
    if job(a, &cell.key) != job(b, &base.key) {
        return Some(format!("another job named {}", cell.key.workload));
    }
    let made = |r: &Results, key: &CellKey| {
        let mut specs = r.scenario.filesystems.iter();
        specs.find(|f| f.name == key.filesystem).cloned()
    };
    if made(a, &cell.key) != made(b, &base.key) {
        return Some(format!("another file system named {}", cell.key.filesystem));
    }
    (a.scenario.model != b.scenario.model).then(|| "another model device".to_owned())
}

#[cfg(test)]
mod tests;
