//! What the command line looks like: definitions only, one struct per verb.

use super::choices::{AccelChoice, DeviceWord, QemuChoice};
use super::fio_args::FioArgs;
use crate::{
    error::{Error, Result},
    report::Format,
    scenario::{ChosenDevice, KernelRef, Overrides, parse_kernel},
    units::parse_bytes,
};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::{
    ffi::OsString,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

const AFTER_LONG_HELP: &str = include_str!("after_help.txt");

/// Reproduces Linux direct-I/O performance regressions in virtual machines, bit-exactly.
///
/// A scenario names kernels, file systems and workloads. Each combination is a cell, measured in a
/// virtual machine whose clock counts executed instructions: equal inputs give equal digits, on any
/// machine. Needs no root, KVM, NVMe drive or installed QEMU.
#[derive(Debug, Parser)]
#[command(name = "diorama", version, max_term_width = 100, after_long_help = AFTER_LONG_HELP)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Where things are.
    #[command(flatten)]
    pub places: Places,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// If the output is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Directories of the project and of the user.
#[derive(Debug, Args)]
#[command(next_help_heading = "Places")]
pub struct Places {
    /// The project's directory (scenarios/, kernels/, images/) [default: this directory or a parent]
    /// [env: DIORAMA_ROOT]
    #[arg(long, global = true)]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Downloads, checkpoints and measured cells [default: the user's cache directory]
    /// [env: DIORAMA_CACHE]
    #[arg(long, global = true)]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// Where runs are recorded [default: results/ in the project's directory]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub results: Option<PathBuf>,
}

impl Cli {
    /// What the command line leaves open, from the environment. Not by clap: it would take an empty
    /// variable for a wrong value, and show a set one as if it had been typed.
    ///
    /// # Errors
    /// When a variable's value makes no sense.
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Cli> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let places = &mut self.places;
        places.root = places.root.take().or_else(|| path("DIORAMA_ROOT"));
        places.cache = places.cache.take().or_else(|| path("DIORAMA_CACHE"));
        let (inputs, measure) = match &mut self.verb {
            Verb::Repro(ReproArgs { measure, .. }) | Verb::Run(RunArgs { measure, .. }) => {
                (&mut measure.inputs, Some(&mut measure.deadline))
            }
            Verb::Plan(PlanArgs { inputs, .. }) => (inputs, None),
            _ => return Ok(self),
        };
        inputs.agent = inputs.agent.take().or_else(|| path("DIORAMA_AGENT"));
        if let Some(deadline) = measure
            && deadline.is_none()
            && let Some(value) = set("DIORAMA_DEADLINE")
        {
            let seconds = value.to_string_lossy().parse().map_err(|e| {
                Error::input(format!("DIORAMA_DEADLINE is `{}`", value.display()))
                    .because(e as std::num::ParseIntError)
                    .hint("set it to a number of seconds, 1 or more, or unset it")
            })?;
            *deadline = Some(seconds);
        }
        Ok(self)
    }
}

