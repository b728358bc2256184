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

    /// As the guest finds it.
    #[must_use]
    pub fn in_guest(&self) -> diorama_wire::Device {
        match self {
            Device::Model(model) => diorama_wire::Device::Model(model.clone()),
            Device::Nvme(nvme) => diorama_wire::Device::Nvme(NvmeDevice {
                serial: nvme.serial.clone(),
                size: u64::from(nvme.size_mib) << 20,
                block_size: nvme.block_size,
                scheduler: nvme.scheduler.clone(),
            }),
        }
    }
}
