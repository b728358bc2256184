//! What a session of the metal lane says: its samples as series of blocks, judged together.

use super::{Against, Figure, METRICS, Ratio, figure};
use crate::{
    metal::{self, Calibration, Cause, Cost, Costs, Estimate, Gate, Series, Tested},
    record::{CellResult, Results, Sample, Session},
    scenario::{CellKey, MOST_BLOCKS, Metric, SubjectKey},
    vocabulary::{Better, Verdict},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is to be known of a session besides its cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionFacts {
    /// Blocks that were planned.
    pub blocks: u32,
    /// What decides the order of boots.
    pub seed: u64,
    /// Boots that measured.
    pub measured: usize,
    /// Boots that were planned.
    pub planned: usize,
    /// Whether its figures may be believed.
    pub gate: Gate,
    /// File system and workload of each series in which the baseline differs from itself.
    pub differ: Vec<String>,
    /// How many cells were tested.
    pub tested: Tested,
}

/// A judged session.
pub(super) struct Judgement {
    pub(super) facts: SessionFacts,
    /// Of each series: `FILESYSTEM/WORKLOAD`.
    names: Vec<String>,
    judged: metal::Session,
    against: BTreeMap<CellKey, BTreeMap<Metric, Against>>,
}

/// Why a cost is not judged by itself.
const A_COST: &str = "a cost is not tested by itself: it explains what the rate did";

/// One file system and workload.
struct Test<'a> {
    filesystem: &'a str,
    workload: &'a str,
}

/// What a calibration's session found, with the names of its series (`FILESYSTEM/WORKLOAD`); `None` where
/// the run is no session.
#[must_use]
pub fn calibration(run: &Results) -> Option<(Vec<String>, Calibration)> {
    let Judgement { names, judged, .. } = Judgement::of(run)?;
    Some((names, Calibration::of(&judged)))
}

/// The subjects that are not the baseline.
fn others(run: &Results) -> Vec<&SubjectKey> {
    let subjects = run.scenario.subjects.iter();
    subjects
        .filter(|subject| !run.scenario.is_baseline(subject))
        .collect()
}

impl<'a> Test<'a> {
    /// All of a run's, in its order.
    fn all(run: &'a Results) -> Vec<Test<'a>> {
        let scenario = &run.scenario;
        let of = |filesystem: &'a str| {
            scenario.workloads.iter().map(move |workload| Test {
                filesystem,
                workload: &workload.name,
            })
        };
        let filesystems = scenario.filesystems.iter();
        filesystems.flat_map(|fs| of(&fs.name)).collect()
    }
}

impl Judgement {
    /// Of a run that is a session; `None` for another.
    pub(super) fn of(run: &Results) -> Option<Judgement> {
        let session = run.session.as_ref()?;
        let scenario = &run.scenario;
        let (others, tests) = (others(run), Test::all(run));
        let blocks = Blocks { run, session };
        let series: Vec<Series> = tests
            .iter()
            .map(|test| blocks.series(test, &others))
            .collect();
        let judged = metal::judge(&series);
        let mut against = BTreeMap::new();
        for (test, series) in tests.iter().zip(&judged.series) {
            for (kernel, cell) in others.iter().zip(&series.kernels) {
                let minimum = series.minimum_effect.unwrap_or(metal::MINIMUM_EFFECT);
                let costs = blocks.costs(test, kernel);
                let causes = metal::causes(&cell.verdict, &costs, minimum);
                let all = METRICS.iter().map(|metric| {
                    let one = match metric {
                        Metric::Iops => rate(cell.estimate, minimum, &cell.verdict, &causes),
                        // The same I/Os, by their bytes: no test of its own.
                        Metric::TotalIo => {
                            let estimate = blocks.estimate(test, kernel, *metric);
                            rate(estimate, minimum, &cell.verdict, &causes)
                        }
                        _ => blocks.cost(test, kernel, *metric),
                    };
                    (*metric, one)
                });
                against.insert(blocks.key(test, kernel), all.collect());
            }
        }
        let names: Vec<String> = tests
            .iter()
            .map(|test| format!("{}/{}", test.filesystem, test.workload))
            .collect();
        let differ = match &judged.gate {
            Gate::Invalid { differ, .. } => differ.iter().map(|at| names[*at].clone()).collect(),
            _ => Vec::new(),
        };
        // The baseline twice, but in a single block; what cannot run, never.
        let arms = |cell: &CellResult| match (cell.inputs, scenario.is_baseline(&cell.key.subject))
        {
            (None, _) => 0,
            (Some(_), true) if session.blocks > 1 => 2,
            (Some(_), _) => 1,
        };
        Some(Judgement {
            facts: SessionFacts {
                blocks: session.blocks,
                seed: session.seed,
                measured: session
                    .samples
                    .iter()
                    .filter(|s| s.outcome.measured().is_some())
                    .count(),
                planned: run
                    .cells
                    .iter()
                    .map(arms)
                    .sum::<usize>()
                    .saturating_mul(session.blocks as usize),
                gate: judged.gate.clone(),
                differ,
                tested: judged.tested,
            },
            names,
            judged,
            against,
        })
    }

