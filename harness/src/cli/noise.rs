//! What of this host disturbs a run by the wall clock.

use super::choices::DeviceWord;
use crate::{
    devices::HostDevice,
    host::hygiene::{self, Hygiene, Places, Subject},
};
use std::path::Path;

/// Looks at the host and at the drive that the command line names; without one, at where the images of
/// emulated drives are. To be called before the drive is taken: a controller that vfio-pci has cannot be
/// asked.
pub fn look(device: Option<&DeviceWord>, images: &Path) -> Hygiene {
    let subject = match device {
        Some(DeviceWord::Host(HostDevice::Disk(node))) => Subject::Disk(node),
        Some(DeviceWord::Host(HostDevice::Vfio(address))) => Subject::Controller(*address),
        Some(DeviceWord::Model | DeviceWord::Nvme) | None => Subject::Image(images),
    };
    Places::here().look(subject)
}

/// What of it changed in the course of a run, from which its figures suffer.
pub fn during(before: &Hygiene, device: Option<&DeviceWord>, images: &Path) -> Vec<String> {
    hygiene::during(before, &look(device, images))
}
