//! A session of the metal lane as it is recorded: every boot by itself, and what its cells come to.

use super::{Measured, MemoryDigests, Outcome};
use crate::scenario::CellKey;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Every sample of a session, with what decided their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Blocks that were planned.
    pub blocks: u32,
    /// What decides the order of boots: [`crate::metal::order`].
    pub seed: u64,
    /// What was measured, in the order in which it was. What was not begun is not in it.
    pub samples: Vec<Sample>,
}

/// One boot, and what it measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Where in the session.
    pub at: Turn,
    /// Which cell.
    pub key: CellKey,
    /// When it ended, RFC 3339, UTC; empty where the host's clock is wrong.
    pub ended: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// A cell's turn in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Turn {
    /// The block, from 0.
    pub block: u32,
    /// Whether it is the baseline's second boot of the block, A'.
    pub second: bool,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arm = if self.second { ", A'" } else { "" };
        write!(f, "block {}{arm}", self.block + 1)
    }
}

impl Session {
    /// A cell's samples, block by block, the baseline's second after its first.
    #[must_use]
    pub fn of<'a>(&'a self, key: &CellKey) -> Vec<&'a Sample> {
        let mut samples: Vec<_> = self.samples.iter().filter(|s| s.key == *key).collect();
        samples.sort_by_key(|sample| sample.at);
        samples
    }

    /// What a cell's samples come to: all their repetitions as one cell's. The first failure, where none
    /// was measured; nothing where there is no sample.
    #[must_use]
    pub fn outcome(&self, key: &CellKey) -> Option<Outcome> {
        let samples = self.of(key);
        let measured: Vec<&Measured> = samples
            .iter()
            .filter_map(|sample| sample.outcome.measured())
            .collect();
        let Some((first, others)) = measured.split_first() else {
            return samples.first().map(|sample| sample.outcome.clone());
        };
        let mut merged = (*first).clone();
        // A digest of one boot's memory is none of them all.
        merged.memory = MemoryDigests::default();
        for other in others {
            let repetitions = other.guest.repetitions.iter().cloned();
            merged.guest.repetitions.extend(repetitions);
            merged.host.wall_s += other.host.wall_s;
            merged.host.cpu_s += other.host.cpu_s;
        }
        Some(Outcome::Measured(Box::new(merged)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn sample(key: &CellKey, block: u32, second: bool, iops: Option<f64>) -> Sample {
        let outcome = match iops {
            Some(iops) => Outcome::Measured(Box::new(fixture::measured(iops, 4096))),
            None => Outcome::WrongResult { why: "no".into() },
        };
        Sample {
            at: Turn { block, second },
            key: key.clone(),
            ended: String::new(),
            outcome,
        }
    }

    #[test]
    fn a_cell_is_all_that_its_samples_measured_and_a_failure_only_where_none_did() {
        let key = fixture::results().cells[0].key.clone();
        let mut session = Session {
            blocks: 2,
            seed: 1,
            samples: vec![
                sample(&key, 1, false, Some(300.0)),
                sample(&key, 0, true, None),
                sample(&key, 0, false, Some(100.0)),
            ],
        };
        let turns: Vec<String> = session.of(&key).iter().map(|s| s.at.to_string()).collect();
        assert_eq!(turns, ["block 1", "block 1, A'", "block 2"]);
        let outcome = session.outcome(&key).unwrap();
        let repetitions = &outcome.measured().unwrap().guest.repetitions;
        assert_eq!(repetitions.len(), 10);
        assert!(repetitions[0].ios < repetitions[5].ios);
        session.samples.retain(|s| s.outcome.measured().is_none());
        assert_eq!(session.outcome(&key).unwrap().word(), "wrong result");
        session.samples.clear();
        assert_eq!(session.outcome(&key), None);
    }
}
