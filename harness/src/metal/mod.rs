//! Statistics of the metal lane (pure): real drives and a real clock, so the noise is real.
//!
//! A session is a fixed number of blocks. In each block every kernel is booted and measured once, in
//! random order, and the baseline twice (arms A and A'). [`order`] says in which order, [`judge`] what
//! may be concluded. METHODOLOGY.md, "Statistics of the metal lane", has the reasons and how often
//! each answer is wrong.

mod calibration;
mod cause;
mod design;
mod estimate;
mod gate;
mod multiple;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod verdict;

pub use calibration::{Calibration, Found};
pub use cause::{Cause, Cost, Costs, causes};
pub use design::{Arm, BLOCKS, order};
pub use estimate::{Estimate, LogRatios, MINIMUM_BLOCKS, NoEstimate, log_ratios};
pub use gate::{GATE_FLOOR, GATE_SIGNIFICANCE, Gate};
pub use multiple::{benjamini_hochberg, holm};
pub use verdict::{
    Cell, FALSE_DISCOVERIES, Judged, LARGEST_SAME, MINIMUM_EFFECT, SIGNIFICANCE, Series, Session,
    Tested, judge,
};
