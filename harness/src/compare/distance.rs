//! How far two measurements are from each other, where they need not be equal: what another QEMU makes
//! of the same machine.

use crate::record::Measured;
use serde_json::Value;

/// The number that differs most.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Its place: `repetitions[2].ios`.
    pub at: String,
    /// The difference in parts of the larger of both.
    pub relative: f64,
}

/// The largest relative difference between two numbers that the guests reported; none where all are
/// equal. What is no quantity by itself does not count: the latencies' buckets, of which there may be others.
#[must_use]
pub fn distance(before: &Measured, now: &Measured) -> Option<Distance> {
    let value = |m: &Measured| serde_json::json!({ "repetitions": m.guest.repetitions });
    let mut found = None;
    walk(String::new(), &value(before), &value(now), &mut found);
    found
}

fn walk(at: String, before: &Value, now: &Value, found: &mut Option<Distance>) {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, a) in a {
                if let Some(b) = b.get(key).filter(|_| key != "latency") {
                    let at = if at.is_empty() {
                        key.clone()
                    } else {
                        format!("{at}.{key}")
                    };
                    walk(at, a, b, found);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                walk(format!("{at}[{i}]"), a, b, found);
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
                return;
            };
            let largest = a.abs().max(b.abs());
            let relative = if largest > 0.0 {
                (a - b).abs() / largest
            } else {
                0.0
            };
            if relative > found.as_ref().map_or(0.0, |f| f.relative) {
                *found = Some(Distance { at, relative });
            }
        }
        _ => {}
    }
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
    }
}
