//! What is done to a drive before a file system is made on it, so that cells begin alike.

use serde::{Deserialize, Serialize};

/// How a drive is made ready, in the order of the fields. The default does nothing. A modelled drive is
/// new for every cell and takes nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditioning {
    /// Whether the namespace is formatted.
    pub format: NvmeFormat,
    /// Whether the whole drive is discarded (BLKDISCARD).
    pub discard: bool,
    /// What is written to it then.
    pub precondition: Precondition,
}

impl Conditioning {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Conditioning::default()
    }

    /// Whether what is written to the drive is still there in the next cell.
    #[must_use]
    pub fn fill_lasts(&self) -> bool {
        self.format == NvmeFormat::None && !self.discard
    }
}

/// Format NVM (NVM Express Base Specification), with the LBA format in use.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum NvmeFormat {
    /// It is not formatted.
    #[default]
    None,
    /// With Secure Erase Settings 001b, User Data Erase (`nvme format --ses=1`).
    Erase,
}

impl NvmeFormat {
    /// Every choice.
    pub const ALL: [NvmeFormat; 2] = [NvmeFormat::None, NvmeFormat::Erase];

    /// The word used on the wire and in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NvmeFormat::None => "none",
            NvmeFormat::Erase => "erase",
        }
    }
}

/// What is written to a drive before it is measured (SNIA's Solid State Storage Performance Test
/// Specification has the term).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// Every block once, in order, in blocks of 1 MiB with direct I/O.
    SequentialFill,
}

impl Precondition {
    /// Every choice.
    pub const ALL: [Precondition; 2] = [Precondition::None, Precondition::SequentialFill];

    /// The word used on the wire and in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Precondition::None => "none",
            Precondition::SequentialFill => "sequential-fill",
        }
    }
}

/// What was done to a drive, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditioned {
    /// Nanoseconds that Format NVM took, where the namespace was formatted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_ns: Option<u64>,
    /// Nanoseconds that discarding took, where the drive was discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard_ns: Option<u64>,
    /// Bytes written to the drive before a file system was made on it.
    pub filled_bytes: u64,
    /// Nanoseconds that took.
    pub fill_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_on_the_wire_are_those_of_scenarios() {
        let spoken = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap();
        for format in NvmeFormat::ALL {
            assert_eq!(spoken(serde_json::to_value(format).unwrap()), format.name());
        }
        for fill in Precondition::ALL {
            assert_eq!(spoken(serde_json::to_value(fill).unwrap()), fill.name());
        }
    }
}
