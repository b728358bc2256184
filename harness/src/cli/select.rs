//! Which cells a command line means: the scenario, and what it changes about it.

use super::{choices::DeviceWord, fio_args::FioArgs, share::ShareArgs};
use crate::scenario::{ChosenDevice, KernelRef, Overrides, Vary, parse_kernel, parse_vary};
use clap::{Args, ValueHint};

/// Kernels that the scenario does not have.
#[derive(Clone, Debug, Default, Args)]
pub struct OwnKernels {
    /// Add your own kernel: bzImage or vmlinux, and the directory of its modules
    #[arg(long = "kernel", value_name = "NAME=PATH[,modules=DIR]", value_parser = parse_kernel)]
    #[arg(help_heading = "Selection")]
    pub kernels: Vec<KernelRef>,
}

/// What varies between rows besides kernels.
#[derive(Clone, Debug, Default, Args)]
pub struct VaryArgs {
    /// Measure every kernel with each of these values of a scenario's key, too (repeatable: every
    /// combination)
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = parse_vary, help_heading = "Selection")]
    pub vary: Vec<Vary>,
}

/// Which of the kernels.
#[derive(Clone, Debug, Default, Args)]
pub struct OnlyKernels {
    /// Only this kernel, or this one with its variant, and the baseline (repeatable)
    #[arg(long = "only-kernel", value_name = "NAME", help_heading = "Selection")]
    pub only_kernels: Vec<String>,
}

/// What the guests' kernels are told besides.
#[derive(Clone, Debug, Default, Args)]
pub struct GuestWords {
    /// Add a word to the guests' kernel command line (repeatable)
    #[arg(
        long,
        value_name = "WORD",
        help_heading = "Selection",
        allow_hyphen_values = true
    )]
    pub cmdline: Vec<String>,
}

/// Which device guests have.
#[derive(Clone, Debug, Default, Args)]
pub struct DriveArgs {
    /// Run on this device instead of the scenario's
    #[arg(
        long,
        value_name = "model|nvme|vfio:...|/dev/...",
        help_heading = "Selection"
    )]
    pub device: Option<DeviceWord>,
    /// The serial number of the drive that --device names: all data on it will be lost
    #[arg(long, value_name = "SERIAL", help_heading = "Selection")]
    pub erase: Option<String>,
}

/// The scenario, and what the command line changes about it.
#[derive(Debug, Default, Args)]
pub struct SelectArgs {
    /// A scenario file, or the name of one in scenarios/
    #[arg(default_value = "iomap-dio", value_hint = ValueHint::FilePath)]
    pub scenario: String,
    /// fio's jobs.
    #[command(flatten)]
    pub fio: FioArgs,
    /// Kernels of one's own.
    #[command(flatten)]
    pub own: OwnKernels,
    /// Other axes.
    #[command(flatten)]
    pub varied: VaryArgs,
    /// Compare with this kernel (6.12), or with a kernel's variant (6.12+mq-deadline), instead of the
    /// scenario's baseline
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    pub baseline: Option<String>,
    /// Kernels that are left.
    #[command(flatten)]
    pub only: OnlyKernels,
    /// Only this variant, or `as-written`, and the baseline (repeatable)
    #[arg(long = "only-variant", value_name = "NAME", help_heading = "Selection")]
    pub only_variants: Vec<String>,
    /// Only this file system (repeatable)
    #[arg(long = "filesystem", value_name = "NAME", help_heading = "Selection")]
    pub only_filesystems: Vec<String>,
    /// Only this workload (repeatable)
    #[arg(long = "workload", value_name = "NAME", help_heading = "Selection")]
    pub only_workloads: Vec<String>,
    /// The device.
    #[command(flatten)]
    pub drive: DriveArgs,
    /// Number of repetitions per cell
    #[arg(long, value_name = "N", help_heading = "Selection")]
    pub repetitions: Option<u32>,
    /// Number of blocks of a session, in each of which every kernel is booted once and the baseline twice
    /// (metal lane)
    #[arg(long, value_name = "N", help_heading = "Selection")]
    pub blocks: Option<u32>,
    /// What decides the order of boots within blocks (metal lane) [default: one of the run's own]
    #[arg(long, value_name = "N", help_heading = "Selection")]
    pub seed: Option<u64>,
    /// Runtime of a repetition, and at most of a warm-up by time, where the scenario gives one
    #[arg(long, value_name = "TIME", help_heading = "Selection")]
    pub runtime: Option<String>,
    /// Words for the guests.
    #[command(flatten)]
    pub words: GuestWords,
    /// Directories of the host's.
    #[command(flatten)]
    pub share: ShareArgs,
    /// Let the guests hand files back through /artifacts, into artifacts/ in the run's directory (not in the exact lane)
    #[arg(help_heading = "Files", long)]
    pub artifacts: bool,
}

impl SelectArgs {
    /// What the command line changes about the scenario.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            kernels: self.own.kernels.clone(),
            baseline: self.baseline.clone(),
            only_kernels: self.only.only_kernels.clone(),
            only_variants: self.only_variants.clone(),
            vary: self.varied.vary.clone(),
            only_filesystems: self.only_filesystems.clone(),
            only_workloads: self.only_workloads.clone(),
            // What it is of the host's is for who has looked at it.
            device: match &self.drive.device {
                Some(DeviceWord::Model) => Some(ChosenDevice::Model),
                Some(DeviceWord::Nvme) => Some(ChosenDevice::Nvme),
                Some(DeviceWord::Host(_)) | None => None,
            },
            repetitions: self.repetitions,
            blocks: self.blocks,
            seed: self.seed,
            runtime: self.runtime.clone(),
            cmdline: self.words.cmdline.clone(),
            fio: self.fio.choices(),
        }
    }
}
