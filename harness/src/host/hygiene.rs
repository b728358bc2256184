//! What of a host disturbs figures by the wall clock: how its CPUs are governed, what else runs, how hot, worn
//! and full the drive is. [`Hygiene`] is what was found and is recorded; [`warnings`] is what a reader of
//! the figures must know, each with a next step (pure). What could not be found out is absent, and never
//! taken for good.

mod judge; // pure
mod look;

pub use judge::{during, warnings};
pub use look::{Places, Subject};

pub(super) use judge::{Row, rows};

use crate::devices::{NamespaceUse, Smart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What of a host disturbs figures by the wall clock, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hygiene {
    /// Governor of cpufreq, by how many CPUs have it (cpufreq/scaling_governor); empty where the host
    /// governs no frequency, as most virtual machines.
    pub governors: BTreeMap<String, u32>,
    /// Energy-performance preference, by how many CPUs have it
    /// (cpufreq/energy_performance_preference).
    pub energy_preferences: BTreeMap<String, u32>,
    /// Whether CPUs may run above their nominal frequency (intel_pstate/no_turbo, cpufreq/boost).
    pub boost: Option<bool>,
    /// Whether cores run several threads (cpu/smt/active).
    pub smt: Option<bool>,
    /// CPUs kept from the scheduler, as the kernel lists them (cpu/isolated); absent where there are none.
    pub isolated: Option<String>,
    /// How often CPUs were slowed down for their temperature since the boot, cores and packages together
    /// (thermal_throttle/*_throttle_count).
    pub cpu_throttled: Option<u64>,
    /// CPUs online.
    pub cpus: u32,
    /// Load average over one minute (/proc/loadavg).
    pub load: Option<f64>,
    /// Whether the machine runs on a battery (power_supply/*); absent where it has none.
    pub on_battery: Option<bool>,
    /// The drives that were looked at.
    pub drives: Vec<DriveHygiene>,
    /// The file system that an emulated drive's image is in.
    pub image: Option<ImageRoom>,
}

/// A drive's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriveHygiene {
    /// The kernel's name, which moves: `nvme0n1`.
    pub name: String,
    /// The drive's model name.
    pub model: Option<String>,
    /// Temperature in degrees Celsius (hwmon's temp1_input).
    pub temperature_c: Option<f64>,
    /// From so many degrees Celsius on the drive slows down or warns (hwmon's temp1_max).
    pub temperature_max_c: Option<f64>,
    /// Longest time in microseconds that the drive may take to wake up from the power states that it enters
    /// by itself (power/pm_qos_latency_tolerance_us): 0 keeps it awake.
    pub apst_latency_us: Option<u64>,
    /// Its health log; absent where it could not be read.
    pub smart: Option<Smart>,
    /// Its namespace's size and use.
    pub namespace: Option<NamespaceUse>,
    /// Why the drive could not be asked, where it could not.
    pub not_asked: Option<String>,
}

/// How much room a file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoom {
    /// All of it.
    pub total: u64,
    /// What an ordinary user may still write.
    pub free: u64,
}

#[cfg(test)]
mod tests;
