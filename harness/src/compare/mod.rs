//! Comparison of measured cells (pure): figures, ratios to the baseline, verdicts, and whether a
//! scenario's expectations held.

pub mod agreement;
mod alarm;
mod cells;
mod diff;
mod distance;
mod expect;
mod figure;
#[cfg(test)]
pub(crate) mod fixture;
mod lanes;
mod leaves;
mod metric;
mod others;
mod outcome;
mod resolution;
mod session;
mod verdict;

pub use alarm::{Alarm, Sighting, alarms, differences, memory_compared};
pub use cells::{Against, Cell, Comparison, Locked, Run, Subject, compare};
pub use diff::{CellDiff, Diff, Equal};
pub use distance::{Distance, distance};
pub use expect::{Claim, Held, Reproduction, Tested, claims, reproduction};
pub use figure::{Figure, figure};
pub use lanes::{BothLanes, InBoth, Side, Together, both_lanes};
pub use leaves::{Leaf, Leaves};
pub use metric::{METRICS, MetricFacts};
pub use outcome::{Blame, Unmeasured, failure};
pub use session::{SessionFacts, calibration};
pub use verdict::{RESOLUTION, Ratio};

pub use crate::vocabulary::{Better, Verdict};
