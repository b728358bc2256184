//! Mean log-ratios over blocks, and Student's interval.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::{fmt, sync::OnceLock};

/// Fewest blocks that allow a conclusion. With three degrees of freedom the interval is 3.2 standard
/// errors to each side; with two it would be 4.3, and with one 12.7.
pub const MINIMUM_BLOCKS: usize = 4;

/// Log-ratios of one cell, one for each block that has all of its three figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRatios {
    /// Natural logarithms of figure / baseline.
    pub values: Vec<f64>,
    /// Blocks that lack a figure, or in which one is not a positive number.
    pub dropped: usize,
}

/// The log-ratio of each block: ln(kernel) less the mean of ln(A) and ln(A'). The slices hold one
/// figure per block, `None` where the arm failed; a block that lacks any of the three is dropped.
///
/// Logarithms, because noise and drift of a drive are proportional to its rate, and because swapping
/// kernel and baseline must do no more than change the sign. The mean of both arms, because it has
/// half the variance of one and prefers neither, and because it is uncorrelated with ln(A / A') if the
/// two arms have equal variance: letting the gate look at the one does not bias the other.
#[must_use]
pub fn log_ratios(kernel: &[Option<f64>], a: &[Option<f64>], a_prime: &[Option<f64>]) -> LogRatios {
    let blocks = kernel.len().max(a.len()).max(a_prime.len());
    let of = |block| {
        let (a, a_prime) = (log(a, block)?, log(a_prime, block)?);
        Some(log(kernel, block)? - (a + a_prime) / 2.0)
    };
    collect(blocks, of)
}

/// ln(A / A') of each block that has both.
pub(super) fn log_ratios_of_baseline(a: &[Option<f64>], a_prime: &[Option<f64>]) -> LogRatios {
    collect(a.len().max(a_prime.len()), |block| {
        Some(log(a, block)? - log(a_prime, block)?)
    })
}

fn collect(blocks: usize, of: impl Fn(usize) -> Option<f64>) -> LogRatios {
    let values: Vec<f64> = (0..blocks).filter_map(of).collect();
    let dropped = blocks - values.len();
    LogRatios { values, dropped }
}

fn log(figures: &[Option<f64>], block: usize) -> Option<f64> {
    let figure = figures.get(block).copied().flatten()?;
    (figure.is_finite() && figure > 0.0).then(|| figure.ln())
}

/// A mean ratio with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Blocks that it rests on.
    pub blocks: usize,
    /// Blocks that were dropped.
    pub dropped: usize,
    /// Geometric mean over blocks of figure / baseline; no unit.
    pub ratio: f64,
    /// Lower end of the 95% interval of the ratio.
    pub low: f64,
    /// Upper end of the 95% interval of the ratio.
    pub high: f64,
    /// Two-sided p-value of the hypothesis that the ratio is 1, for this test alone.
    pub p: f64,
}

/// Why there is no estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum NoEstimate {
    /// Fewer than [`MINIMUM_BLOCKS`] blocks have all their figures.
    TooFewBlocks {
        /// Blocks that have them.
        usable: usize,
        /// All blocks of the cell.
        of: usize,
    },
    /// The figures differ by more than a floating-point number can hold.
    OutOfRange,
}

impl fmt::Display for NoEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoEstimate::TooFewBlocks { usable, of } => write!(
                f,
                "{usable} of {of} blocks have all figures, and {MINIMUM_BLOCKS} are needed"
            ),
            NoEstimate::OutOfRange => write!(f, "the figures differ too much for a ratio"),
        }
    }
}

impl Estimate {
    /// The mean of log-ratios, its interval and its p-value by Student's one-sample t ("The probable
    /// error of a mean", 1908), returned to ratios. All fields are finite.
    ///
    /// # Errors
    /// Too few blocks, or a ratio that is too large or too small for a number.
    pub fn of(logs: &LogRatios) -> Result<Estimate, NoEstimate> {
        let blocks = logs.values.len();
        if blocks < MINIMUM_BLOCKS {
            return Err(NoEstimate::TooFewBlocks {
                usable: blocks,
                of: blocks + logs.dropped,
            });
        }
        let mean = Mean::of(&logs.values).ok_or(NoEstimate::OutOfRange)?;
        let estimate = Estimate {
            blocks,
            dropped: logs.dropped,
            ratio: mean.value.exp(),
            low: (mean.value - mean.half).exp(),
            high: (mean.value + mean.half).exp(),
            p: mean.p,
        };
        // So that the inverse of either end is a number, too.
        (estimate.low >= f64::MIN_POSITIVE && estimate.high.is_finite())
            .then_some(estimate)
            .ok_or(NoEstimate::OutOfRange)
    }

    /// The end of the interval that is farther from 1, as a relative difference: 0.03 means that the
    /// interval reaches up to 1.03 or down to 1 / 1.03.
    #[must_use]
    pub fn farthest(&self) -> f64 {
        relative(self.low).max(relative(self.high))
    }
}

/// How far a ratio is from 1, the same for a ratio and its inverse: 0.25 for 1.25 and for 0.8.
pub(super) fn relative(ratio: f64) -> f64 {
    ratio.max(ratio.recip()) - 1.0
}

/// A mean with half the width of its 95% interval, in the unit of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) value: f64,
    pub(super) half: f64,
    /// Two-sided, for a mean of 0.
    pub(super) p: f64,
}

impl Mean {
    /// `None` for fewer than two values, or if any result is not finite.
    pub(super) fn of(values: &[f64]) -> Option<Mean> {
        let freedom = values.len().checked_sub(1).filter(|n| *n > 0)?;
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
        let error = (squares / freedom as f64 / n).sqrt();
        let half = quantile(freedom) * error;
        // Values that are all the same leave no doubt; 0 / 0 would be NaN.
        let p = match value {
            0.0 => 1.0,
            _ => two_sided(value / error, freedom),
        };
        (value.is_finite() && half.is_finite()).then_some(Mean { value, half, p })
    }
}

/// Student's t for 95%, two-sided. Kept, because it is found by iteration and each session asks for
/// the same few.
pub(super) fn quantile(freedom: usize) -> f64 {
    static KNOWN: [OnceLock<f64>; 64] = [const { OnceLock::new() }; 64];
    let find = || student(freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975));
    match KNOWN.get(freedom) {
        Some(known) => *known.get_or_init(find),
        None => find(),
    }
}

/// Probability of a t at least this far from 0.
fn two_sided(t: f64, freedom: usize) -> f64 {
    if t.is_nan() {
        return 1.0;
    }
    student(freedom).map_or(1.0, |student| 2.0 * student.sf(t.abs()))
}

/// `None` for 0 degrees of freedom.
fn student(freedom: usize) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom as f64).ok()
}
