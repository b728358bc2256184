//! What came of trying what a machine offers.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What came of running a guest under KVM to a known point, under a deadline. Looking at
/// /dev/kvm is not enough: it may open, answer, and then abort QEMU or hang the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvmTrial {
    /// The guest got there.
    Works {
        /// After how many seconds.
        after_s: f64,
    },
    /// /dev/kvm cannot be opened.
    NoDevice(DeviceNode),
    /// QEMU or the guest failed.
    Failed {
        /// QEMU's message.
        why: String,
    },
    /// The guest did not get there in time.
    TimedOut {
        /// The deadline in seconds.
        after_s: f64,
    },
    /// There was nothing to try it with.
    NotTried {
        /// Why there is no answer.
        why: String,
    },
}

/// What was found, in words.
impl fmt::Display for KvmTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvmTrial::Works { after_s } => write!(f, "a guest ran, after {after_s:.1} s"),
            KvmTrial::NoDevice(DeviceNode::Denied) => write!(f, "permission denied"),
            KvmTrial::NoDevice(DeviceNode::Failed(why)) => write!(f, "/dev/kvm: {why}"),
            KvmTrial::NoDevice(_) => write!(f, "no /dev/kvm"),
            KvmTrial::Failed { why } => write!(f, "/dev/kvm opens, but a guest failed: {why}"),
            KvmTrial::TimedOut { after_s } => {
                write!(f, "/dev/kvm opens, but a guest hung for {after_s:.0} s")
            }
            KvmTrial::NotTried { why } => write!(f, "not tried: {why}"),
        }
    }
}

/// A device node, opened for reading and writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceNode {
    /// It can be opened.
    Usable,
    /// It is not there, or nothing is behind it.
    Absent,
    /// It is there, for others.
    Denied,
    /// Anything else.
    Failed(String),
}
