//! Ratios to the baseline, and what may be concluded from them.

use super::{
    Figure,
    outcome::{Blame, Unmeasured},
};
use crate::{
    scenario::{Lane, Metric},
    vocabulary::{Better, Verdict},
};
use serde::{Deserialize, Serialize};

/// A figure relative to the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Median over the baseline's median.
    pub value: f64,
    /// Smallest value over the baseline's largest.
    pub low: f64,
    /// Largest value over the baseline's smallest.
    pub high: f64,
    /// Whether the two figures' ranges overlap, so that the ratio cannot be told from 1.
    pub within_noise: bool,
    /// The least relative difference of the medians that is called one.
    pub resolution: f64,
}

impl Ratio {
    /// `None` when the baseline's range reaches down to 0, where a ratio means nothing.
    #[must_use]
    pub fn of(figure: &Figure, baseline: &Figure, resolution: f64) -> Option<Ratio> {
        (baseline.min > 0.0).then(|| Ratio {
            value: figure.median / baseline.median,
            low: figure.min / baseline.max,
            high: figure.max / baseline.min,
            within_noise: figure.overlaps(baseline),
            resolution,
        })
    }

    /// Whether no difference is claimed, which reports mark `~`: the ranges overlap, or the medians
    /// are closer than the resolution.
    #[must_use]
    pub fn is_no_difference(&self) -> bool {
        // Relative to the larger of the two, as in `judge`.
        self.within_noise || (self.value - 1.0).abs() < self.resolution * self.value.max(1.0)
    }
}

/// The least relative difference that is called a difference in the exact lane. Medians of
/// checkpoints that differ only in what should not matter (one more word on the kernel's command
/// line) must agree within this bound, so a smaller difference has no known cause.
pub const RESOLUTION: f64 = 0.005;

/// Why figures by the wall clock are not judged by their ranges.
pub(super) const NOISE: &str =
    "noise is real in this lane: a verdict needs interleaved runs and a confidence interval";

/// Whether the ratio of two figures may be judged in their lane, by figures alone.
///
/// The rules, in this order: a lane in which equal inputs do not give equal digits needs
/// interleaved repeats and a confidence interval, which ranges are not; one repetition has no
/// range; overlapping ranges are no difference; a difference below `resolution` ([`RESOLUTION`], or
/// more for a figure that is known to wander) has no known cause, nor has one of a few events over a whole span ([`super::MetricFacts::floor`]); everything else is a difference, in the direction the metric calls better or worse.
#[must_use]
pub fn judge(
    metric: Metric,
    lane: Lane,
    resolution: f64,
    figure: &Figure,
    baseline: &Figure,
) -> Verdict {
    let inconclusive = |why: &str| Verdict::Inconclusive { why: why.into() };
    if !lane.is_exact() {
        return inconclusive(NOISE);
    }
    if figure.n < 2 || baseline.n < 2 {
        return inconclusive("a single repetition has no range");
    }
    if figure.overlaps(baseline) {
        return Verdict::Same;
    }
    // Relative to the larger of the two: symmetric, and a baseline of 0 needs no special case.
    let difference = figure.median - baseline.median;
    if difference.abs() < resolution * figure.median.max(baseline.median) {
        let percent = 100.0 * resolution;
        return inconclusive(&format!(
            "the difference is below the resolution of {percent:.1}%"
        ));
    }
    if difference.abs() < metric.facts().floor {
        return inconclusive("the difference is a few events, not one per I/O");
    }
    match (metric.facts().better, difference > 0.0) {
        (Better::Higher, true) | (Better::Lower, false) => Verdict::Improved,
        (Better::Higher, false) | (Better::Lower, true) => Verdict::Regressed,
    }
}

