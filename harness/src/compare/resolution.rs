//! The least difference that is called one, for a figure that is known to wander (pure).

use super::{RESOLUTION, figure};
use crate::{
    record::{Measured, Results},
    scenario::{CellKey, Metric},
};
use diorama_wire::BANDWIDTH_PERIOD_NS;

/// A drive whose rate is at least this part of its modelled bandwidth bounds the rate.
const BOUND: f64 = 0.9;

/// The least relative difference that is called a difference in a cell's figure.
///
/// It is [`RESOLUTION`], but for rates by fio that the drive's bandwidth bounds. fio begins its
/// window anywhere in the period in which null_blk grants bandwidth, so a window holds one period's
/// worth more or less: the bound is one period by the window. (Our own engines begin at a refill and
/// measure whole periods.)
pub(super) fn resolution(run: &Results, key: &CellKey, measured: &Measured, metric: Metric) -> f64 {
    if !matches!(metric, Metric::Iops | Metric::TotalIo) {
        return RESOLUTION;
    }
    let by_fio = |w: &&crate::scenario::WorkloadSpec| w.name == key.workload && w.fio.is_some();
    let scenario = run.scenario.of(&key.subject);
    let bandwidth = scenario.device.model().and_then(|m| m.bandwidth_mib_s);
    let (Some(_), Some(bandwidth)) = (scenario.workloads.iter().find(by_fio), bandwidth) else {
        return RESOLUTION;
    };
    let bandwidth = f64::from(bandwidth) * f64::from(1 << 20);
    let bound = figure(measured, Metric::TotalIo).is_some_and(|f| f.max >= BOUND * bandwidth);
    let windows = measured.guest.repetitions.iter().map(|r| r.window_ns);
    match windows.min() {
        Some(shortest) if bound && shortest > 0 => {
            (BANDWIDTH_PERIOD_NS as f64 / shortest as f64).max(RESOLUTION)
        }
        _ => RESOLUTION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::fixture, record::Outcome};
    use diorama_wire::Fio;

    fn of(results: &Results, workload: &str, metric: Metric) -> f64 {
        let cell = results.cells.iter().find(|c| c.key.workload == workload);
        let cell = cell.unwrap();
        let Outcome::Measured(measured) = &cell.outcome else {
            panic!("{cell:?}");
        };
        resolution(results, &cell.key, measured, metric)
    }

    #[test]
    fn only_rates_by_fio_at_the_drives_bandwidth_have_a_wider_bound() {
        let mut results = fixture::results();
        assert_eq!(of(&results, "read-16k", Metric::Iops), RESOLUTION);
        for workload in &mut results.scenario.workloads {
            workload.fio = Some(Fio {
                jobs: String::new(),
                files: Vec::new(),
            });
        }
        // One of the ten periods that 200 ms hold.
        assert!((of(&results, "read-16k", Metric::Iops) - 0.1).abs() < 1e-9);
        assert!((of(&results, "write-16k", Metric::TotalIo) - 0.1).abs() < 1e-9);
        assert_eq!(of(&results, "read-4k", Metric::Iops), RESOLUTION);
        assert_eq!(of(&results, "read-16k", Metric::BusyPerIo), RESOLUTION);
        fixture::model(&mut results.scenario).bandwidth_mib_s = None;
        assert_eq!(of(&results, "read-16k", Metric::Iops), RESOLUTION);
    }
}
