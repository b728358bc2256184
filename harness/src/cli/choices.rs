//! Words of the command line that choose something: which QEMU, accelerator or device.

use crate::{devices::HostDevice, error::Error, scenario::MAX_RUNTIME_NS, units::parse_nanos};
use clap::ValueEnum;
use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

/// What executes guests that run by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM where it really runs guests, else TCG.
    Auto,
    /// KVM or nothing.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl AccelChoice {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AccelChoice::Auto => "auto",
            AccelChoice::Kvm => "kvm",
            AccelChoice::Tcg => "tcg",
        }
    }
}

/// Whether a fio job's sizes and times are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScaleChoice {
    /// Where they do not fit.
    Auto,
    /// Never.
    None,
}

impl ScaleChoice {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ScaleChoice::Auto => "auto",
            ScaleChoice::None => "none",
        }
    }
}

/// Which QEMU runs the guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QemuChoice {
    /// The one in images/lock.toml.
    Lock,
    /// `qemu-system-x86_64` on PATH.
    System,
    /// An executable.
    Path(PathBuf),
}

impl FromStr for QemuChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<QemuChoice, Infallible> {
        Ok(match text {
            "lock" => QemuChoice::Lock,
            "system" => QemuChoice::System,
            path => QemuChoice::Path(PathBuf::from(path)),
        })
    }
}

/// A device as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceWord {
    /// The scenario's `[model]`.
    Model,
    /// The scenario's `[nvme]`.
    Nvme,
    /// One of the host's.
    Host(HostDevice),
}

impl FromStr for DeviceWord {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceWord, String> {
        match text {
            "model" => Ok(DeviceWord::Model),
            "nvme" => Ok(DeviceWord::Nvme),
            other => other.parse().map(DeviceWord::Host).map_err(|error: Error| {
                let next = error.next_step().unwrap_or("see `diorama devices`");
                format!("{error}; {next}, or use model or nvme")
            }),
        }
    }
}

impl fmt::Display for DeviceWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceWord::Model => f.write_str("model"),
            DeviceWord::Nvme => f.write_str("nvme"),
            DeviceWord::Host(device) => device.fmt(f),
        }
    }
}

/// A slowdown in percent.
///
/// # Errors
/// When it is none.
pub fn parse_slowdown(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse::<f64>().ok();
    percent
        .filter(|percent| (1.0..=90.0).contains(percent))
        .ok_or_else(|| "not a slowdown in percent; use a number from 1 to 90".to_owned())
}

/// How long a repetition takes, in nanoseconds.
///
/// # Errors
/// When no repetition may take so long.
pub fn parse_runtime(text: &str) -> Result<u64, String> {
    let ns = parse_nanos(text).ok();
    ns.filter(|ns| (1..=MAX_RUNTIME_NS).contains(ns))
        .ok_or_else(|| "not a runtime; use a time up to 10m, like 10s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slowdown_is_a_percentage_that_is_one() {
        assert_eq!(parse_slowdown("10"), Ok(10.0));
        assert_eq!(parse_slowdown("12.5%"), Ok(12.5));
        for text in ["0", "100", "-5", "ten", "NaN"] {
            assert!(parse_slowdown(text).is_err(), "{text}");
        }
    }
}