/// The verdict when at least one of the two cells was not measured; `None` when both were.
#[must_use]
pub fn judge_failures(cell: Option<&Unmeasured>, baseline: Option<&Unmeasured>) -> Option<Verdict> {
    let incomparable = |why: String| Some(Verdict::Incomparable { why });
    match (cell, baseline) {
        (None, None) => None,
        (Some(f), Some(_)) => incomparable(format!("{}, and the baseline failed too", f.word)),
        (Some(f), None) => match f.blame {
            Blame::Kernel => Some(Verdict::Broken),
            Blame::Unknown => Some(Verdict::Inconclusive {
                why: format!("{}: a hang or a slow host", f.why),
            }),
            Blame::Other => incomparable(format!("{}: {}", f.word, f.why)),
        },
        (None, Some(f)) => match f.blame {
            Blame::Kernel => Some(Verdict::Fixed),
            Blame::Unknown | Blame::Other => {
                incomparable(format!("the baseline was not measured: {}", f.word))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Clock, DeviceKind};

    fn figure(min: f64, median: f64, max: f64) -> Figure {
        Figure {
            median,
            min,
            max,
            n: 5,
        }
    }

    fn exact(metric: Metric, figure: &Figure, baseline: &Figure) -> &'static str {
        judge(metric, Lane::EXACT, RESOLUTION, figure, baseline).word()
    }

    #[test]
    fn the_direction_of_better_is_the_metrics() {
        let (low, high) = (figure(70.0, 72.0, 74.0), figure(99.0, 100.0, 101.0));
        assert_eq!(exact(Metric::Iops, &low, &high), "regressed");
        assert_eq!(exact(Metric::Iops, &high, &low), "improved");
        assert_eq!(exact(Metric::BusyPerIo, &low, &high), "improved");
        assert_eq!(exact(Metric::BusyPerIo, &high, &low), "regressed");
    }

    #[test]
    fn swapping_cell_and_baseline_mirrors_the_verdict_and_inverts_the_ratio() {
        let values = [0.5, 0.9, 0.996, 0.999, 1.0, 1.001, 1.02, 2.0];
        for (a, b) in values.iter().flat_map(|a| values.map(|b| (*a, b))) {
            for spread in [0.0, 0.0005, 0.01, 0.3] {
                let x = figure(a * (1.0 - spread), a, a * (1.0 + spread));
                let y = figure(b * (1.0 - spread), b, b * (1.0 + spread));
                let (xy, yx) = (
                    Ratio::of(&x, &y, RESOLUTION).unwrap(),
                    Ratio::of(&y, &x, RESOLUTION).unwrap(),
                );
                assert!((xy.value * yx.value - 1.0).abs() < 1e-12);
                assert!(xy.low <= xy.value && xy.value <= xy.high);
                assert_eq!(xy.within_noise, yx.within_noise);
                // A range that does not hold 1 and non-overlapping figures are the same thing.
                assert_eq!(xy.within_noise, xy.low <= 1.0 && 1.0 <= xy.high, "{a} {b}");
                let mirrored = match exact(Metric::Iops, &x, &y) {
                    "regressed" => "improved",
                    "improved" => "regressed",
                    other => other,
                };
                assert_eq!(exact(Metric::Iops, &y, &x), mirrored, "{a} {b} {spread}");
            }
        }
    }

    #[test]
    fn a_ratio_is_marked_exactly_where_the_verdict_claims_no_difference() {
        for value in [0.8, 0.9949, 0.996, 0.9998, 1.0, 1.0002, 1.004, 1.0051, 1.2] {
            for spread in [0.0, 0.001, 0.1] {
                let x = figure(value * (1.0 - spread), value, value * (1.0 + spread));
                let one = figure(1.0, 1.0, 1.0);
                let word = exact(Metric::Iops, &x, &one);
                let claimed = word == "regressed" || word == "improved";
                let ratio = Ratio::of(&x, &one, RESOLUTION).unwrap();
                assert_eq!(ratio.is_no_difference(), !claimed, "{value} {spread}");
            }
        }
    }

    #[test]
    fn touching_ranges_are_no_difference() {
        let (a, b) = (figure(90.0, 95.0, 99.0), figure(99.0, 100.0, 101.0));
        assert_eq!(exact(Metric::Iops, &a, &b), "same");
        assert!(Ratio::of(&a, &b, RESOLUTION).unwrap().within_noise);
    }

    #[test]
    fn a_tiny_difference_outside_the_ranges_is_inconclusive() {
        let (a, b) = (figure(99.7, 99.7, 99.7), figure(100.0, 100.0, 100.0));
        assert_eq!(exact(Metric::Iops, &a, &b), "inconclusive");
    }

    #[test]
    fn what_wanders_by_a_percent_is_no_improvement() {
        let (a, b) = (figure(100.6, 100.7, 100.8), figure(99.9, 100.0, 100.1));
        assert_eq!(exact(Metric::Iops, &a, &b), "improved");
        let wider = judge(Metric::Iops, Lane::EXACT, 0.04, &a, &b);
        insta::assert_snapshot!(wider.why().unwrap(), @"the difference is below the resolution of 4.0%");
        assert!(Ratio::of(&a, &b, 0.04).unwrap().is_no_difference());
        assert!(!Ratio::of(&a, &b, RESOLUTION).unwrap().is_no_difference());
    }

    #[test]
    fn three_context_switches_in_twenty_thousand_ios_are_no_regression() {
        let (a, b) = (figure(2e-4, 2e-4, 2e-4), figure(1e-4, 1e-4, 1e-4));
        assert_eq!(exact(Metric::ContextSwitchesPerIo, &a, &b), "inconclusive");
        assert_eq!(exact(Metric::BusyPerIo, &a, &b), "regressed");
    }

    #[test]
    fn one_repetition_and_a_noisy_lane_allow_no_verdict() {
        let (mut a, b) = (figure(70.0, 70.0, 70.0), figure(100.0, 100.0, 100.0));
        let wall = Lane {
            device: DeviceKind::Nvme,
            clock: Clock::Wall,
        };
        assert_eq!(
            judge(Metric::Iops, wall, RESOLUTION, &a, &b).word(),
            "inconclusive"
        );
        a.n = 1;
        assert_eq!(exact(Metric::Iops, &a, &b), "inconclusive");
    }

    #[test]
    fn a_baseline_of_zero_has_no_ratio_but_a_verdict() {
        let (two, zero) = (figure(1.9, 2.0, 2.0), figure(0.0, 0.0, 0.0));
        assert_eq!(Ratio::of(&two, &zero, RESOLUTION), None);
        assert_eq!(
            exact(Metric::ContextSwitchesPerIo, &two, &zero),
            "regressed"
        );
        assert_eq!(exact(Metric::ContextSwitchesPerIo, &zero, &zero), "same");
    }

    #[test]
    fn only_a_failure_of_the_kernel_itself_is_broken_or_fixed() {
        let failure = |blame| Unmeasured {
            word: "guest fault",
            why: "oops".into(),
            console: vec![],
            blame,
        };
        let word = |cell: Option<Blame>, base: Option<Blame>| {
            judge_failures(cell.map(failure).as_ref(), base.map(failure).as_ref()).map(|v| v.word())
        };
        assert_eq!(word(None, None), None);
        assert_eq!(word(Some(Blame::Kernel), None), Some("broken"));
        assert_eq!(word(Some(Blame::Unknown), None), Some("inconclusive"));
        assert_eq!(word(Some(Blame::Other), None), Some("incomparable"));
        assert_eq!(word(None, Some(Blame::Kernel)), Some("fixed"));
        assert_eq!(word(None, Some(Blame::Unknown)), Some("incomparable"));
        assert_eq!(
            word(Some(Blame::Kernel), Some(Blame::Kernel)),
            Some("incomparable")
        );
    }
}
