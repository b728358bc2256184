//! The arguments that say what is measured with.

use super::choices::{AccelChoice, QemuChoice};
use clap::Args;
use std::{num::NonZeroU32, path::PathBuf};

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
    /// How long each phase of a guest may take, and KVM's trial be silent, in seconds of the host's clock
    #[arg(help_heading = "Inputs", long, value_name = "SECONDS", hide = true)]
    pub deadline: Option<NonZeroU32>,
}
