//! What each [`Metric`] is: its name, its unit and which direction is better, as data.

use crate::{scenario::Metric, vocabulary::Better};

/// What a reader must know of a metric besides its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricFacts {
    /// As scenarios and CSV files name it.
    pub name: &'static str,
    /// As a table's heading names it.
    pub title: &'static str,
    /// As a narrow column's heading names it.
    pub short: &'static str,
    /// Unit of its value under any clock.
    pub unit: &'static str,
    /// The better direction.
    pub better: Better,
    /// Decimals that a table shows.
    pub decimals: usize,
    /// Smallest absolute difference that means anything, in the unit: a few events of the span
    /// (a timer tick, the measuring thread itself) are not a cost of an I/O.
    pub floor: f64,
}

/// Every metric, in the order in which long forms list them.
pub const METRICS: [Metric; 10] = [
    Metric::Iops,
    Metric::TotalIo,
    Metric::PathLength,
    Metric::ContextSwitchesPerIo,
    Metric::InterruptsPerIo,
    Metric::BusyPerIo,
    Metric::UserPerIo,
    Metric::SystemPerIo,
    Metric::DrivePerIo,
    Metric::KworkerRunsPerIo,
];

/// Unit of counted events.
const EVENTS: &str = "1/IO";

impl Metric {
    /// Name, unit and direction.
    #[must_use]
    pub fn facts(self) -> MetricFacts {
        let (name, title, short, unit, better, decimals) = match self {
            Metric::Iops => ("iops", "IOPS", "IOPS", "1/s", Better::Higher, 0),
            Metric::TotalIo => ("total-io", "TOTAL_IO", "TOTAL_IO", "B/s", Better::Higher, 0),
            Metric::PathLength => (
                "path-length",
                "path length",
                "path",
                "instructions/IO",
                Better::Lower,
                0,
            ),
            Metric::ContextSwitchesPerIo => (
                "context-switches-per-io",
                "context switches per I/O",
                "ctx sw",
                EVENTS,
                Better::Lower,
                2,
            ),
            Metric::InterruptsPerIo => (
                "interrupts-per-io",
                "interrupts per I/O",
                "irqs",
                EVENTS,
                Better::Lower,
                2,
            ),
            Metric::BusyPerIo => (
                "busy-per-io",
                "busy CPU time per I/O",
                "busy",
                "ns/IO",
                Better::Lower,
                0,
            ),
            Metric::UserPerIo => (
                "user-per-io",
                "engine's user CPU time per I/O",
                "user",
                "ns/IO",
                Better::Lower,
                0,
            ),
            Metric::SystemPerIo => (
                "system-per-io",
                "kernel's CPU time per I/O",
                "system",
                "ns/IO",
                Better::Lower,
                0,
            ),
            Metric::DrivePerIo => (
                "drive-per-io",
                "drive model's data movement per I/O",
                "drive",
                "ns/IO",
                Better::Lower,
                0,
            ),
            Metric::KworkerRunsPerIo => (
                "kworker-runs-per-io",
                "kworker runs per I/O",
                "kworker",
                EVENTS,
                Better::Lower,
                2,
            ),
        };
        MetricFacts {
            name,
            title,
            short,
            unit,
            better,
            decimals,
            floor: if unit == EVENTS { 0.01 } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_scenarios_and_records_use() {
        for metric in METRICS {
            let written = serde_json::to_value(metric).unwrap();
            assert_eq!(written, metric.facts().name);
        }
    }
}
