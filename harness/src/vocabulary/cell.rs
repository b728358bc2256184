//! What a cell is, and what its figures are of.

pub use diorama_wire::Clock;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a row of a table is: a kernel, as its scenario is written or with a variant's overrides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubjectKey {
    /// Name of the kernel.
    pub kernel: String,
    /// Name of the variant; none for the scenario as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl SubjectKey {
    /// A kernel, as the scenario is written.
    #[must_use]
    pub fn of_kernel(kernel: &str) -> SubjectKey {
        SubjectKey {
            kernel: kernel.to_owned(),
            variant: None,
        }
    }

    /// Whether this is its name: `6.12`, `6.12+mq-deadline`. A scenario has no two subjects of one
    /// name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.kernel.as_str());
        match &self.variant {
            None => rest == Some(""),
            Some(variant) => rest.and_then(|rest| rest.strip_prefix('+')) == Some(variant),
        }
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kernel)?;
        match &self.variant {
            None => Ok(()),
            Some(variant) => write!(f, "+{variant}"),
        }
    }
}

/// All axes of a cell; its only identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    /// The row: kernel and variant.
    #[serde(flatten)]
    pub subject: SubjectKey,
    /// Name of the file system.
    pub filesystem: String,
    /// Name of the workload.
    pub workload: String,
    /// Device and clock.
    pub lane: Lane,
}

impl CellKey {
    /// Under which name it is kept how long the cell took: on another device it takes another time.
    #[must_use]
    pub fn timed_as(&self) -> String {
        match self.lane.is_exact() {
            true => self.to_string(),
            false => format!("{self} on {}", self.lane.device.name()),
        }
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.subject, self.filesystem, self.workload)
    }
}

/// Device and clock. No number is shown without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Where the I/O goes.
    pub device: DeviceKind,
    /// What time is.
    pub clock: Clock,
}

impl Lane {
    /// The exact lane: the model device under the instruction clock.
    pub const EXACT: Lane = Lane {
        device: DeviceKind::Model,
        clock: Clock::Instructions,
    };

    /// Whether equal inputs give equal digits in this lane.
    #[must_use]
    pub fn is_exact(self) -> bool {
        self == Lane::EXACT
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = if self.is_exact() {
            "exact lane"
        } else {
            "metal lane"
        };
        write!(
            f,
            "{lane}: {} device, {} clock",
            self.device.name(),
            self.clock.name()
        )
    }
}

/// Where the I/O goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Memory-backed null_blk inside the guest.
    Model,
    /// QEMU's emulated NVMe controller over an image file.
    Nvme,
    /// QEMU's emulated NVMe controller over a disk of the host's.
    Disk,
    /// An NVMe controller of the host's, passed through.
    Vfio,
}

impl DeviceKind {
    /// All of them.
    pub const ALL: [DeviceKind; 4] = [
        DeviceKind::Model,
        DeviceKind::Nvme,
        DeviceKind::Disk,
        DeviceKind::Vfio,
    ];

    /// The word a scenario uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Model => "model",
            DeviceKind::Nvme => "nvme",
            DeviceKind::Disk => "disk",
            DeviceKind::Vfio => "vfio",
        }
    }

    /// Whether the next guest finds on it what the one before wrote.
    #[must_use]
    pub fn keeps(self) -> bool {
        !matches!(self, DeviceKind::Model | DeviceKind::Nvme)
    }
}

/// A figure of a cell, with the direction that is better and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// I/Os per second of the window.
    Iops,
    /// Bytes moved in the window, scaled to one second: the mail's TOTAL_IO.
    TotalIo,
    /// Instructions per I/O of the span, without the drive model's moving of data.
    PathLength,
    /// Context switches per I/O of the span.
    ContextSwitchesPerIo,
    /// Interrupts per I/O of the span.
    InterruptsPerIo,
    /// Busy CPU nanoseconds per I/O of the span; instructions in the exact lane.
    BusyPerIo,
    /// The part of it spent in the engine's own user-space code.
    UserPerIo,
    /// The drive model's moving of data, in place of a drive's DMA.
    DrivePerIo,
    /// The rest of it: kernel and interrupts.
    SystemPerIo,
    /// kworker runs per I/O of the span.
    KworkerRunsPerIo,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(variant: Option<&str>) -> SubjectKey {
        SubjectKey {
            kernel: "6.12".into(),
            variant: variant.map(str::to_owned),
        }
    }

    #[test]
    fn a_subject_is_known_by_the_name_it_shows() {
        for subject in [subject(None), subject(Some("mq-deadline"))] {
            assert!(subject.is(&subject.to_string()));
        }
        let varied = subject(Some("mq"));
        assert_eq!(varied.to_string(), "6.12+mq");
        for other in ["6.12", "6.12+", "6.12+mq-deadline", "6.1+mq", "6.12mq", ""] {
            assert!(!varied.is(other), "{other}");
        }
        assert!(!subject(None).is("6.12+mq"));
    }

    #[test]
    fn a_key_without_a_variant_is_written_as_it_always_was() {
        let mut key = CellKey {
            subject: subject(None),
            filesystem: "ext4".into(),
            workload: "write-4k".into(),
            lane: Lane::EXACT,
        };
        let json = |key: &CellKey| serde_json::to_string(key).expect("plain data serialises");
        insta::assert_snapshot!(json(&key), @r#"{"kernel":"6.12","filesystem":"ext4","workload":"write-4k","lane":{"device":"model","clock":"instructions"}}"#);
        key.subject.variant = Some("mq-deadline".into());
        insta::assert_snapshot!(json(&key), @r#"{"kernel":"6.12","variant":"mq-deadline","filesystem":"ext4","workload":"write-4k","lane":{"device":"model","clock":"instructions"}}"#);
        let read: CellKey = serde_json::from_str(&json(&key)).expect("it was written so");
        assert_eq!(read, key);
    }
}
