//! From the figures of a session to verdicts.

use super::{
    estimate::{Estimate, NoEstimate, log_ratios, log_ratios_of_baseline, relative},
    gate::Gate,
    multiple::{benjamini_hochberg, holm},
};
use crate::vocabulary::{Better, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Probability that any primary cell of a session is called a difference while none differs, at most
/// (Holm).
pub const SIGNIFICANCE: f64 = 0.01;

/// Average share of false ones among the differences that are called in the other cells, at most
/// (Benjamini and Hochberg).
pub const FALSE_DISCOVERIES: f64 = 0.01;

/// Least relative difference that is called one, in any cell.
pub const MINIMUM_EFFECT: f64 = 0.02;

/// Largest minimum effect with which a cell may be called the same. Beyond it the baseline agrees with
/// itself so badly that agreeing with it means nothing.
pub const LARGEST_SAME: f64 = 0.05;

/// One figure of one workload over the blocks of a session. Each list has one entry per block, `None`
/// where the arm has no figure; missing entries at the end are the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whether it is one that the session was planned for. Decided before the session, never after.
    pub primary: bool,
    /// The better direction of the figure.
    pub better: Better,
    /// The baseline's first arm.
    pub a: Vec<Option<f64>>,
    /// The baseline's second arm.
    pub a_prime: Vec<Option<f64>>,
    /// Every other kernel.
    pub kernels: Vec<Vec<Option<f64>>>,
}

/// What may be concluded from a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Whether it may be believed.
    pub gate: Gate,
    /// How many tests the p-values were adjusted for.
    pub tested: Tested,
    /// One for each of the series, in their order.
    pub series: Vec<Judged>,
}

/// Numbers of cells that were tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Primary cells, adjusted by [`holm`].
    pub primary: usize,
    /// The others, adjusted by [`benjamini_hochberg`].
    pub secondary: usize,
}

/// What may be concluded from one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// A relative to A'; `None` if too few blocks have both.
    pub baseline: Option<Estimate>,
    /// Least relative difference that is called one: [`MINIMUM_EFFECT`], or the A/A spread if that is
    /// larger. The spread is the end of the
    /// 95% interval of A / A' that is farther from 1: the largest difference from itself that the
    /// baseline may well have.
    pub minimum_effect: Option<f64>,
    /// One for each kernel, in the order of the series.
    pub kernels: Vec<Cell>,
}

/// What may be concluded about one kernel in one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The conclusion.
    pub verdict: Verdict,
    /// Relative to the baseline; `None` if too few blocks have all figures.
    pub estimate: Option<Estimate>,
    /// The estimate's p-value, adjusted for the number of cells tested.
    pub adjusted_p: Option<f64>,
}

/// Judges all cells of a session together. Figures that are absent, zero, negative or not finite drop
/// their block from their cell; a cell with too few blocks left is inconclusive and says so. Cells
/// without an estimate are not counted as tested.
#[must_use]
pub fn judge(series: &[Series]) -> Session {
    let baselines: Vec<Result<Estimate, NoEstimate>> = series
        .iter()
        .map(|one| Estimate::of(&log_ratios_of_baseline(&one.a, &one.a_prime)))
        .collect();
    let gate = Gate::of(&baselines.iter().map(|aa| aa.ok()).collect::<Vec<_>>());
    let estimates: Vec<Vec<Result<Estimate, NoEstimate>>> = series
        .iter()
        .zip(&baselines)
        .map(|(one, baseline)| {
            let of = |kernel: &Vec<_>| Estimate::of(&log_ratios(kernel, &one.a, &one.a_prime));
            // Without a spread there is no minimum effect, hence no test.
            let cells = one.kernels.iter().map(|kernel| (*baseline).and(of(kernel)));
            cells.collect()
        })
        .collect();

    let (primary, secondary) = (
        adjust(series, &estimates, true, holm),
        adjust(series, &estimates, false, benjamini_hochberg),
    );
    let tested = Tested {
        primary: primary.len(),
        secondary: secondary.len(),
    };
    let adjusted: BTreeMap<(usize, usize), f64> = primary.into_iter().chain(secondary).collect();

    let forbidden = gate.forbids();
    let judge_one = |at: usize| {
        let one = &series[at];
        let level = match one.primary {
            true => SIGNIFICANCE,
            false => FALSE_DISCOVERIES,
        };
        let baseline = baselines[at].ok();
        let minimum_effect = baseline.map(|aa| aa.farthest().max(MINIMUM_EFFECT));
        let kernels = estimates[at].iter().enumerate().map(|(kernel, estimate)| {
            let adjusted_p = adjusted.get(&(at, kernel)).copied();
            let p = adjusted_p.unwrap_or(1.0);
            let minimum = minimum_effect.unwrap_or(MINIMUM_EFFECT);
            let verdict = match (estimate, &forbidden) {
                (Err(why), _) => inconclusive(why.to_string()),
                (Ok(_), Some(why)) => inconclusive(why.clone()),
                (Ok(estimate), None) => conclude(estimate, p, level, minimum, one.better),
            };
            Cell {
                verdict,
                estimate: estimate.ok(),
                adjusted_p,
            }
        });
        Judged {
            baseline,
            minimum_effect,
            kernels: kernels.collect(),
        }
    };
    Session {
        series: (0..series.len()).map(judge_one).collect(),
        gate,
        tested,
    }
}

/// The adjusted p-values of all cells of one family that have an estimate, by series and kernel.
fn adjust(
    series: &[Series],
    estimates: &[Vec<Result<Estimate, NoEstimate>>],
    primary: bool,
    method: fn(&[f64]) -> Vec<f64>,
) -> Vec<((usize, usize), f64)> {
    let mut family = Vec::new();
    for (at, cells) in estimates.iter().enumerate() {
        for (kernel, estimate) in cells.iter().enumerate() {
            if let (true, Ok(estimate)) = (series[at].primary == primary, estimate) {
                family.push(((at, kernel), estimate.p));
            }
        }
    }
    let adjusted = method(&family.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    family
        .into_iter()
        .map(|(cell, _)| cell)
        .zip(adjusted)
        .collect()
}

fn inconclusive(why: String) -> Verdict {
    Verdict::Inconclusive { why }
}

/// The rules, in this order: a difference that is significant after the correction and at least as
/// large as the minimum effect is one, in the direction the figure calls better or worse; an interval
/// that lies within the minimum effect on both sides is the same (Schuirmann, 1987), if that effect
/// is small enough to mean anything; everything else is inconclusive.
fn conclude(estimate: &Estimate, p: f64, level: f64, minimum: f64, better: Better) -> Verdict {
    let significant = p <= level;
    let percent = 100.0 * minimum;
    if significant && relative(estimate.ratio) >= minimum {
        return match (better, estimate.ratio > 1.0) {
            (Better::Higher, true) | (Better::Lower, false) => Verdict::Improved,
            (Better::Higher, false) | (Better::Lower, true) => Verdict::Regressed,
        };
    }
    if estimate.farthest() < minimum {
        if minimum <= LARGEST_SAME {
            return Verdict::Same;
        }
        return inconclusive(format!(
            "the difference is within {percent:.1}%, and so is the baseline's from itself: too noisy to call it the same"
        ));
    }
    if significant {
        return inconclusive(format!(
            "the difference is below the minimum effect of {percent:.1}%, but may be larger"
        ));
    }
    inconclusive(format!(
        "the difference is not significant (adjusted p = {p:.2}), but may exceed the minimum effect of {percent:.1}%"
    ))
}
