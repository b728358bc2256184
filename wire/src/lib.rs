//! The single contract between the harness and the guest agent.
//!
//! Pure data: no I/O, no clock, no async runtime. Everything that crosses the
//! border of a virtual machine is defined here, in both directions:
//!
//! * [`Boot`] travels in the initramfs and is part of a checkpoint's identity;
//! * [`Job`] travels in a fw_cfg item (or, for a guest that does not stop itself,
//!   in the initramfs) and is part of a cell's identity;
//! * [`Progress`] lines leave one-way through a debug port before and during the
//!   measurement, when no host-driven device may exist;
//! * [`Message`]s leave over vsock, only after the measurement; a guest that is to give a [`Shell`]
//!   measures nothing, and has its terminal there.

mod check;
mod conditioning;
pub mod config;
mod device;
mod filesystem;
mod fio;
mod job;
mod mark;
mod message;
mod progress;
mod report;
mod shell;
mod workload;

pub use conditioning::{Conditioned, Conditioning, NvmeFormat, Precondition};
pub use device::{Clock, Device, Driver, ModelDevice, NvmeDevice, StackLayer, WriteCache};
pub use filesystem::{Filesystem, FsFacts, FsKind, complaint};
pub use fio::{FIO_DIR, Fio, FioFile, FioJob, FioOverhead, FioReport};
pub use job::{Boot, Job, Measure, Module, Share, StopBy};
pub use mark::{MARK, Mark};
pub use message::{
    Ack, FrameError, LoadedModule, MAX_FRAME, Message, Symbols, decode_frame, encode_frame,
};
pub use progress::{Phase, Progress};
pub use report::{
    BootFacts, CellReport, DeviceFacts, EngineFacts, Evidence, Failure, FailureKind,
    FilesystemFacts, LatencyBucket, NvmeFacts, Repetition, SpinCheck,
};
pub use shell::{
    FromShell, Prepared, Shell, ShellFrame, Size, Terminal, ToShell, decode_shell, encode_shell,
};
pub use workload::{Batch, Bound, Engine, IoUring, Layout, Rw, Sync, Workload};

/// Version of everything in this crate. A harness and an agent that disagree do not talk.
pub const PROTOCOL: u32 = 7;

/// The vsock port on which the host (CID 2) listens for the agent.
pub const VSOCK_PORT: u32 = 5005;

/// Name of the fw_cfg item that carries the [`Job`] as JSON.
pub const FW_CFG_JOB: &str = "opt/diorama/job";

/// Size of that item in bytes, always: the firmware copies fw_cfg's directory, sizes included, into
/// the guest's memory, which must not depend on a job's length. The JSON is followed by spaces.
pub const FW_CFG_JOB_SIZE: usize = 8192;

/// Where the initramfs holds the [`Boot`] as JSON.
pub const BOOT_PATH: &str = "/diorama/boot.json";

/// Where the initramfs holds the [`Job`] of a guest that boots once per cell.
pub const JOB_PATH: &str = "/diorama/job.json";

/// Below which the guest has the directories that the host shares, by their tags.
pub const SHARES: &str = "/share";

/// Tag of the directory through which the guest hands files back, mounted at [`ARTIFACTS`].
pub const ARTIFACTS_TAG: &str = "artifacts";

/// Where it is in the guest.
pub const ARTIFACTS: &str = "/artifacts";

/// A program in a shared directory that the guest runs once its cell is measured and reported, with
/// [`ARTIFACTS`] as its working directory.
pub const AFTER_CELL: &str = "after-cell";

/// I/O port of QEMU's `isa-debugcon`: one byte out is one byte of [`Progress`].
pub const DEBUGCON_PORT: u16 = 0x402;

/// I/O port of QEMU's `pvpanic`; with `-action panic=pause` a write stops the machine.
pub const PVPANIC_PORT: u16 = 0x505;

/// The bit written to [`PVPANIC_PORT`] (`PVPANIC_PANICKED` in QEMU's docs/specs/pvpanic.rst).
pub const PVPANIC_PANICKED: u8 = 1;

/// Selector port of fw_cfg (QEMU's docs/specs/fw_cfg.rst).
pub const FW_CFG_SELECTOR_PORT: u16 = 0x510;

/// Data port of fw_cfg.
pub const FW_CFG_DATA_PORT: u16 = 0x511;

/// Key of fw_cfg's directory.
pub const FW_CFG_FILE_DIR: u16 = 0x19;

/// null_blk grants its `mbps` allowance this often, in nanoseconds of guest time
/// (`TICKS_PER_SEC` 50 in drivers/block/null_blk/main.c).
pub const BANDWIDTH_PERIOD_NS: u64 = 20_000_000;