/// How many guests at once.
fn parse_jobs(text: &str) -> std::result::Result<NonZeroUsize, String> {
    let jobs = text.parse::<u16>().ok().map(usize::from);
    jobs.and_then(NonZeroUsize::new)
        .ok_or_else(|| "not a number of virtual machines; use 1 or more, or omit --jobs".to_owned())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Measure a scenario, compare, report, and say whether it was reproduced
    Repro(ReproArgs),
    /// Measure a scenario and say where the record is, without a verdict
    Run(RunArgs),
    /// Show where a cell's instructions went, and what differs from another kernel
    Explain(ExplainArgs),
    /// Compare our engines with fio's: do they see the same kernel?
    Agree(AgreeArgs),
    /// Compare recorded runs in one set of tables
    Compare(CompareArgs),
    /// Render a recorded run
    Report(ReportArgs),
    /// Show a scenario's cells, their input digests and what is cached, without measuring
    Plan(PlanArgs),
    /// List the defined kernels and their lock entries
    Kernels(ListArgs),
    /// Resolve kernels and tools to files in Debian's archive, and write the lock files
    Lock(LockArgs),
    /// Download everything a scenario needs, for working offline
    Fetch(FetchArgs),
    /// Check what this host can do, and how to fix the rest
    Doctor(DoctorArgs),
    /// List this host's NVMe controllers, and whether a guest could have them
    Devices(DevicesArgs),
    /// Show, shrink or clear the cache
    Cache(CacheArgs),
    /// Build the guest agent from the checkout, and print its path
    #[command(hide = true)]
    Agent(AgentArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
}

/// Kernels that the scenario does not have.
#[derive(Clone, Debug, Default, Args)]
pub struct OwnKernels {
    /// Add your own kernel: bzImage or vmlinux, and the directory of its modules
    #[arg(long = "kernel", value_name = "NAME=PATH[,modules=DIR]", value_parser = parse_kernel)]
    #[arg(help_heading = "Selection")]
    pub kernels: Vec<KernelRef>,
}

/// Which of the kernels.
#[derive(Clone, Debug, Default, Args)]
pub struct OnlyKernels {
    /// Only this kernel, and the baseline (repeatable)
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

/// The scenario, and what the command line changes about it.
#[derive(Debug, Args)]
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
    /// Compare with this kernel instead of the scenario's baseline
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    pub baseline: Option<String>,
    /// Kernels that are left.
    #[command(flatten)]
    pub only: OnlyKernels,
    /// Only this file system (repeatable)
    #[arg(long = "filesystem", value_name = "NAME", help_heading = "Selection")]
    pub only_filesystems: Vec<String>,
    /// Only this workload (repeatable)
    #[arg(long = "workload", value_name = "NAME", help_heading = "Selection")]
    pub only_workloads: Vec<String>,
    /// Run on this device instead of the scenario's
    #[arg(long, value_name = "model|nvme|/dev/...", help_heading = "Selection")]
    pub device: Option<DeviceWord>,
    /// The serial number of the drive that --device names: all data on it will be lost
    #[arg(long, value_name = "SERIAL", help_heading = "Selection")]
    pub erase: Option<String>,
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
    /// Words for the guests.
    #[command(flatten)]
    pub words: GuestWords,
}

impl SelectArgs {
    /// What the command line changes about the scenario.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            kernels: self.own.kernels.clone(),
            baseline: self.baseline.clone(),
            only_kernels: self.only.only_kernels.clone(),
            only_filesystems: self.only_filesystems.clone(),
            only_workloads: self.only_workloads.clone(),
            // What it is of the host's is for who has looked at it.
            device: match &self.device {
                Some(DeviceWord::Model) => Some(ChosenDevice::Model),
                Some(DeviceWord::Nvme) => Some(ChosenDevice::Nvme),
                Some(DeviceWord::Host(_)) | None => None,
            },
            repetitions: self.repetitions,
            blocks: self.blocks,
            seed: self.seed,
            cmdline: self.words.cmdline.clone(),
            fio: self.fio.choices(),
        }
    }
}

/// What is measured with, besides the scenario: inputs of every digit, and where they come from.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// Fail if a locked file is gone, instead of using what the archive has now
    #[arg(help_heading = "Inputs", long)]
    pub locked: bool,
    /// Download nothing
    #[arg(help_heading = "Inputs", long)]
    pub offline: bool,
    /// Which QEMU to use: the locked one, the system's, or an executable
    #[arg(
        help_heading = "Inputs",
        long,
        value_name = "lock|system|PATH",
        default_value = "lock"
    )]
    pub qemu: QemuChoice,
    /// What executes guests that run by the wall clock: KVM if a trial guest runs under it, else TCG
    #[arg(
        help_heading = "Inputs",
        long,
        value_name = "auto|kvm|tcg",
        value_enum,
        hide_possible_values = true,
        default_value = "auto"
    )]
    pub accel: AccelChoice,
    /// Boot for every cell instead of restoring checkpoints (slow, same digits)
    #[arg(help_heading = "Inputs", long)]
    pub no_checkpoint: bool,
    /// The guest agent's executable
    #[arg(help_heading = "Inputs", long, value_name = "PATH", hide = true)]
    pub agent: Option<PathBuf>,
}

/// How to measure.
#[derive(Debug, Args)]
#[command(next_help_heading = "Measuring")]
pub struct MeasureArgs {
    /// Measure every cell again, and replace the cached results
    #[arg(long)]
    pub fresh: bool,
    /// Measure every cell again, and compare every digit and guest memory with the cached results
    #[arg(long, conflicts_with = "fresh")]
    pub verify: bool,
    /// How many virtual machines to run at once [default: one per core, as far as memory allows]
    #[arg(long, short, value_name = "N", value_parser = parse_jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Stop at the first cell that is not measured, instead of continuing with the others
    #[arg(long = "fail-fast", action = ArgAction::SetFalse)]
    pub keep_going: bool,
    /// How long each phase of a guest may take, in seconds of the host's clock
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub deadline: Option<NonZeroU32>,
    /// Plain lines instead of progress bars
    #[arg(long)]
    pub plain: bool,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// What is measured with.
    #[command(flatten)]
    pub inputs: InputArgs,
}

