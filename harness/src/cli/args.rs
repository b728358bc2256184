//! What the command line looks like: definitions only, one struct per verb.

use super::{
    choices::{QemuChoice, parse_slowdown},
    fio_args::FioArgs,
    share::{ServeDirectoryArgs, ShareArgs},
};
use crate::{
    error::{Error, Result},
    report::Format,
    units::parse_bytes,
    vm::share::VERB,
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
    /// The project's directory (scenarios/, kernels/, images/) [default: what the program carries, if it
    /// does; else this directory or a parent] [env: DIORAMA_ROOT]
    #[arg(long, global = true)]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Downloads, checkpoints and measured cells [default: the user's cache directory]
    /// [env: DIORAMA_CACHE]
    #[arg(long, global = true)]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// Where runs are recorded [default: results/ in the project's directory; in this one if the program
    /// carries the project]
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
        let inputs = |inputs: &mut InputArgs| {
            inputs.agent = inputs.agent.take().or_else(|| path("DIORAMA_AGENT"));
        };
        let deadline = match &mut self.verb {
            Verb::Repro(ReproArgs { measure, .. })
            | Verb::Run(RunArgs { measure, .. })
            | Verb::Agree(AgreeArgs { measure, .. })
            | Verb::Gallery(GalleryArgs { measure, .. })
            | Verb::Calibrate(CalibrateArgs { measure, .. }) => {
                inputs(&mut measure.inputs);
                &mut measure.inputs.deadline
            }
            Verb::Plan(PlanArgs { inputs: of, .. })
            | Verb::Explain(ExplainArgs { inputs: of, .. })
            | Verb::Pack(PackArgs { inputs: of, .. })
            | Verb::Shell(ShellArgs { inputs: of, .. }) => {
                inputs(of);
                &mut of.deadline
            }
            Verb::Doctor(doctor) => &mut doctor.deadline,
            Verb::Replay(replay) => &mut replay.deadline,
            _ => return Ok(self),
        };
        if deadline.is_none()
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
    /// Measure a scenario's baseline against itself, and against itself throttled: can differences be
    /// found here? (metal lane)
    Calibrate(CalibrateArgs),
    /// Show where a cell's instructions went, and what differs from another kernel
    Explain(ExplainArgs),
    /// Open a shell in the guest that a cell would have
    Shell(ShellArgs),
    /// Compare our engines with fio's: do they see the same kernel?
    Agree(AgreeArgs),
    /// Run the published reports of scenarios/gallery, and print one page of what came of each
    Gallery(GalleryArgs),
    /// Compare recorded runs in one set of tables
    Compare(CompareArgs),
    /// Say which inputs and which results of two recorded runs differ, and nothing else
    Diff(DiffArgs),
    /// Render a recorded run
    Report(ReportArgs),
    /// Pack a recorded run and everything that made it into one file, for others to replay
    Pack(PackArgs),
    /// Show what is in an image, and its report, without running anything
    Inspect(InspectArgs),
    /// Measure an image's cells again, out of the image alone, and compare every digit
    Replay(ReplayArgs),
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
    /// Send an image to an OCI registry
    Push(PushArgs),
    /// Fetch an image from an OCI registry, or by https, into a file
    Pull(PullArgs),
    /// Show, shrink or clear the cache
    Cache(CacheArgs),
    /// Build the guest agent from the checkout, and print its path
    #[command(hide = true)]
    Agent(AgentArgs),
    /// Build one static program from the checkout that carries all it needs, and print its sha256 and path
    #[command(hide = true)]
    Dist(DistArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Serve a directory to a guest: started by the program itself, with descriptors that it inherits
    #[command(hide = true, name = VERB)]
    ServeDirectory(ServeDirectoryArgs),
}

pub use super::image_args::{InspectArgs, OnDriveArgs, PackArgs, PullArgs, PushArgs, ReplayArgs};
pub use super::input_args::InputArgs;
pub use super::select::{DriveArgs, GuestWords, OnlyKernels, OwnKernels, SelectArgs, VaryArgs};

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
    /// Show all figures with their ranges, all costs and all claims
    #[arg(long, short)]
    pub verbose: bool,
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

/// `diorama gallery`
#[derive(Debug, Args)]
pub struct GalleryArgs {
    /// Only these, as mq-deadline or gallery/mq-deadline [default: all]
    #[arg(value_name = "ENTRY")]
    pub entries: Vec<String>,
    /// How to measure.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// `diorama calibrate`
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// The scenario.
    #[command(flatten)]
    pub select: SelectArgs,
    /// By how much the throttled baseline is made slower
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = parse_slowdown)]
    pub slowdown: f64,
    /// Measure the baseline against itself alone
    #[arg(long, conflicts_with = "slowdown")]
    pub aa_only: bool,
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
    /// The kernel, or kernel and variant (6.12+mq-deadline), to compare it with [default: the scenario's
    /// baseline]
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
    /// fio's jobs in place of a scenario.
    #[command(flatten)]
    pub fio: FioArgs,
    /// Kernels of one's own.
    #[command(flatten)]
    pub own: OwnKernels,
    /// Other axes.
    #[command(flatten)]
    pub varied: VaryArgs,
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

