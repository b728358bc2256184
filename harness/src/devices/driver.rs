//! Binding a PCI function to vfio-pci, and giving it back. Only sysfs is written to, as
//! Documentation/ABI/testing/sysfs-bus-pci describes it: `driver_override`, `unbind`, `drivers_probe`.

use super::{
    controller::{VFIO_PCI, count_namespaces},
    host::Host,
    journal::Entry,
    word::PciAddress,
};
use crate::error::{Error, Result};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How often a probe is asked for: a device needs a moment after its last driver has left it.
const ATTEMPTS: u32 = 10;
/// How often it is looked whether namespaces are back: the driver finds them after it was bound.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// What came of giving a device back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// It has its driver.
    Yes,
    /// There is nothing to give back, and why.
    Void(String),
}

/// Takes a function from its driver and binds it to vfio-pci.
///
/// # Errors
/// When the kernel refuses, or vfio-pci does not have it after all.
pub(super) fn take(host: &Host, address: PciAddress) -> Result<()> {
    write(host, &host.pci(address).join("driver_override"), VFIO_PCI)?;
    unbind(host, address)?;
    probe(host, address, VFIO_PCI)
}

/// Gives a function back to the driver that had it, and sees to it that it has it.
///
/// # Errors
/// When the kernel refuses, or the driver does not have it after all.
pub(super) fn give_back(host: &Host, entry: &Entry) -> Result<GivenBack> {
    let address = entry.address;
    let device = host.pci(address);
    if !device.exists() {
        return Ok(GivenBack::Void("it is no longer there".into()));
    }
    let now = host.driver(address);
    match &now {
        Some(other) if other != VFIO_PCI && now != entry.driver => {
            return Ok(GivenBack::Void(format!(
                "it was given to {other} meanwhile"
            )));
        }
        _ => {}
    }
    // Before the next probe, or vfio-pci would get it again. An empty write never gets to the driver.
    let before = entry.driver_override.as_deref().unwrap_or("\n");
    write(host, &device.join("driver_override"), before)?;
    if now != entry.driver {
        unbind(host, address)?;
    }
    if let Some(driver) = &entry.driver {
        probe(host, address, driver)?;
    }
    for _ in 0..LOOKS {
        // The device has its driver, which is what matters.
        if count_namespaces(host, address).is_ok_and(|now| now >= entry.namespaces) {
            break;
        }
        host.kernel().pause(PAUSE);
    }
    Ok(GivenBack::Yes)
}

fn unbind(host: &Host, address: PciAddress) -> Result<()> {
    if host.driver(address).is_none() {
        return Ok(());
    }
    let unbind = host.pci(address).join("driver/unbind");
    write(host, &unbind, &address.to_string())
}

/// Whether it worked is told by the driver that the function has then, and by nothing else:
/// `drivers_probe` succeeds when nothing was bound.
fn probe(host: &Host, address: PciAddress, driver: &str) -> Result<()> {
    let has = || host.driver(address);
    let mut refused = None;
    for attempt in 0..ATTEMPTS {
        if has().as_deref() == Some(driver) {
            return Ok(());
        }
        if attempt > 0 {
            host.kernel().pause(PAUSE);
        }
        refused = write(host, &how(host, attempt, driver), &address.to_string()).err();
    }
    let now = match has() {
        Some(now) if now == driver => return Ok(()),
        Some(now) => format!("{now} has it"),
        None => "no driver has it".to_owned(),
    };
    let error = Error::host(format!("{address} does not bind to {driver}: {now}"))
        .hint("`dmesg` says what the driver found");
    Err(match refused {
        Some(why) => error.because(why),
        None => error,
    })
}

/// The usual way, and by turns one that asks this driver alone.
fn how(host: &Host, attempt: u32, driver: &str) -> PathBuf {
    if attempt.is_multiple_of(2) {
        host.sys("bus/pci/drivers_probe")
    } else {
        host.sys(format!("bus/pci/drivers/{driver}/bind"))
    }
}

fn write(host: &Host, path: &Path, text: &str) -> Result<()> {
    host.kernel()
        .write(path, text)
        .map_err(|e| Error::io("writing to", path, e))
}
