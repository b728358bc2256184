//! `--verify`: what was measured now against what was known, digit by digit (pure).

use crate::{record::Measured, scenario::CellKey};
use serde_json::Value;

/// Differences named per cell; more are counted only.
const NAMED: usize = 8;

/// What `--verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Cells that were known and are identical now.
    pub identical: usize,
    /// Cells that were known and differ now, with what differs.
    pub different: Vec<(CellKey, Vec<String>)>,
    /// Cells that were not known before.
    pub new: usize,
}

impl Verification {
    /// Takes in one cell; returns what differs.
    pub fn add(&mut self, key: &CellKey, before: Option<&Measured>, now: &Measured) -> Vec<String> {
        let Some(before) = before else {
            self.new += 1;
            return Vec::new();
        };
        let differences = differences(before, now);
        if differences.is_empty() {
            self.identical += 1;
        } else {
            self.different.push((key.clone(), differences.clone()));
        }
        differences
    }

    /// One line: "40 of 40 cells identical".
    #[must_use]
    pub fn summary(&self) -> String {
        let compared = self.identical + self.different.len();
        let mut text = format!(
            "{} of {compared} cells identical, digit by digit and in the guest's memory",
            self.identical
        );
        if self.new > 0 {
            text.push_str(&format!(
                "; {} more had not been measured before: run again with --verify to compare them",
                self.new
            ));
        }
        text
    }
}

/// Everything the guest reported, its instructions, and its memory's digests; not the host's own times. Each
/// difference names its place: `repetitions[2].ios: 5103 was 5102`.
#[must_use]
pub fn differences(before: &Measured, now: &Measured) -> Vec<String> {
    let mut found = Vec::new();
    let value = |m: &Measured| {
        serde_json::json!({
            "guest": m.guest, "instructions": m.instructions, "memory": m.memory,
        })
    };
    compare("", &value(before), &value(now), &mut found);
    if found.len() > NAMED {
        let more = found.len() - NAMED;
        found.truncate(NAMED);
        found.push(format!("and {more} more"));
    }
    found
}

fn compare(path: &str, before: &Value, now: &Value, found: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let null = Value::Null;
                compare(
                    &path,
                    a.get(key).unwrap_or(&null),
                    b.get(key).unwrap_or(&null),
                    found,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{i}]"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            found.push(format!("{path}: {} entries, were {}", b.len(), a.len()));
        }
        (a, b) if a != b => found.push(format!("{path}: {b}, was {a}")),
        _ => {}
    }
}
