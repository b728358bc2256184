//! A drive of the host's that cells run on: checked, leased, told before anything is lost, bound as late
//! as possible, and given back however the run ends.

use super::{args::DriveArgs, choices::DeviceWord, devices::words, signals};
use crate::{
    devices::{self, Bound, Confirm, Host, HostDevice, Journal, Outcome, Ready, Serial, Target},
    error::{Error, Result},
    plan::PreparedKernel,
    scenario::{ChosenDevice, ControllerFacts, DiskFacts, safe_serial},
    store::Store,
    vm::{self, Backing},
};

/// The drive that the command line names, for as long as it is used.
pub struct Drive {
    ready: Ready,
    chosen: ChosenDevice,
}

/// A drive that guests may have now.
#[must_use = "it is given back when this is dropped"]
pub struct Held {
    // Given back before a signal that came meanwhile ends the process.
    bound: Bound,
    _unfinished: signals::Unfinished,
}

/// Gives back what harnesses that were killed left, and says what came of it. What cannot be given back
/// stops nothing here: it is refused where somebody wants it.
pub fn recover(store: &Store, tell: &dyn Fn(&str)) {
    for recovered in devices::recover(&Host::here(), &Journal::of(store)) {
        match &recovered.outcome {
            // Another harness's business.
            Outcome::InUse(_) => {}
            Outcome::Failed(error) => tell(&format!(
                "note: a device was not given back: {}",
                error.render()
            )),
            outcome => tell(&format!(
                "an earlier run was killed: {}",
                words(recovered.address, outcome)
            )),
        }
    }
}

/// The controller that the command line names, before anybody has looked at it: as much as a scenario
/// needs to tell how much memory its guests have, all of which a controller may write to.
#[must_use]
pub fn named(drive: &DriveArgs) -> Option<ChosenDevice> {
    match &drive.device {
        Some(DeviceWord::Host(HostDevice::Vfio(_))) => {
            Some(ChosenDevice::Vfio(ControllerFacts::default()))
        }
        _ => None,
    }
}

/// Looks at the drive that the command line names, if it names one; a controller's guest has so many bytes
/// of RAM. `tell` hears what will be lost.
///
/// # Errors
/// When it must not be used: see [`devices::preflight`].
pub fn take(drive: &DriveArgs, memory_bytes: u64, tell: &dyn Fn(&str)) -> Result<Option<Drive>> {
    let device = match (&drive.device, &drive.erase) {
        (Some(DeviceWord::Host(device)), _) => device,
        (_, Some(_)) => {
            return Err(Error::input(
                "--erase names a drive's serial, but no --device names a drive",
            )
            .hint("add --device /dev/disk/by-id/... or --device vfio:..."));
        }
        _ => return Ok(None),
    };
    let confirm = Confirm {
        erase: drive.erase.as_deref(),
    };
    let ready = devices::preflight(&Host::here(), device, &confirm, memory_bytes)?;
    let chosen = chosen(device, &ready)?;
    for lost in ready.data() {
        tell(&format!("{device}: {lost} will be overwritten"));
    }
    Ok(Some(Drive { ready, chosen }))
}

/// What a scenario is told of it.
fn chosen(device: &HostDevice, ready: &Ready) -> Result<ChosenDevice> {
    let geometry = ready.geometry();
    let serial = ready.serial().number();
    match (ready.target(), ready.serial()) {
        (Target::Disk(_), _) => {
            let geometry = geometry.ok_or_else(|| {
                Error::host(format!(
                    "sysfs does not tell size and block size of {device}"
                ))
            })?;
            Ok(ChosenDevice::Disk(DiskFacts {
                serial: safe_serial(serial),
                size: geometry.size,
                block_size: geometry.block_size,
            }))
        }
        (Target::Vfio { .. }, Serial::Checked(_)) if geometry.is_none() => Err(Error::host(
            format!("{device} does not have one namespace, of a size that sysfs tells"),
        )
        .hint("choose a drive with one namespace; `diorama devices` lists them")),
        (Target::Vfio { .. }, _) => Ok(ChosenDevice::Vfio(ControllerFacts {
            serial: serial.to_owned(),
            size: geometry.map(|geometry| geometry.size),
            block_size: geometry.map(|geometry| geometry.block_size),
        })),
    }
}

impl Drive {
    /// As what it is chosen.
    #[must_use]
    pub fn chosen(&self) -> ChosenDevice {
        self.chosen.clone()
    }

    /// Puts it into the guests' machines.
    pub fn attach(&self, kernels: &mut [PreparedKernel]) {
        let specs = kernels.iter_mut().filter_map(PreparedKernel::spec_mut);
        for drive in specs.filter_map(|spec| spec.drive.as_mut()) {
            match (drive, self.ready.target()) {
                (vm::Drive::Emulated(drive), Target::Disk(node)) => {
                    drive.backing = Backing::Disk(node.clone());
                }
                (vm::Drive::Passed(host), Target::Vfio { address, .. }) => {
                    *host = Some(address.to_string());
                }
                _ => {}
            }
        }
    }

    /// Nobody else may have it meanwhile: what is held ends with this.
    #[must_use]
    pub fn into_lease(self) -> Ready {
        self.ready
    }
}

/// Binds it, if it must be bound. From here on no signal ends the process before it is given back.
///
/// # Errors
/// When it has come into use, or does not bind: then its driver has it again.
pub fn hold(ready: Ready, store: &Store) -> Result<Held> {
    let unfinished = signals::unfinished();
    Ok(Held {
        bound: ready.bind(&Journal::of(store))?,
        _unfinished: unfinished,
    })
}

impl Held {
    /// Gives it back. Every guest that had it must have ended.
    ///
    /// # Errors
    /// When it cannot be given back.
    pub fn give_back(self) -> Result<()> {
        self.bound.restore()
    }
}
