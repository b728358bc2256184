//! The device that cells run on, as a scenario means it (pure).

use super::DeviceKind;
use diorama_wire::{ModelDevice, NvmeDevice};
use serde::{Deserialize, Serialize};

/// The device of all cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// null_blk in the guest's memory.
    Model(ModelDevice),
    /// QEMU's emulated NVMe controller over an image file.
    Nvme(EmulatedNvme),
    /// The same over a disk of the host's.
    Disk(HostDisk),
    /// A controller of the host's, passed through.
    Vfio(PassedThrough),
}

/// An NVMe controller of the host's, with one namespace. Where it is on the host is no part of a
/// record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedThrough {
    /// The serial number that was confirmed; the guest must find it.
    pub serial: String,
    /// Capacity in bytes, where the host could ask: not while vfio-pci had it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Logical block size in bytes, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u32>,
    /// Block-layer scheduler in the guest (`queue/scheduler`).
    pub scheduler: String,
}

/// A disk of the host's, as a file system sees it. Where it is on the host is no part of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDisk {
    /// The serial number that was confirmed, as the guest's controller has it.
    pub serial: String,
    /// Capacity in bytes.
    pub size: u64,
    /// Logical block size in bytes.
    pub block_size: u32,
    /// I/O queue pairs that the guest's controller offers (`max_ioqpairs`).
    pub queues: u32,
    /// Block-layer scheduler in the guest (`queue/scheduler`).
    pub scheduler: String,
}

/// QEMU's emulated NVMe controller with one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedNvme {
    /// Capacity in MiB.
    pub size_mib: u32,
    /// Logical block size in bytes.
    pub block_size: u32,
    /// I/O queue pairs that the controller offers (`max_ioqpairs`).
    pub queues: u32,
    /// Serial number.
    pub serial: String,
    /// Block-layer scheduler in the guest (`queue/scheduler`).
    pub scheduler: String,
}

impl Device {
    /// Which one.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        match self {
            Device::Model(_) => DeviceKind::Model,
            Device::Nvme(_) => DeviceKind::Nvme,
            Device::Disk(_) => DeviceKind::Disk,
            Device::Vfio(_) => DeviceKind::Vfio,
        }
    }

    /// The model device, if it is one.
    #[must_use]
    pub fn model(&self) -> Option<&ModelDevice> {
        match self {
            Device::Model(model) => Some(model),
            Device::Nvme(_) | Device::Disk(_) | Device::Vfio(_) => None,
        }
    }

    /// Whether it holds zeros where nothing was written.
    #[must_use]
    pub fn is_zeroed(&self) -> bool {
        !matches!(self, Device::Disk(_) | Device::Vfio(_))
    }

    /// How many queues it offers the guest; a real one's own are not known here.
    #[must_use]
    pub fn queues(&self) -> Option<u32> {
        match self {
            Device::Model(model) => Some(model.submit_queues),
            Device::Nvme(nvme) => Some(nvme.queues),
            Device::Disk(disk) => Some(disk.queues),
            Device::Vfio(_) => None,
        }
    }

    /// As the guest finds it.
    #[must_use]
    pub fn in_guest(&self) -> diorama_wire::Device {
        match self {
            Device::Model(model) => diorama_wire::Device::Model(model.clone()),
            Device::Nvme(nvme) => diorama_wire::Device::Nvme(NvmeDevice {
                serial: nvme.serial.clone(),
                size: Some(u64::from(nvme.size_mib) << 20),
                block_size: Some(nvme.block_size),
                scheduler: nvme.scheduler.clone(),
            }),
            Device::Disk(disk) => diorama_wire::Device::Nvme(NvmeDevice {
                serial: disk.serial.clone(),
                size: Some(disk.size),
                block_size: Some(disk.block_size),
                scheduler: disk.scheduler.clone(),
            }),
            Device::Vfio(passed) => diorama_wire::Device::Nvme(NvmeDevice {
                serial: passed.serial.clone(),
                size: passed.size,
                block_size: passed.block_size,
                scheduler: passed.scheduler.clone(),
            }),
        }
    }
}
