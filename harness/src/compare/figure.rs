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
        .enumerate()
        .map(|(i, repetition)| value(repetition, Counted::of(measured, i), metric));
    Figure::of(values.collect::<Option<_>>()?)
}

/// Nanoseconds of a second.
const SECOND: u128 = 1_000_000_000;

/// Instructions of one repetition, where they were counted.
#[derive(Clone, Copy)]
struct Counted {
    /// All of its span.
    executed: Option<u64>,
    /// What the drive model's work cost an I/O, as (instructions, I/Os): in the first repetition, and
    /// for every one, since each I/O moves as much.
    drive: Option<(u64, u64)>,
}

impl Counted {
    fn of(measured: &Measured, repetition: usize) -> Counted {
        let counted = measured.instructions.as_ref();
        Counted {
            executed: counted.and_then(|i| i.executed.get(repetition).copied()),
            drive: counted
                .and_then(|i| i.drive)
                .filter(|d| d.ios > 0)
                .map(|d| (d.instructions, d.ios)),
        }
    }

    /// The drive model's instructions in a span of so many I/Os.
    fn drive_of(&self, ios: u64) -> Option<u64> {
        let (instructions, of) = self.drive?;
        let all = u128::from(instructions) * u128::from(ios) / u128::from(of);
        u64::try_from(all).ok()
    }
}

/// A repetition's value. Rates are taken over the window, costs over the span (see
/// [`Repetition`]). Numerator and denominator stay integers until the one division.
fn value(r: &Repetition, counted: Counted, metric: Metric) -> Option<f64> {
    let per_io = |counter: u64| quotient(counter.into(), r.span_ios);
    // Counted by the VMM; else by the kernel, where it can.
    let busy = counted.executed.or(r.busy_ns);
    match metric {
        Metric::Iops => quotient(u128::from(r.ios) * SECOND, r.window_ns),
        Metric::TotalIo => quotient(u128::from(r.bytes) * SECOND, r.window_ns),
        Metric::PathLength => per_io(busy?.checked_sub(counted.drive_of(r.span_ios)?)?),
        Metric::ContextSwitchesPerIo => per_io(r.context_switches),
        Metric::InterruptsPerIo => per_io(r.interrupts),
        Metric::BusyPerIo => per_io(busy?),
        Metric::UserPerIo => per_io(r.user_ns),
        // User time above busy time would be a contradiction between two clocks, not a figure.
        Metric::SystemPerIo => {
            let drive = counted.drive_of(r.span_ios).unwrap_or(0);
            per_io(busy?.checked_sub(r.user_ns)?.checked_sub(drive)?)
        }
        Metric::DrivePerIo => {
            let (instructions, ios) = counted.drive?;
            quotient(instructions.into(), ios)
        }
        Metric::KworkerRunsPerIo => per_io(r.kworker_runs?),
    }
}

fn quotient(numerator: u128, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::fixture,
        record::{DriveWork, Instructions},
    };

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
        measured.instructions = None;
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
    fn counted_instructions_take_the_drive_out_and_the_place_of_the_kernels_busy_time() {
        let mut measured = fixture::measured(10_000.0, 4096);
        measured.guest.repetitions.truncate(1);
        measured.instructions = Some(Instructions {
            executed: vec![12_500_000],
            drive: Some(DriveWork {
                ios: 400,
                instructions: 600_000,
            }),
        });
        let r = &mut measured.guest.repetitions[0];
        (r.span_ios, r.user_ns, r.busy_ns) = (1250, 250_000, None);
        let get = |metric| figure(&measured, metric).unwrap().median;
        assert_eq!(get(Metric::BusyPerIo), 10_000.0);
        assert_eq!(get(Metric::DrivePerIo), 1_500.0);
        assert_eq!(get(Metric::PathLength), 8_500.0);
        assert_eq!(get(Metric::UserPerIo), 200.0);
        assert_eq!(get(Metric::SystemPerIo), 8_300.0);
    }

    #[test]
    fn without_names_for_its_functions_there_is_no_drive_and_no_path_length() {
        let mut measured = fixture::measured(10_000.0, 4096);
        if let Some(counted) = &mut measured.instructions {
            counted.drive = None;
        }
        assert_eq!(figure(&measured, Metric::DrivePerIo), None);
        assert_eq!(figure(&measured, Metric::PathLength), None);
        assert!(figure(&measured, Metric::BusyPerIo).is_some());
    }

    #[test]
    fn a_counter_absent_from_one_repetition_gives_no_figure_instead_of_zero() {
        let mut measured = fixture::measured(10_000.0, 4096);
        measured.instructions = None;
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
        if let Some(drive) = measured
            .instructions
            .as_mut()
            .and_then(|i| i.drive.as_mut())
        {
            drive.ios = 0;
        }
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