    /// What may be concluded about a cell.
    pub(super) fn against(&self, key: &CellKey) -> Option<&BTreeMap<Metric, Against>> {
        self.against.get(key)
    }
}

/// A rate's ratio with its interval, and what was concluded from it.
fn rate(estimate: Option<Estimate>, minimum: f64, verdict: &Verdict, causes: &[Cause]) -> Against {
    Against {
        ratio: estimate.map(|estimate| Ratio {
            value: estimate.ratio,
            low: estimate.low,
            high: estimate.high,
            within_noise: estimate.low <= 1.0 && 1.0 <= estimate.high,
            resolution: minimum,
        }),
        verdict: verdict.clone(),
        causes: causes.to_vec(),
    }
}

/// The samples of a session, by block.
struct Blocks<'a> {
    run: &'a Results,
    session: &'a Session,
}

impl Blocks<'_> {
    fn key(&self, test: &Test<'_>, subject: &SubjectKey) -> CellKey {
        CellKey {
            subject: subject.clone(),
            filesystem: test.filesystem.to_owned(),
            workload: test.workload.to_owned(),
            lane: self.run.scenario.lane(),
        }
    }

    /// The baseline; where the scenario has none of that name, one that nothing was measured of.
    fn baseline(&self) -> SubjectKey {
        let scenario = &self.run.scenario;
        let mut subjects = scenario.subjects.iter();
        let found = subjects.find(|subject| scenario.is_baseline(subject));
        found
            .cloned()
            .unwrap_or_else(|| SubjectKey::of_kernel(&scenario.baseline))
    }

    /// One arm's figure in every block; `None` where it has none.
    fn arm(
        &self,
        test: &Test<'_>,
        kernel: &SubjectKey,
        second: bool,
        metric: Metric,
    ) -> Vec<Option<f64>> {
        let mut blocks = vec![None; self.session.blocks.min(MOST_BLOCKS) as usize];
        let key = self.key(test, kernel);
        let of = |sample: &&Sample| sample.key == key && sample.at.second == second;
        for sample in self.session.samples.iter().filter(of) {
            let measured = sample.outcome.measured();
            let figure = measured.and_then(|measured| figure(measured, metric));
            if let Some(block) = blocks.get_mut(sample.at.block as usize) {
                *block = figure.map(|figure| figure.median);
            }
        }
        blocks
    }

    /// A, A' and a kernel.
    fn arms(&self, test: &Test<'_>, kernel: &SubjectKey, metric: Metric) -> [Vec<Option<f64>>; 3] {
        let baseline = &self.baseline();
        [
            self.arm(test, baseline, false, metric),
            self.arm(test, baseline, true, metric),
            self.arm(test, kernel, false, metric),
        ]
    }

    fn series(&self, test: &Test<'_>, others: &[&SubjectKey]) -> Series {
        let baseline = &self.baseline();
        let arm = |kernel: &SubjectKey, second| self.arm(test, kernel, second, Metric::Iops);
        Series {
            primary: self.is_primary(test),
            better: Better::Higher,
            a: arm(baseline, false),
            a_prime: arm(baseline, true),
            kernels: others.iter().map(|kernel| arm(kernel, false)).collect(),
        }
    }

    /// Whether the session was planned for it: a claim that makes the scenario's point is about its
    /// rate. Where no claim is, all are.
    fn is_primary(&self, test: &Test<'_>) -> bool {
        let mut about_rates = self
            .run
            .scenario
            .expect
            .iter()
            .filter(|e| {
                e.point && e.is_to_baseline() && matches!(e.metric, Metric::Iops | Metric::TotalIo)
            })
            .peekable();
        let names =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        about_rates.peek().is_none()
            || about_rates.any(|e| {
                names(&e.filesystems, test.filesystem) && names(&e.workloads, test.workload)
            })
    }

    fn estimate(&self, test: &Test<'_>, kernel: &SubjectKey, metric: Metric) -> Option<Estimate> {
        let [a, a_prime, kernel] = self.arms(test, kernel, metric);
        Estimate::of(&metal::log_ratios(&kernel, &a, &a_prime)).ok()
    }

    fn costs(&self, test: &Test<'_>, kernel: &SubjectKey) -> Costs {
        let cost = |metric| {
            let [a, a_prime, kernel] = self.arms(test, kernel, metric);
            Cost::of(&kernel, &a, &a_prime)
        };
        Costs {
            context_switches: cost(Metric::ContextSwitchesPerIo),
            queued_work: cost(Metric::KworkerRunsPerIo),
            cpu_time: cost(Metric::BusyPerIo),
        }
    }

    /// A cost beside the baseline's: the ratio of medians over blocks, and no verdict.
    fn cost(&self, test: &Test<'_>, kernel: &SubjectKey, metric: Metric) -> Against {
        let [a, a_prime, kernel] = self.arms(test, kernel, metric);
        let figure = |blocks: Vec<Option<f64>>| Figure::of(blocks.into_iter().flatten().collect());
        let baseline = figure([a, a_prime].concat());
        let ratio = figure(kernel)
            .zip(baseline)
            .and_then(|(kernel, baseline)| Ratio::of(&kernel, &baseline, metal::MINIMUM_EFFECT));
        Against {
            ratio,
            verdict: Verdict::Inconclusive { why: A_COST.into() },
            causes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
