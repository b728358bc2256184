//! A drive of the host's that cells run on: checked, leased, and told before anything is lost.

use super::{args::SelectArgs, choices::DeviceWord};
use crate::{
    devices::{self, Confirm, Host, HostDevice, Ready, Target},
    error::{Error, Result},
    plan::PreparedKernel,
    scenario::{ChosenDevice, DiskFacts, safe_serial},
    vm::Backing,
};
use std::path::PathBuf;

/// The drive that the command line names, for as long as it is used.
pub struct Drive {
    ready: Ready,
    node: PathBuf,
    facts: DiskFacts,
}

/// Looks at the drive that the command line names, if it names one; `tell` hears what will be lost.
///
/// # Errors
/// When it must not be used: see [`devices::preflight`].
pub fn take(select: &SelectArgs, tell: &dyn Fn(&str)) -> Result<Option<Drive>> {
    let device = match (&select.device, &select.erase) {
        (Some(DeviceWord::Host(device)), _) => device,
        (_, Some(_)) => {
            return Err(Error::input(
                "--erase names a drive's serial, but no --device names a drive",
            )
            .hint("add --device /dev/disk/by-id/..."));
        }
        _ => return Ok(None),
    };
    if let HostDevice::Vfio(address) = device {
        return Err(Error::input(format!(
            "--device vfio:{address}: passing a controller through is not available in this version"
        ))
        .hint("give the drive's block device, --device /dev/disk/by-id/..."));
    }
    let confirm = Confirm {
        erase: select.erase.as_deref(),
    };
    // A guest's memory matters to vfio alone.
    let ready = devices::preflight(&Host::here(), device, &confirm, 0)?;
    let Target::Disk(node) = ready.target().clone() else {
        return Err(Error::internal("a disk was checked, and is none"));
    };
    let geometry = ready.geometry().ok_or_else(|| {
        Error::host(format!(
            "sysfs does not tell size and block size of {device}"
        ))
    })?;
    for lost in ready.data() {
        tell(&format!("{device}: {lost} will be overwritten"));
    }
    let facts = DiskFacts {
        serial: safe_serial(ready.serial().number()),
        size: geometry.size,
        block_size: geometry.block_size,
    };
    Ok(Some(Drive { ready, node, facts }))
}

impl Drive {
    /// As what it is chosen.
    #[must_use]
    pub fn chosen(&self) -> ChosenDevice {
        ChosenDevice::Disk(self.facts.clone())
    }

    /// Puts it behind the guests' controller.
    pub fn attach(&self, kernels: &mut [PreparedKernel]) {
        let specs = kernels.iter_mut().filter_map(PreparedKernel::spec_mut);
        for drive in specs.filter_map(|spec| spec.drive.as_mut()) {
            drive.backing = Backing::Disk(self.node.clone());
        }
    }

    /// Nobody else may have it meanwhile: what is held ends with this.
    #[must_use]
    pub fn into_lease(self) -> Ready {
        self.ready
    }
}