/// `diorama shell`
#[derive(Debug, Args)]
#[command(after_help = "\
Leave with `exit`, or with Ctrl-] at any time. A terminal is passed on; without one, commands come from
standard input. The exit code is then the last command's, and a command's with --command; what diorama
itself fails at has its usual codes.")]
pub struct ShellArgs {
    /// A kernel of the scenario, another locked one, or your own build
    #[arg(value_name = "KERNEL|NAME=PATH[,modules=DIR]")]
    pub kernel: String,
    /// Run this command instead of a shell, and exit as it does
    #[arg(long, short, value_name = "COMMAND", allow_hyphen_values = true)]
    pub command: Option<String>,
    /// The cell's scenario: a file, or the name of one in scenarios/
    #[arg(long, value_name = "NAME", default_value = "iomap-dio", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Selection")]
    pub scenario: String,
    /// The cell's file system [default: the scenario's first]
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    pub filesystem: Option<String>,
    /// The cell's workload, whose files are laid out [default: the scenario's first]
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    pub workload: Option<String>,
    /// The device.
    #[command(flatten)]
    pub drive: DriveArgs,
    /// Directories of the host's.
    #[command(flatten)]
    pub share: ShareArgs,
    /// Words for the guest.
    #[command(flatten)]
    pub words: GuestWords,
    /// What it is made of.
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
    /// Show all figures with their ranges, and all costs
    #[arg(long, short)]
    pub verbose: bool,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

/// `diorama diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A run's directory, its id, or `latest`
    #[arg(value_name = "A", value_hint = ValueHint::DirPath)]
    pub a: String,
    /// The run to compare it with
    #[arg(value_name = "B", value_hint = ValueHint::DirPath)]
    pub b: String,
    /// Name every digit that differs, not only the first few of each cell
    #[arg(long, short)]
    pub verbose: bool,
    /// Print all differences as JSON
    #[arg(long, conflicts_with = "verbose")]
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
    /// Show all figures with their ranges, all costs and all claims; files always have them
    #[arg(long, short)]
    pub verbose: bool,
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
    /// fio's jobs in place of a scenario.
    #[command(flatten)]
    pub fio: FioArgs,
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

/// `diorama dist`
#[derive(Debug, Args)]
pub struct DistArgs {
    /// What is built, and from where.
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Where to put the program [default: dist/diorama in the project's directory]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Instead of building a static program, let a copy of this one carry everything
    #[arg(long, value_name = "PATH", hide = true)]
    pub program: Option<PathBuf>,
    /// Instead of building the agent, let it carry this one, and the plugin beside it
    #[arg(long, value_name = "PATH", hide = true)]
    pub prebuilt: Option<PathBuf>,
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
    /// How long KVM's trial may be silent, in seconds
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub deadline: Option<NonZeroU32>,
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
