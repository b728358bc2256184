//! Whether our engines and fio's agree: the same workload through both, side by side.

use super::{Cell, Comparison, Figure};
use crate::scenario::{Metric, Scenario};
use serde::Serialize;
use std::collections::BTreeMap;

/// Figures further apart than this part of fio's want an explanation.
pub const AGREE_WITHIN: f64 = 0.05;

/// What is held against fio's.
pub const COMPARED: [Metric; 4] = [
    Metric::ContextSwitchesPerIo,
    Metric::InterruptsPerIo,
    Metric::KworkerRunsPerIo,
    Metric::Iops,
];

/// User-space instructions per I/O by kernel and workload, counted one by one.
pub type UserInstructions = BTreeMap<(String, String), f64>;

/// One workload on one kernel and file system through our engine and through fio's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnginePair {
    /// The kernel.
    pub kernel: String,
    /// The file system.
    pub filesystem: String,
    /// The workload that our engine runs.
    pub ours: EngineSide,
    /// The same that fio runs.
    pub fio: EngineSide,
    /// Metrics in which they are further apart than [`AGREE_WITHIN`], with the ratio ours / fio's;
    /// `None` where fio's is nothing and ours is not.
    pub apart: BTreeMap<Metric, Option<f64>>,
    /// Ours relative to the baseline, divided by fio's relative to the baseline; absent on the
    /// baseline itself and where a cell has no figure.
    pub effect: Option<f64>,
}

/// One side of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineSide {
    /// The workload's name in the scenario.
    pub workload: String,
    /// The engine, as fio names it.
    pub engine: &'static str,
    /// Whether its cell has figures.
    pub measured: bool,
    /// Medians of [`COMPARED`], where the kernel has the counter.
    pub medians: BTreeMap<Metric, f64>,
    /// IOPS relative to the baseline; absent on the baseline itself.
    pub ratio: Option<f64>,
    /// User-space instructions per I/O, where they were counted.
    pub instructions: Option<f64>,
}

/// The workloads of a scenario that both run: ours and fio's, by name.
#[must_use]
pub fn pairs(scenario: &Scenario) -> Vec<(String, String)> {
    let ours = scenario.workloads.iter().filter(|w| w.fio.is_none());
    ours.filter_map(|ours| {
        let same = (scenario.workloads.iter()).find(|w| w.fio.is_some() && w.job == ours.job)?;
        Some((ours.name.clone(), same.name.clone()))
    })
    .collect()
}

/// Every pair of a run, in the order of file systems, workloads and kernels.
#[must_use]
pub fn agreement(
    scenario: &Scenario,
    comparison: &Comparison,
    instructions: &UserInstructions,
) -> Vec<EnginePair> {
    let mut found = Vec::new();
    for filesystem in &comparison.filesystems {
        for (ours, fio) in pairs(scenario) {
            for (index, subject) in comparison.subjects.iter().enumerate() {
                let side = |workload: &str| {
                    let cell = comparison.cell(index, filesystem, workload);
                    let counted = (subject.key.to_string(), workload.to_owned());
                    side(
                        scenario,
                        workload,
                        cell,
                        instructions.get(&counted).copied(),
                    )
                };
                found.push(EnginePair::new(
                    subject.key.to_string(),
                    filesystem.clone(),
                    side(&ours),
                    side(&fio),
                ));
            }
        }
    }
    found
}

fn side(
    scenario: &Scenario,
    workload: &str,
    cell: Option<&Cell>,
    instructions: Option<f64>,
) -> EngineSide {
    let spec = scenario.workloads.iter().find(|w| w.name == workload);
    let figure = |metric| cell.and_then(|c| c.figures.get(&metric));
    let median = |metric| Some((metric, figure(metric).map(|f: &Figure| f.median)?));
    let ratio = cell.and_then(|c| c.against.get(&Metric::Iops)?.ratio.as_ref());
    EngineSide {
        workload: workload.to_owned(),
        engine: spec.map_or("", |w| w.job.engine.name()),
        measured: cell.is_some_and(|c| c.failure.is_none()),
        medians: COMPARED.into_iter().filter_map(median).collect(),
        ratio: ratio.map(|r| r.value),
        instructions,
    }
}

impl EnginePair {
    fn new(kernel: String, filesystem: String, ours: EngineSide, fio: EngineSide) -> EnginePair {
        let mut apart = BTreeMap::new();
        for metric in COMPARED {
            let (Some(&a), Some(&b)) = (ours.medians.get(&metric), fio.medians.get(&metric)) else {
                continue;
            };
            // A few events of the measurement's own are no disagreement.
            let slack = (AGREE_WITHIN * b.abs()).max(metric.facts().floor);
            if (a - b).abs() > slack {
                apart.insert(metric, (b != 0.0).then(|| a / b));
            }
        }
        let effect = ours.ratio.zip(fio.ratio).map(|(a, b)| a / b);
        EnginePair {
            kernel,
            filesystem,
            ours,
            fio,
            apart,
            effect,
        }
    }

    /// Our user-space instructions relative to fio's.
    #[must_use]
    pub fn instructions(&self) -> Option<f64> {
        let (ours, fio) = (self.ours.instructions?, self.fio.instructions?);
        (fio > 0.0).then(|| ours / fio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(ctx: f64, iops: f64, ratio: Option<f64>) -> EngineSide {
        EngineSide {
            workload: "w".into(),
            engine: "libaio",
            measured: true,
            medians: BTreeMap::from([(Metric::ContextSwitchesPerIo, ctx), (Metric::Iops, iops)]),
            ratio,
            instructions: None,
        }
    }

    fn pair(ours: EngineSide, fio: EngineSide) -> EnginePair {
        EnginePair::new("6.12".into(), "ext4".into(), ours, fio)
    }

    #[test]
    fn figures_agree_within_a_twentieth_of_fios() {
        let agreed = pair(side(2.0, 1049.0, None), side(1.95, 1000.0, None));
        assert!(agreed.apart.is_empty(), "{agreed:?}");
        let apart = pair(side(2.0, 1051.0, None), side(1.0, 1000.0, None)).apart;
        assert_eq!(apart[&Metric::ContextSwitchesPerIo], Some(2.0));
        assert_eq!(apart[&Metric::Iops], Some(1.051));
    }

    #[test]
    fn a_few_events_of_the_measurement_are_no_disagreement() {
        assert!(
            pair(side(0.009, 1.0, None), side(0.0, 1.0, None))
                .apart
                .is_empty()
        );
        let apart = pair(side(0.02, 1.0, None), side(0.0, 1.0, None)).apart;
        assert_eq!(apart[&Metric::ContextSwitchesPerIo], None);
    }

    #[test]
    fn the_effect_is_the_ratio_of_ratios_and_costs_are_relative_to_fio() {
        let mut p = pair(side(0.0, 1.0, Some(0.6)), side(0.0, 1.0, Some(0.8)));
        assert!((p.effect.unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(p.instructions(), None);
        (p.ours.instructions, p.fio.instructions) = (Some(300.0), Some(6000.0));
        assert_eq!(p.instructions(), Some(0.05));
    }
}
