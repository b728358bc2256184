//! A device that passed the preflight, and one that is bound.

use super::{
    block::Lists,
    checks::{own_group, unused},
    controller::{self, Controller, VFIO_PCI},
    driver::{GivenBack, give_back, take},
    host::Host,
    journal::{Entry, Journal},
    kernel::Open,
    lease::Lease,
    owner::Owner,
    word::PciAddress,
};
use crate::error::{Error, Result};
use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often a group's node is looked for after binding: udev makes it, or gives it away.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// What a guest gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A controller, by vfio.
    Vfio {
        /// Where it is.
        address: PciAddress,
        /// Its IOMMU group.
        group: String,
    },
    /// A block device, by its node.
    Disk(PathBuf),
}

/// The serial number that was confirmed with `--erase`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serial {
    /// It is the device's.
    Checked(String),
    /// vfio-pci has the controller already, and only its guest can ask for the number: the guest must
    /// touch no drive with another one.
    ForTheGuest(String),
}

impl Serial {
    /// The number.
    #[must_use]
    pub fn number(&self) -> &str {
        match self {
            Serial::Checked(number) | Serial::ForTheGuest(number) => number,
        }
    }
}

/// What a disk is to a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Capacity in bytes.
    pub size: u64,
    /// Logical block size in bytes.
    pub block_size: u32,
}

/// A device that may be used, and is leased: nobody else uses it, and no file system in it can be
/// mounted meanwhile.
#[derive(Debug)]
pub struct Ready {
    pub(super) host: Host,
    pub(super) target: Target,
    pub(super) serial: Serial,
    pub(super) data: Vec<String>,
    pub(super) geometry: Option<Geometry>,
    /// A controller's driver.
    pub(super) driver: Option<String>,
    pub(super) lease: Lease,
    pub(super) claims: Vec<File>,
}

/// A device that a guest may have now.
#[derive(Debug)]
#[must_use = "the device is given back when this is dropped"]
pub struct Bound {
    host: Host,
    target: Target,
    // Given up after the device was given back.
    _lease: Lease,
    claims: Vec<File>,
    /// None where nothing was changed.
    entry: Option<(Journal, Entry)>,
}

impl Ready {
    /// What a guest will get.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The confirmed serial number.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// What the device bears and `--erase` gave up: `nvme0n1p1: XFS`. To be shown before it is lost.
    #[must_use]
    pub fn data(&self) -> &[String] {
        &self.data
    }

    /// Capacity and block size, where the host knows them: a disk's, and those of a controller that its
    /// own driver has and that has one namespace.
    #[must_use]
    pub fn geometry(&self) -> Option<Geometry> {
        self.geometry
    }

    /// Binds a controller to vfio-pci, unless it is already. A disk needs nothing.
    ///
    /// # Errors
    /// When the device has come into use, or does not bind: then its driver has it again, or the
    /// journal says how that is done.
    pub fn bind(self, journal: &Journal) -> Result<Bound> {
        let Target::Vfio { address, group } = &self.target else {
            return Ok(self.bound(None));
        };
        let (address, group) = (*address, group.clone());
        let now = controller::read(&self.host, &Lists::read(&self.host)?, address)?;
        // Time has passed since the preflight.
        if now.driver != self.driver {
            let word = |driver: &Option<String>| driver.clone().unwrap_or("no driver".into());
            return Err(Error::host(format!(
                "{address} was checked while {} had it, and now {} has it",
                word(&self.driver),
                word(&now.driver)
            ))
            .hint("run the same command again"));
        }
        own_group(&now)?;
        unused(&now)?;
        if now.driver.as_deref() == Some(VFIO_PCI) {
            return Ok(self.bound(None));
        }
        let entry = entry(&self.host, &now)?;
        journal.write(&entry)?;
        let mut bound = self.bound(Some((journal.clone(), entry)));
        // They would keep the namespaces' numbers in use.
        bound.claims.clear();
        let taken = take(&bound.host, address).and_then(|()| group_opens(&bound.host, &group));
        let Err(error) = taken else {
            return Ok(bound);
        };
        let error = error.while_(format!("binding {address} to {VFIO_PCI}"));
        match bound.restore() {
            Ok(()) => Err(error),
            Err(other) => Err(Error::listing(
                format!("{address} was neither bound nor given back"),
                &[error, other],
            )),
        }
    }

    fn bound(self, entry: Option<(Journal, Entry)>) -> Bound {
        Bound {
            host: self.host,
            target: self.target,
            _lease: self.lease,
            claims: self.claims,
            entry,
        }
    }
}

impl Bound {
    /// What the guest gets.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Gives the device back to the driver that had it. Whatever uses it must have ended: the kernel
    /// waits for it.
    ///
    /// # Errors
    /// When it cannot be given back. The journal keeps what is to be done, for `recover`.
    pub fn restore(mut self) -> Result<()> {
        self.undo()
    }

    fn undo(&mut self) -> Result<()> {
        let Some((journal, entry)) = self.entry.take() else {
            return Ok(());
        };
        undo(&self.host, &journal, &entry).map(drop)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Nobody is left to be told; what fails here stays in the journal.
        let _ = self.undo();
    }
}

/// Gives a device back and takes it off the journal.
pub(super) fn undo(host: &Host, journal: &Journal, entry: &Entry) -> Result<GivenBack> {
    let address = entry.address;
    let given = give_back(host, entry).map_err(|error| {
        let driver = entry.driver.as_deref().unwrap_or("no driver");
        let hint = match error.next_step() {
            Some(step) => format!("{step}; then run `diorama devices restore` as root"),
            None => "run `diorama devices restore` as root".to_owned(),
        };
        error
            .while_(format!("giving {address} back to {driver}"))
            .hint(hint)
    })?;
    journal.remove(address)?;
    Ok(given)
}

fn entry(host: &Host, now: &Controller) -> Result<Entry> {
    let mut entry = Entry::new(now.address, now.driver.clone(), Owner::this(host)?);
    entry.driver_override = host.driver_override(now.address);
    entry.namespaces = now.namespaces.len();
    Ok(entry)
}

/// Opens a group's node, which must be there soon after binding.
fn group_opens(host: &Host, group: &str) -> Result<()> {
    let node = host.dev(&format!("vfio/{group}"));
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            host.kernel().pause(PAUSE);
        }
        match host.kernel().open(&node, Open::Write) {
            Ok(_) => return Ok(()),
            Err(e) => last = Some(e),
        }
    }
    last.map_or(Ok(()), |e| Err(Error::io("opening", &node, e)))
}

/// A file of a function that is the same for all harnesses, and can be read by everybody.
pub(super) fn leased_file(host: &Host, address: PciAddress) -> PathBuf {
    host.pci(address).join(Path::new("class"))
}
