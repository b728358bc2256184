//! Whether a machine, a drive and a scenario can tell a known slowdown from nothing.

use super::{Gate, Session};
use crate::vocabulary::Verdict;
use serde::Serialize;

/// What a calibration found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Whether the baseline agrees with itself.
    pub gate: Gate,
    /// One for each series, in their order.
    pub found: Vec<Found>,
}

/// What it found in one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Least relative difference that can be called one here; `None` where too few blocks were measured.
    pub least: Option<f64>,
    /// The throttled arm's rate relative to the baseline, with its interval; `None` without a throttled
    /// arm, or where too few blocks were measured.
    pub ratio: Option<[f64; 3]>,
    /// Whether the throttled arm was called slower; `None` without one.
    pub detected: Option<bool>,
}

impl Calibration {
    /// Of a session in which the only other kernel, if there is one, is the baseline throttled.
    #[must_use]
    pub fn of(session: &Session) -> Calibration {
        let found = session.series.iter().map(|series| {
            let throttled = series.kernels.first();
            let estimate = throttled.and_then(|cell| cell.estimate);
            Found {
                least: series.minimum_effect,
                ratio: estimate.map(|e| [e.ratio, e.low, e.high]),
                detected: throttled.map(|cell| cell.verdict == Verdict::Regressed),
            }
        });
        Calibration {
            found: found.collect(),
            gate: session.gate.clone(),
        }
    }

    /// Whether a verdict of this machine may be believed: the baseline agrees with itself, and the known
    /// slowdown was found wherever it was made.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.gate, Gate::Passed { .. })
            && self.found.iter().all(|found| found.detected != Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metal::{Series, judge},
        vocabulary::Better,
    };

    fn series(throttled: Option<f64>, a_prime: f64) -> Series {
        let around = |rate: f64| {
            let noise = [0.004, -0.006, 0.001, -0.003, 0.005, -0.002, 0.003, 0.0];
            noise.map(|n| Some(rate * (1.0 + n))).to_vec()
        };
        let mut second = around(1000.0 * a_prime);
        second.reverse();
        Series {
            primary: true,
            better: Better::Higher,
            a: around(1000.0),
            a_prime: second,
            kernels: throttled.into_iter().map(|r| around(1000.0 * r)).collect(),
        }
    }

    #[test]
    fn a_known_slowdown_must_be_found_and_a_baseline_must_agree_with_itself() {
        let of = |series: &[Series]| Calibration::of(&judge(series));
        let good = of(&[series(Some(0.9), 1.0), series(Some(0.9), 1.0)]);
        assert!(good.holds(), "{good:?}");
        assert!(good.found[0].least < Some(0.03), "{good:?}");
        let missed = of(&[series(Some(0.9), 1.0), series(Some(0.999), 1.0)]);
        assert_eq!(missed.found[1].detected, Some(false));
        assert!(!missed.holds());
        assert!(!of(&[series(Some(0.9), 1.05)]).holds());
        // Without a throttled arm it is about the baseline alone.
        let alone = of(&[series(None, 1.0)]);
        assert!(alone.holds() && alone.found[0].detected.is_none());
        assert!(!of(&[]).holds(), "nothing measured is no yes");
    }
}
