//! Whether a difference is explained: what an I/O costs must have moved with it.

use super::estimate::{MINIMUM_BLOCKS, Mean};
use crate::vocabulary::Verdict;
use serde::{Deserialize, Serialize};

/// What may explain a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Context switches per I/O.
    ContextSwitches,
    /// Runs of queued work (kworkers) per I/O.
    QueuedWork,
    /// CPU time per I/O.
    CpuTime,
}

impl Cause {
    /// As reports name it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Cause::ContextSwitches => "context switches",
            Cause::QueuedWork => "queued work",
            Cause::CpuTime => "CPU time",
        }
    }
}

/// What an I/O costs in one metric, in its unit: means over the blocks in which all three arms have it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The kernel's.
    pub kernel: f64,
    /// The baseline's: the mean of A and A'.
    pub baseline: f64,
    /// Lower end of the 95% interval of the difference, kernel less baseline.
    pub low: f64,
    /// Upper end of that interval.
    pub high: f64,
}

impl Cost {
    /// From the metric's values per block; `None` if fewer than [`MINIMUM_BLOCKS`] have all three.
    ///
    /// The interval is of the difference and not of the ratio, because a count per I/O is 0 on a
    /// kernel that does without, and that is the case that matters most.
    #[must_use]
    pub fn of(kernel: &[Option<f64>], a: &[Option<f64>], a_prime: &[Option<f64>]) -> Option<Cost> {
        let usable = |cost: &f64| cost.is_finite() && *cost >= 0.0;
        let blocks: Vec<(f64, f64)> = kernel
            .iter()
            .zip(a)
            .zip(a_prime)
            .filter_map(|((kernel, a), a_prime)| {
                let of = |cost: &Option<f64>| cost.filter(usable);
                Some((of(kernel)?, of(a)? / 2.0 + of(a_prime)? / 2.0))
            })
            .collect();
        if blocks.len() < MINIMUM_BLOCKS {
            return None;
        }
        let n = blocks.len() as f64;
        let differences: Vec<f64> = blocks.iter().map(|(kernel, base)| kernel - base).collect();
        let difference = Mean::of(&differences)?;
        let cost = Cost {
            kernel: blocks.iter().map(|(kernel, _)| kernel / n).sum(),
            baseline: blocks.iter().map(|(_, base)| base / n).sum(),
            low: difference.value - difference.half,
            high: difference.value + difference.half,
        };
        (cost.low.is_finite() && cost.high.is_finite()).then_some(cost)
    }

    /// Kernel over baseline; `None` if the baseline's is 0.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.baseline > 0.0).then(|| self.kernel / self.baseline)
    }

    /// Whether it rose (`up`) or fell by more than noise, by at least `floor` in its unit, and by at
    /// least the relative difference `minimum` (of the smaller of the two, as for ratios).
    fn moved(&self, up: bool, floor: f64, minimum: f64) -> bool {
        let (less, more, beyond_noise) = match up {
            true => (self.baseline, self.kernel, self.low > 0.0),
            false => (self.kernel, self.baseline, self.high < 0.0),
        };
        beyond_noise && more - less >= floor && more >= less * (1.0 + minimum)
    }
}

/// What an I/O of one cell costs; `None` where it was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Context switches per I/O.
    pub context_switches: Option<Cost>,
    /// Runs of queued work per I/O.
    pub queued_work: Option<Cost>,
    /// CPU time per I/O, ns.
    pub cpu_time: Option<Cost>,
}

/// Least difference of a count per I/O that means anything: fewer are a timer tick or the measuring
/// thread itself, and no cost of an I/O.
const EVENTS: f64 = 0.01;

/// Which costs moved with a verdict: rose with a regression, fell with an improvement. A verdict is
/// *explained* if there is any. Empty for every other verdict: there is nothing to explain.
///
/// `minimum` is the cell's minimum effect: a cost that moved by less is no cause of an effect of that
/// size. Not to be asked about a verdict on one of these costs, which would explain itself.
#[must_use]
pub fn causes(verdict: &Verdict, costs: &Costs, minimum: f64) -> Vec<Cause> {
    let up = match verdict {
        Verdict::Regressed => true,
        Verdict::Improved => false,
        _ => return Vec::new(),
    };
    let all = [
        (Cause::ContextSwitches, costs.context_switches, EVENTS),
        (Cause::QueuedWork, costs.queued_work, EVENTS),
        (Cause::CpuTime, costs.cpu_time, 0.0),
    ];
    let moved = all
        .into_iter()
        .filter(|(_, cost, floor)| cost.is_some_and(|cost| cost.moved(up, *floor, minimum)));
    moved.map(|(cause, ..)| cause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs with a little noise, the same for each arm.
    fn cost(kernel: f64, baseline: f64) -> Option<Cost> {
        let around = |value: f64| [0.99, 1.01, 1.0, 0.98, 1.02].map(|noise| Some(value * noise));
        let (a, b) = (around(baseline), around(baseline));
        Cost::of(&around(kernel), &a, &[b[1], b[0], b[2], b[4], b[3]])
    }

    #[test]
    fn what_moved_with_the_verdict_explains_it_and_what_moved_against_it_does_not() {
        let costs = Costs {
            context_switches: cost(2.0, 0.0),
            queued_work: cost(1.0, 1.0),
            cpu_time: cost(9_000.0, 10_000.0),
        };
        let switches = [Cause::ContextSwitches];
        assert_eq!(causes(&Verdict::Regressed, &costs, 0.02), switches);
        assert_eq!(causes(&Verdict::Improved, &costs, 0.02), [Cause::CpuTime]);
        assert_eq!(causes(&Verdict::Same, &costs, 0.02), []);
        assert_eq!(causes(&Verdict::Regressed, &Costs::default(), 0.02), []);
        assert_eq!(costs.context_switches.unwrap().ratio(), None);
    }

    #[test]
    fn a_few_events_and_less_than_the_minimum_effect_and_mere_noise_explain_nothing() {
        let none = |costs: Costs| causes(&Verdict::Regressed, &costs, 0.05).is_empty();
        let (context_switches, cpu_time) = (cost(2e-3, 1e-4), cost(10_400.0, 10_000.0));
        assert!(cpu_time.unwrap().low > 0.0);
        assert!(none(Costs {
            context_switches,
            queued_work: None,
            cpu_time
        }));
        let noisy = [Some(1.0), Some(3.0), Some(0.9), Some(1.1), Some(2.0)];
        let queued_work = Cost::of(&noisy, &[Some(1.0); 5], &[Some(1.0); 5]);
        assert!(queued_work.unwrap().ratio().unwrap() > 1.5);
        assert!(none(Costs {
            queued_work,
            ..Costs::default()
        }));
    }

    #[test]
    fn a_cost_needs_enough_blocks_with_all_arms_and_survives_nonsense() {
        let one = [Some(1.0); 8];
        let mut holes = one;
        holes[..4].copy_from_slice(&[None, Some(f64::NAN), Some(-1.0), Some(f64::INFINITY)]);
        assert!(Cost::of(&holes, &one, &one).is_some());
        holes[4] = None;
        assert_eq!(Cost::of(&one, &holes, &one), None);
        assert_eq!(Cost::of(&[], &[], &[]), None);
        let huge = [Some(f64::MAX), Some(0.0), Some(f64::MAX), Some(0.0)];
        assert_eq!(Cost::of(&huge, &[Some(0.0); 4], &[Some(f64::MAX); 4]), None);
    }
}
