//! What may be concluded from a figure, and which direction of it is better.

use serde::{Deserialize, Serialize};

/// Which direction of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What may be concluded about a cell's figure against the baseline's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Verdict {
    /// Worse than the baseline.
    Regressed,
    /// Better than the baseline.
    Improved,
    /// No difference: the ranges overlap, or the interval lies within the minimum effect.
    Same,
    /// Measured, but no conclusion is allowed.
    Inconclusive {
        /// Which rule forbids it.
        why: String,
    },
    /// The baseline was measured; this kernel failed by itself.
    Broken,
    /// The baseline failed by itself; this kernel was measured.
    Fixed,
    /// There are not two figures of the same thing.
    Incomparable {
        /// What is missing or different.
        why: String,
    },
}

impl Verdict {
    /// One word, as machine-readable formats write it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Regressed => "regressed",
            Verdict::Improved => "improved",
            Verdict::Same => "same",
            Verdict::Inconclusive { .. } => "inconclusive",
            Verdict::Broken => "broken",
            Verdict::Fixed => "fixed",
            Verdict::Incomparable { .. } => "incomparable",
        }
    }

    /// The reason, for verdicts that carry one.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Verdict::Inconclusive { why } | Verdict::Incomparable { why } => Some(why),
            _ => None,
        }
    }
}
