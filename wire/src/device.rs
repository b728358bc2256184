//! The block device under a cell's file system, and the clock it is measured by.

use crate::config;
use serde::{Deserialize, Serialize};

/// What time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// QEMU's instruction counter: one instruction, one nanosecond.
    Instructions,
    /// The host's clock.
    Wall,
}

impl Clock {
    /// The word a scenario uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Clock::Instructions => "instructions",
            Clock::Wall => "wall",
        }
    }
}

/// A guest's block device. Which of several hosts' ways put an NVMe drive there is nothing that a guest
/// could tell: an emulated controller, one over a disk of the host's and one passed through are
/// found alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The agent makes it.
    Model(ModelDevice),
    /// The host put it there.
    Nvme(NvmeDevice),
}

impl Device {
    /// What drives it.
    #[must_use]
    pub fn driver(&self) -> Driver {
        match self {
            Device::Model(_) => Driver::NullBlk,
            Device::Nvme(_) => Driver::Nvme,
        }
    }

    /// The model device, if it is one.
    #[must_use]
    pub fn model(&self) -> Option<&ModelDevice> {
        match self {
            Device::Model(model) => Some(model),
            Device::Nvme(_) => None,
        }
    }

    /// Capacity in bytes, where it is known before the guest has looked.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Device::Model(model) => Some(u64::from(model.size_mib) << 20),
            Device::Nvme(nvme) => nvme.size,
        }
    }

    /// Logical block size in bytes, where it is known before the guest has looked.
    #[must_use]
    pub fn block_size(&self) -> Option<u32> {
        match self {
            Device::Model(model) => Some(model.block_size),
            Device::Nvme(nvme) => nvme.block_size,
        }
    }

    /// Drives that each write goes to.
    #[must_use]
    pub fn copies(&self) -> u64 {
        match self.model().is_some_and(ModelDevice::is_mirrored) {
            true => 2,
            false => 1,
        }
    }

    /// Block-layer scheduler (`queue/scheduler`).
    #[must_use]
    pub fn scheduler(&self) -> &str {
        match self {
            Device::Model(model) => &model.scheduler,
            Device::Nvme(nvme) => &nvme.scheduler,
        }
    }
}

/// What drives a guest's block devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// null_blk
    NullBlk,
    /// nvme
    Nvme,
}

/// The first namespace of an NVMe controller. All of its data may be destroyed, so it is known by its
/// serial and never by a kernel's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvmeDevice {
    /// The controller's serial number (SN in Identify Controller), without the blanks around it.
    pub serial: String,
    /// Capacity in bytes; the drive that is found must have it. None where the host could not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Logical block size in bytes; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u32>,
    /// Block-layer scheduler (`queue/scheduler`).
    pub scheduler: String,
}

/// A memory-backed null_blk with modelled latency and bandwidth
/// (Documentation/block/null_blk.rst; attributes below /config/nullb).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDevice {
    /// Capacity in MiB (`size`).
    pub size_mib: u32,
    /// Logical block size in bytes (`blocksize`).
    pub block_size: u32,
    /// Completion latency in nanoseconds (`completion_nsec`, with `irqmode=2`).
    pub latency_ns: u64,
    /// Bandwidth bound in MiB/s (`mbps`); none when absent.
    pub bandwidth_mib_s: Option<u32>,
    /// Requests the device holds (`hw_queue_depth`).
    pub hw_queue_depth: u32,
    /// Hardware queues (`submit_queues`).
    pub submit_queues: u32,
    /// Block-layer scheduler (`queue/scheduler`).
    pub scheduler: String,
    /// What lies between the drive and the file system, from the drive up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<StackLayer>,
    /// Its volatile write cache. Without one it is write-through, and no flush reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_cache: Option<WriteCache>,
}

impl ModelDevice {
    /// Whether there are two drives, each holding all the data.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        self.stack.contains(&StackLayer::Raid1)
    }

    /// Whether it is made of two null_blk disks behind device-mapper: null_blk has one latency, so a
    /// flush that takes another time is another disk's.
    #[must_use]
    pub fn is_stacked(&self) -> bool {
        self.write_cache
            .is_some_and(|cache| cache.flush_latency_ns != self.latency_ns)
    }
}

/// A block device over another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackLayer {
    /// device-mapper's linear target over the whole device, as LVM has it.
    Linear,
    /// device-mapper's crypt target: AES-XTS with a key of 512 bits, in sectors of the device's blocks.
    Crypt,
    /// A loop device over it, with direct I/O below.
    Loop,
    /// md's RAID1 over two drives that are alike: the lowest layer only.
    Raid1,
}

impl StackLayer {
    /// Every layer.
    pub const ALL: [StackLayer; 4] = [
        StackLayer::Linear,
        StackLayer::Crypt,
        StackLayer::Loop,
        StackLayer::Raid1,
    ];

    /// The word used on the wire and in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StackLayer::Linear => "linear",
            StackLayer::Crypt => "crypt",
            StackLayer::Loop => "loop",
            StackLayer::Raid1 => "raid1",
        }
    }

    /// The options of a kernel's configuration that build it.
    #[must_use]
    pub fn options(self) -> &'static [&'static str] {
        match self {
            StackLayer::Linear => &[config::BLK_DEV_DM],
            StackLayer::Crypt => &[config::BLK_DEV_DM, config::DM_CRYPT, config::CRYPTO_XTS],
            StackLayer::Loop => &[config::BLK_DEV_LOOP],
            StackLayer::Raid1 => &[config::BLK_DEV_MD, config::MD_RAID1],
        }
    }
}

/// A volatile write cache: the device tells the kernel of it, and so gets flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteCache {
    /// Whether it also takes FUA writes, which need no flush. Each takes the device's latency, as
    /// any write does.
    pub fua: bool,
    /// What a flush takes, in nanoseconds.
    pub flush_latency_ns: u64,
}
