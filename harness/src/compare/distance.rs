//! How far two measurements are from each other, where they need not be equal: what another QEMU makes
//! of the same machine.

use super::{figure, leaves::Leaves};
use crate::{record::Measured, scenario::Metric};
use serde_json::json;

/// How much the rate moved, and the number that differs most.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Its place: `repetitions[2].ios`.
    pub at: String,
    /// The difference in parts of the larger of both.
    pub relative: f64,
    /// By how much the median of IOPS grew, in parts of what it was before; none without a rate.
    pub iops: Option<f64>,
}

/// The largest relative difference between two numbers that the guests reported; none where all are
/// equal. What is no quantity by itself does not count: the latencies' buckets, of which there may be others.
#[must_use]
pub fn distance(before: &Measured, now: &Measured) -> Option<Distance> {
    let value = |m: &Measured| json!({ "repetitions": m.guest.repetitions });
    let iops = |m: &Measured| figure(m, Metric::Iops).map(|figure| figure.median);
    let grown = match (iops(before), iops(now)) {
        (Some(before), Some(now)) if before > 0.0 => Some(now / before - 1.0),
        _ => None,
    };
    let mut found: Option<Distance> = None;
    for leaf in Leaves::of(&value(before), &value(now)).differ {
        let (Some(a), Some(b)) = (leaf.a.as_f64(), leaf.b.as_f64()) else {
            continue;
        };
        if leaf.path.split(['.', '[']).any(|key| key == "latency") {
            continue;
        }
        let relative = (a - b).abs() / a.abs().max(b.abs());
        if relative > found.as_ref().map_or(0.0, |f| f.relative) {
            found = Some(Distance {
                at: leaf.path,
                relative,
                iops: grown,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    #[test]
    fn the_number_that_differs_most_is_named() {
        let before = fixture::measured(50_000.0, 4096);
        assert_eq!(distance(&before, &before), None);
        let mut now = before.clone();
        now.guest.repetitions[0].ios += now.guest.repetitions[0].ios / 100;
        let last = now.guest.repetitions.len() - 1;
        now.guest.repetitions[last].ios *= 2;
        let found = distance(&before, &now).unwrap();
        assert_eq!(found.at, format!("repetitions[{last}].ios"));
        assert!((found.relative - 0.5).abs() < 1e-9, "{found:?}");
        for repetition in &mut now.guest.repetitions {
            repetition.window_ns *= 2;
        }
        let iops = distance(&before, &now).and_then(|d| d.iops).unwrap();
        assert!((-0.5..-0.49).contains(&iops), "{iops}");
    }
}
