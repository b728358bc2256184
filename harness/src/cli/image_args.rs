//! The arguments of the verbs that make, read, send and fetch images.

use super::{
    choices::{AccelChoice, DeviceWord, QemuChoice, parse_runtime},
    input_args::InputArgs,
};
use crate::{
    report::Format,
    scenario::{MOST_BLOCKS, MOST_REPETITIONS},
};
use clap::{Args, ValueHint, value_parser};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

/// `diorama pack`
#[derive(Debug, Args)]
pub struct PackArgs {
    /// A run's directory, its id, or `latest`
    #[arg(value_name = "RUN", default_value = "latest", value_hint = ValueHint::DirPath)]
    pub run: String,
    /// The image's file [default: the run's id and `.diorama`, here]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Leave out what the lock files can fetch again: QEMU, Debian's kernels, the guests' tools
    #[arg(long)]
    pub thin: bool,
    /// Leave QEMU out
    #[arg(long)]
    pub without_vmm: bool,
    /// Plain lines instead of progress bars
    #[arg(long)]
    pub plain: bool,
    /// What the run was measured with.
    #[command(flatten)]
    pub inputs: InputArgs,
}

/// `diorama inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The image's file; or oci://HOST/NAME:TAG, https://HOST/FILE#sha256=DIGEST
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// Print the run's report in this format instead, its chart with svg and png
    #[arg(long, short, value_enum)]
    pub format: Option<Format>,
    /// Print all of it as JSON
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// `diorama replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The image's file; or oci://HOST/NAME:TAG, https://HOST/FILE#sha256=DIGEST
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// Replay only these cells, KERNEL/FILESYSTEM/WORKLOAD; `*` stands for any part (repeatable)
    #[arg(long = "cells", value_name = "CELL")]
    pub cells: Vec<String>,
    /// Profile the cells that differ from their baseline, and show where their instructions went
    #[arg(long)]
    pub explain: bool,
    /// How many virtual machines to run at once [default: one per core, as far as memory allows]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Use another QEMU than the image's: the system's, or an executable; digits may differ then
    #[arg(long, value_name = "system|PATH")]
    pub qemu: Option<QemuChoice>,
    /// One's own drive.
    #[command(flatten)]
    pub on: OnDriveArgs,
    /// Run the image's QEMU even where this host cannot confine it
    #[arg(long)]
    pub trust: bool,
    /// Download nothing, also for an image that was packed without what can be fetched
    #[arg(long)]
    pub offline: bool,
    /// Plain lines instead of progress bars
    #[arg(long)]
    pub plain: bool,
    /// How long each phase of a guest may take, and KVM's trial be silent, in seconds of the host's clock
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub deadline: Option<NonZeroU32>,
}

/// `diorama replay --device`
#[derive(Debug, Args)]
#[command(next_help_heading = "On a drive")]
pub struct OnDriveArgs {
    /// Measure the image's jobs on this device by the wall clock instead: QEMU's NVMe controller over an
    /// image file, a disk of this host's, or a controller passed through
    #[arg(long, value_name = "nvme|vfio:...|/dev/...")]
    #[arg(conflicts_with_all = ["cells", "explain", "jobs"])]
    pub device: Option<DeviceWord>,
    /// The serial number of the drive that --device names: all data on it will be lost
    #[arg(long, value_name = "SERIAL", requires = "device")]
    pub erase: Option<String>,
    /// Number of blocks of the session, in each of which every kernel is booted once and the baseline
    /// twice [default: 8]
    #[arg(long, value_name = "N", requires = "device")]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(MOST_BLOCKS)))]
    pub blocks: Option<u32>,
    /// What decides the order of boots within blocks [default: one of the run's own]
    #[arg(long, value_name = "N", requires = "device")]
    pub seed: Option<u64>,
    /// Measure each repetition for so long (10s) instead of for a number of I/Os; not fio's jobs
    #[arg(long, value_name = "TIME", requires = "device", value_parser = parse_runtime)]
    pub runtime: Option<u64>,
    /// Number of repetitions per boot [default: the record's]
    #[arg(long, value_name = "N", requires = "device")]
    #[arg(value_parser = value_parser!(u32).range(1..=i64::from(MOST_REPETITIONS)))]
    pub repetitions: Option<u32>,
    /// What executes the guests: KVM if a trial guest runs under it, else TCG
    #[arg(
        long,
        value_name = "auto|kvm|tcg",
        value_enum,
        hide_possible_values = true
    )]
    #[arg(requires = "device")]
    pub accel: Option<AccelChoice>,
}

/// `diorama push`
#[derive(Debug, Args)]
#[command(after_help = "\
Credentials are those of `docker login` (podman's, skopeo's and oras's are read, too). What a registry has
already is not sent again. The name by digest that is printed never means another image.")]
pub struct PushArgs {
    /// The image
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// Where to: oci://HOST/NAME:TAG
    #[arg(value_name = "oci://HOST/NAME:TAG")]
    pub to: String,
    /// Plain lines instead of progress bars
    #[arg(long)]
    pub plain: bool,
}

/// `diorama pull`
#[derive(Debug, Args)]
#[command(after_help = "\
Every byte is checked by its digest before anything looks at it, and an interrupted transfer is resumed. A
digest (oci://HOST/NAME@sha256:DIGEST, or a URL's) says which image it is; a tag says what its owner likes.")]
pub struct PullArgs {
    /// oci://HOST/NAME:TAG, oci://HOST/NAME@sha256:DIGEST, or https://HOST/FILE#sha256=DIGEST
    #[arg(value_name = "REFERENCE")]
    pub from: String,
    /// The file to write
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Plain lines instead of progress bars
    #[arg(long)]
    pub plain: bool,
}
