//! A cell's figure: the median of its repetitions and their range.

use crate::{record::Measured, scenario::Metric};
use diorama_wire::Repetition;
use serde::{Deserialize, Serialize};

/// Median and range of a metric over a cell's counted repetitions, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The middle value; for an even count, the mean of the two in the middle.
    pub median: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Repetitions.
    pub n: u32,
}

impl Figure {
    /// Of values in any order; `None` for no values at all.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Figure> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Figure {
            // Not (a + b) / 2 for equal values: one exact value stays exactly itself.
            median: below + (above - below) / 2.0,
            min,
            max,
            n: u32::try_from(values.len()).unwrap_or(u32::MAX),
        })
    }

    /// The larger of the two distances from the median to the ends of the range, relative to the
    /// median; `None` for a median of 0.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let distance = (self.max - self.median).max(self.median - self.min);
        (self.median > 0.0).then(|| distance / self.median)
    }

    /// Whether the two ranges `[min, max]` share a value.
    #[must_use]
    pub fn overlaps(&self, other: &Figure) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// The figure of a metric in a measured cell; `None` when any repetition lacks the counter (the
/// kernel does not provide it) or has an empty window, since a median of some repetitions would
/// not be the cell's.
#[must_use]
pub fn figure(measured: &Measured, metric: Metric) -> Option<Figure> {
    let values = measured
        .guest
        .repetitions
        .iter()
        .map(|repetition| value(repetition, metric));
    Figure::of(values.collect::<Option<_>>()?)
}

/// Nanoseconds of a second.
const SECOND: u128 = 1_000_000_000;

/// A repetition's value. Rates are taken over the window, costs over the span (see
/// [`Repetition`]). Numerator and denominator stay integers until the one division.
fn value(r: &Repetition, metric: Metric) -> Option<f64> {
    let per_io = |counter: u64| quotient(counter.into(), r.span_ios);
    match metric {
        Metric::Iops => quotient(u128::from(r.ios) * SECOND, r.window_ns),
        Metric::TotalIo => quotient(u128::from(r.bytes) * SECOND, r.window_ns),
        Metric::ContextSwitchesPerIo => per_io(r.context_switches),
        Metric::InterruptsPerIo => per_io(r.interrupts),
        Metric::BusyPerIo => per_io(r.busy_ns?),
        Metric::UserPerIo => per_io(r.user_ns),
        // User time above busy time would be a contradiction between two clocks, not a figure.
        Metric::SystemPerIo => per_io(r.busy_ns?.checked_sub(r.user_ns)?),
        Metric::KworkerRunsPerIo => per_io(r.kworker_runs?),
    }
}

fn quotient(numerator: u128, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    #[test]
    fn median_and_range_do_not_depend_on_the_order() {
        let sorted = Figure::of(vec![1.0, 2.0, 3.0, 10.0]).unwrap();
        assert_eq!(
            (sorted.median, sorted.min, sorted.max, sorted.n),
            (2.5, 1.0, 10.0, 4)
        );
        for rotated in 0..4 {
            let mut values = vec![10.0, 1.0, 3.0, 2.0];
            values.rotate_left(rotated);
            assert_eq!(Figure::of(values), Some(sorted));
        }
        assert_eq!(Figure::of(vec![]), None);
    }

    #[test]
    fn rates_are_over_the_window_and_costs_over_the_span() {
        let mut measured = fixture::measured(10_000.0, 4096);
        measured.guest.repetitions.truncate(1);
        let r = &mut measured.guest.repetitions[0];
        (r.window_ns, r.ios, r.bytes) = (500_000_000, 1000, 4_096_000);
        (r.span_ns, r.span_ios, r.context_switches) = (600_000_000, 1250, 2500);
        (r.busy_ns, r.user_ns) = (Some(12_500_000), 250_000);
        let get = |metric| figure(&measured, metric).unwrap().median;
        assert_eq!(get(Metric::Iops), 2000.0);
        assert_eq!(get(Metric::TotalIo), 8_192_000.0);
        assert_eq!(get(Metric::ContextSwitchesPerIo), 2.0);
        assert_eq!(get(Metric::BusyPerIo), 10_000.0);
        assert_eq!(get(Metric::UserPerIo), 200.0);
        assert_eq!(get(Metric::SystemPerIo), 9_800.0);
    }

    #[test]
    fn a_counter_absent_from_one_repetition_gives_no_figure_instead_of_zero() {
        let mut measured = fixture::measured(10_000.0, 4096);
        measured.guest.repetitions[3].busy_ns = None;
        measured.guest.repetitions[4].kworker_runs = None;
        assert_eq!(figure(&measured, Metric::BusyPerIo), None);
        assert_eq!(figure(&measured, Metric::SystemPerIo), None);
        assert_eq!(figure(&measured, Metric::KworkerRunsPerIo), None);
        assert!(figure(&measured, Metric::UserPerIo).is_some());
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let mut measured = fixture::measured(10_000.0, 4096);
        measured.guest.repetitions[0].window_ns = 0;
        measured.guest.repetitions[0].span_ios = 0;
        for metric in crate::compare::METRICS {
            assert_eq!(figure(&measured, metric), None, "{metric:?}");
        }
    }

    #[test]
    fn user_time_above_busy_time_is_no_figure() {
        let mut measured = fixture::measured(10_000.0, 4096);
        measured.guest.repetitions[0].user_ns = u64::MAX;
        assert_eq!(figure(&measured, Metric::SystemPerIo), None);
    }
}
