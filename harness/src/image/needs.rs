//! What the cells of an image need of a kernel, and what it lacks. Pure.

use diorama_wire::{Device, Engine, FsKind};
use serde::{Deserialize, Serialize};

/// What the cells of one image need, besides vsock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// File systems that will be made.
    pub filesystems: Vec<FsKind>,
    /// Engines that will run.
    pub engines: Vec<Engine>,
    /// Whether fio runs, and not only the agent's own engines.
    pub fio: bool,
    /// CPUs of the guest.
    pub smp: u32,
    /// The device, which may need more than its driver; none is a model device that does not.
    pub device: Option<Device>,
    /// What other cells have in its place, from the same image: the same device with another scheduler, for
    /// one. Their modules are loaded too.
    pub besides: Vec<Device>,
    /// Whether completions are polled for.
    pub polled: bool,
    /// Whether progress is on the console even where the guest could stop itself.
    pub console: bool,
    /// Whether directories of the host's are shared with the guest.
    pub shares: bool,
}

/// Something the kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What it is and what it is needed for.
    pub what: String,
    /// CONFIG_ options that provide it.
    pub options: Vec<String>,
    /// False when there is only no sign of it: the guest will tell.
    pub certain: bool,
}

/// A driver or file system: module name, option, purpose.
pub(super) type Driver = (&'static str, &'static str, &'static str);