/// `diorama repro`
#[derive(Debug, Args)]
pub struct ReproArgs {
    /// The scenario.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Profile the cells that differ, and show in the report where
    #[arg(long)]
    pub explain: bool,
    /// How to measure.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// `diorama run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The scenario.
    #[command(flatten)]
    pub select: SelectArgs,
    /// How to measure.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// `diorama explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A cell, KERNEL/FILESYSTEM/WORKLOAD; or a run (its directory, its id, or `latest`), for each of its
    /// cells that differs from the baseline
    #[arg(value_name = "CELL|RUN", value_hint = ValueHint::DirPath)]
    pub what: String,
    /// The kernel to compare it with [default: the scenario's baseline]
    #[arg(long, value_name = "KERNEL")]
    pub against: Option<String>,
    /// Output format; files are written in every format
    #[arg(long, short, value_enum, default_value_t = ExplainFormat::Terminal)]
    pub format: ExplainFormat,
    /// How many functions to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub functions: usize,
    /// The cell's scenario: a file, or the name of one in scenarios/
    #[arg(long, value_name = "NAME", default_value = "iomap-dio", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Selection")]
    pub scenario: String,
    /// Kernels of one's own.
    #[command(flatten)]
    pub own: OwnKernels,
    /// Number of repetitions of the cell
    #[arg(long, value_name = "N", help_heading = "Selection")]
    pub repetitions: Option<u32>,
    /// Words for the guests.
    #[command(flatten)]
    pub words: GuestWords,
    /// How many virtual machines to run at once [default: one per core, as far as memory allows]
    #[arg(long, short, value_name = "N", help_heading = "Measuring")]
    pub jobs: Option<NonZeroUsize>,
    /// Plain lines instead of progress bars
    #[arg(long, help_heading = "Measuring")]
    pub plain: bool,
    /// What is measured with.
    #[command(flatten)]
    pub inputs: InputArgs,
}

/// What an explanation is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// Aligned tables for a terminal
    Terminal,
    /// Tables for a document
    Markdown,
    /// Everything, as data
    Json,
    /// A line per layer that grew, 72 columns wide
    Mail,
}

/// `diorama agree`
#[derive(Debug, Args)]
pub struct AgreeArgs {
    /// Kernels that are left.
    #[command(flatten)]
    pub only: OnlyKernels,
    /// How to measure.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// `diorama compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A run's directory, its id, or `latest`; several are shown one below the other
    #[arg(required = true, value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub runs: Vec<String>,
    /// Compare with this kernel instead of the scenario's baseline
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

/// `diorama report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A run's directory, its id, or `latest`
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub run: String,
    /// Output format
    #[arg(long, short, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// `diorama plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The scenario.
    #[command(flatten)]
    pub select: SelectArgs,
    /// What would be measured with.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

/// `diorama kernels`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

/// `diorama lock`
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Resolve only this kernel or tool set again (repeatable) [default: all]
    #[arg(long, value_name = "NAME")]
    pub update: Vec<String>,
    /// Accept packages older than those currently locked
    #[arg(long)]
    pub allow_older: bool,
    /// Write nothing; fail if the lock does not match the definitions or a file is gone
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
}

/// `diorama fetch`
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// A scenario file, or the name of one in scenarios/
    #[arg(default_value = "iomap-dio", value_hint = ValueHint::FilePath)]
    pub scenario: String,
    /// Also this tool set of images/lock.toml (repeatable)
    #[arg(long = "tool-set", value_name = "NAME")]
    pub tool_sets: Vec<String>,
    /// Fail if a locked file is gone, instead of using what the archive has now
    #[arg(long)]
    pub locked: bool,
    /// Plain lines instead of progress bars
    #[arg(long)]
    pub plain: bool,
}

/// `diorama agent`
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Fail if a locked file is gone, instead of using what the archive has now
    #[arg(long)]
    pub locked: bool,
    /// Download nothing
    #[arg(long)]
    pub offline: bool,
}

/// `diorama doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print the checks as JSON
    #[arg(long)]
    pub json: bool,
    /// Which QEMU to try KVM with: the locked one, the system's, or an executable
    #[arg(long, value_name = "lock|system|PATH", default_value = "lock")]
    pub qemu: QemuChoice,
    /// Do not use the network
    #[arg(long)]
    pub offline: bool,
}

/// `diorama devices`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevicesArgs {
    /// What to do with them, besides listing them.
    #[command(subcommand)]
    pub verb: Option<DevicesVerb>,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with devices.
#[derive(Debug, Subcommand)]
pub enum DevicesVerb {
    /// Give devices back to their drivers that a run which was killed left bound to vfio-pci
    Restore,
}

/// `diorama cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: CacheVerb,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheVerb {
    /// List what is in it, with sizes
    List(ListArgs),
    /// Remove the least recently used entries until it is no larger than this
    Shrink {
        /// A size: 500MiB, 10GiB
        #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
        max: u64,
    },
    /// Remove everything
    Clear,
}

/// `diorama completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
