//! Whether a device may be touched.

use super::{bound::Ready, checks::Confirm, disk, host::Host, vfio, word::HostDevice};
use crate::error::Result;

/// Checks a device, in a fixed order, and leases it. `memory_bytes` is the RAM of the guest that is to
/// have it.
///
/// # Errors
/// The first reason why it may not be touched, with the next step.
pub fn preflight(
    host: &Host,
    device: &HostDevice,
    confirm: &Confirm<'_>,
    memory_bytes: u64,
) -> Result<Ready> {
    match device {
        HostDevice::Vfio(address) => vfio::preflight(host, *address, confirm, memory_bytes),
        HostDevice::Disk(path) => disk::preflight(host, path, confirm),
    }
}
