//! Whether a session may be believed at all: the baseline against itself.

use super::{
    estimate::{Estimate, relative},
    multiple::holm,
};
use crate::text::counted;
use serde::{Deserialize, Serialize};

/// Probability that a session in which nothing is wrong is invalidated, at most. Small, because a
/// session costs hours, and because what the gate misses still raises the minimum effect of its cells.
pub const GATE_SIGNIFICANCE: f64 = 0.001;

/// Least relative difference of A and A' that invalidates a session: half the least effect that a
/// verdict may claim. A smaller one, even if it is certain, cannot turn into a claim by itself.
pub const GATE_FLOOR: f64 = 0.01;

/// What A against A' says about a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Gate {
    /// No difference between A and A' is more than chance, or more than [`GATE_FLOOR`].
    Passed {
        /// Series that were tested.
        tested: usize,
    },
    /// The baseline differs from itself: something besides the kernel decides the figures.
    Invalid {
        /// Series that were tested.
        tested: usize,
        /// Indices of those that differ.
        differ: Vec<usize>,
    },
    /// No series has enough blocks with both arms.
    Untested,
}

impl Gate {
    /// Decides on the estimates of A / A' of all series, `None` where there is none.
    ///
    /// A session is invalid if, for any series, Student's t-test of ln(A / A') over the blocks
    /// rejects at [`GATE_SIGNIFICANCE`] after Holm's correction for the number of series, *and* the
    /// mean ratio is at least [`GATE_FLOOR`] away from 1. Without the second condition a long session
    /// on a quiet machine would be thrown away for a difference that nobody cares about. The
    /// condition can only make the gate quieter, so the significance bounds its false alarms.
    ///
    /// Noise that is large but random passes: it widens the interval and raises the minimum effect of
    /// its own cells, and is no reason to throw the others away.
    #[must_use]
    pub fn of(baseline: &[Option<Estimate>]) -> Gate {
        let tested: Vec<(usize, &Estimate)> = baseline
            .iter()
            .enumerate()
            .filter_map(|(series, estimate)| Some((series, estimate.as_ref()?)))
            .collect();
        if tested.is_empty() {
            return Gate::Untested;
        }
        let adjusted = holm(&tested.iter().map(|(_, aa)| aa.p).collect::<Vec<_>>());
        let differ: Vec<usize> = tested
            .iter()
            .zip(adjusted)
            .filter(|((_, aa), p)| *p <= GATE_SIGNIFICANCE && relative(aa.ratio) >= GATE_FLOOR)
            .map(|((series, _), _)| *series)
            .collect();
        let tested = tested.len();
        if differ.is_empty() {
            Gate::Passed { tested }
        } else {
            Gate::Invalid { tested, differ }
        }
    }

    /// Why no verdict may rest on the session; `None` if it may.
    #[must_use]
    pub fn forbids(&self) -> Option<String> {
        match self {
            Gate::Passed { .. } => None,
            Gate::Invalid { tested, differ } => Some(format!(
                "the session is invalid: the baseline differs from itself in {} of {}",
                differ.len(),
                counted(*tested, "comparison")
            )),
            Gate::Untested => {
                Some("the baseline was not measured twice in enough blocks".to_owned())
            }
        }
    }
}
