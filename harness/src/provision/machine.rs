//! The machines of a scenario's guests, as far as they are known before any is started (pure).

use crate::{
    digest::Sha256,
    kernel::BootBy,
    scenario::{Clock, Device, Scenario},
    vm::{
        Backing, Drive, EmulatedDrive, Spec, Time,
        share::{Access, Share},
    },
    vocabulary::Accel,
};
use diorama_wire::{ARTIFACTS, ARTIFACTS_TAG, SHARES, StopBy};
use std::path::PathBuf;

/// How guests hand over. By the wall clock nobody needs them to stand still, and port I/O from user space
/// is something that not every hypervisor below ours does well.
#[must_use]
pub fn stop_by(clock: Clock) -> StopBy {
    match clock {
        Clock::Instructions => StopBy::Pvpanic,
        Clock::Wall => StopBy::None,
    }
}

/// Where the guest has it: the artifacts' directory beside the others.
pub(super) fn in_guest(share: &Share) -> diorama_wire::Share {
    diorama_wire::Share {
        at: match share.tag.as_str() {
            ARTIFACTS_TAG => ARTIFACTS.to_owned(),
            tag => format!("{SHARES}/{tag}"),
        },
        tag: share.tag.clone(),
        read_only: share.access == Access::Read,
    }
}

/// What a kernel's guests boot: files with their digests.
pub struct Boots {
    /// vmlinux or bzImage.
    pub kernel: (PathBuf, Sha256),
    /// How it is entered.
    pub boot: BootBy,
    /// The initramfs.
    pub initramfs: (PathBuf, Sha256),
}

impl Boots {
    /// The machine that boots it for a scenario's cells.
    #[must_use]
    pub fn machine(self, scenario: &Scenario) -> Spec {
        Spec {
            kernel: self.kernel.0,
            kernel_sha256: self.kernel.1,
            boot: self.boot,
            initramfs: self.initramfs.0,
            initramfs_sha256: self.initramfs.1,
            cmdline: Spec::cmdline(scenario.clock, scenario.smp, &scenario.cmdline),
            memory_mib: scenario.memory_mib,
            smp: scenario.smp,
            time: match scenario.clock {
                Clock::Instructions => Time::Instructions,
                // Until somebody has tried what the host has.
                Clock::Wall => Time::Wall(Accel::Tcg),
            },
            drive: drive(&scenario.device),
            shares: Vec::new(),
        }
    }
}

/// A drive that guests have from the start. Where a host's own is, somebody says later.
fn drive(device: &Device) -> Option<Drive> {
    Some(Drive::Emulated(match device {
        Device::Model(_) => return None,
        Device::Vfio(_) => return Some(Drive::Passed(None)),
        Device::Nvme(nvme) => EmulatedDrive {
            serial: nvme.serial.clone(),
            size: u64::from(nvme.size_mib) << 20,
            block_size: nvme.block_size,
            queues: nvme.queues,
            backing: Backing::Image,
        },
        Device::Disk(disk) => EmulatedDrive {
            serial: disk.serial.clone(),
            size: disk.size,
            block_size: disk.block_size,
            queues: disk.queues,
            backing: Backing::Image,
        },
    }))
}
