//! NVMe controllers on the PCI bus, as sysfs shows them (Documentation/ABI/testing/sysfs-bus-pci and
//! sysfs-kernel-iommu_groups).

use super::{
    block::{Disk, Lists, disk},
    host::{AS_THE_HOST, Host, attribute, link_name, names},
    word::PciAddress,
};
use crate::error::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// PCI's class of NVMe controllers: mass storage, non-volatile memory, NVM Express.
pub(super) const NVME_CLASS: &str = "0x010802";

/// The driver that hands a device to user space.
pub(super) const VFIO_PCI: &str = "vfio-pci";

/// An NVMe controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Controller {
    /// Where it is.
    pub address: PciAddress,
    /// The drive's model name; known while its own driver has it, as the next two are.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware revision.
    pub firmware: Option<String>,
    /// The driver that has it.
    pub driver: Option<String>,
    /// Its IOMMU group.
    pub group: Option<Group>,
    /// Its namespaces.
    pub namespaces: Vec<Disk>,
}

/// What the IOMMU cannot keep apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its number.
    pub number: String,
    /// Whether there is no IOMMU behind it (vfio's unsafe mode).
    pub unsafe_without_iommu: bool,
    /// The other devices in it that cannot be passed through together with this one.
    pub foreign: Vec<Sibling>,
}

/// Another device of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sibling {
    /// The kernel's name: for a PCI function, its address.
    pub name: String,
    /// The driver that has it.
    pub driver: String,
}

/// The addresses of all NVMe controllers.
///
/// # Errors
/// When the bus cannot be read.
pub(super) fn addresses(host: &Host) -> Result<Vec<PciAddress>> {
    let all = names(&host.sys("bus/pci/devices"))?.into_iter();
    let all = all.filter_map(|name| name.parse().ok());
    Ok(all
        .filter(|address| class(host, *address).as_deref() == Some(NVME_CLASS))
        .collect())
}

/// A PCI function's class, as sysfs writes it: `0x010802`.
pub(super) fn class(host: &Host, address: PciAddress) -> Option<String> {
    attribute(&host.pci(address).join("class"))
}

/// A controller.
///
/// # Errors
/// When it cannot be found out who uses its namespaces.
pub(super) fn read(host: &Host, lists: &Lists, address: PciAddress) -> Result<Controller> {
    let nvme = host.pci(address).join("nvme");
    let nvme = names(&nvme)?.first().map(|name| nvme.join(name));
    let text = |file: &str| attribute(&nvme.as_ref()?.join(file));
    let namespaces = nvme.as_deref().map_or(Ok(Vec::new()), namespaces)?;
    Ok(Controller {
        address,
        model: text("model"),
        serial: text("serial"),
        firmware: text("firmware_rev"),
        driver: host.driver(address),
        group: group(host, address)?,
        namespaces: namespaces
            .iter()
            .map(|name| disk(host, lists, name))
            .collect::<Result<_>>()?,
    })
}

/// Names of a controller's block devices. Where several controllers may lead to one namespace
/// (CONFIG_NVME_MULTIPATH), what is below the controller is a hidden path to it, `nvme0c1n1`, and
/// what is used is `nvme0n1`.
fn namespaces(controller: &Path) -> Result<Vec<String>> {
    let head = |name: String| {
        let (subsystem, namespace) = name.strip_prefix("nvme")?.split_once('n')?;
        let subsystem = subsystem.split_once('c').map_or(subsystem, |(s, _)| s);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (digits(subsystem) && digits(namespace)).then(|| format!("nvme{subsystem}n{namespace}"))
    };
    Ok(names(controller)?.into_iter().filter_map(head).collect())
}

/// How many namespaces a controller has now.
///
/// # Errors
/// When its directory cannot be read.
pub(super) fn count_namespaces(host: &Host, address: PciAddress) -> Result<usize> {
    let nvme = host.pci(address).join("nvme");
    match names(&nvme)?.first() {
        Some(name) => Ok(namespaces(&nvme.join(name))?.len()),
        None => Ok(0),
    }
}

fn group(host: &Host, address: PciAddress) -> Result<Option<Group>> {
    let Some(number) = link_name(&host.pci(address).join("iommu_group")) else {
        return Ok(None);
    };
    let dir = host.sys(format!("kernel/iommu_groups/{number}"));
    let devices = dir.join("devices");
    let (own, all) = (address.to_string(), names(&devices)?);
    if !all.contains(&own) {
        let devices = devices.display();
        return Err(Error::host(format!("{address} is not in {devices}")).hint(AS_THE_HOST));
    }
    let foreign = all.into_iter().filter_map(|name| {
        let device = devices.join(&name);
        let driver = link_name(&device.join("driver"))?;
        let bridge = attribute(&device.join("class")).is_some_and(|c| c.starts_with("0x0604"));
        (name != own && !bridge && !harmless(&driver)).then_some(Sibling { name, driver })
    });
    Ok(Some(Group {
        unsafe_without_iommu: attribute(&dir.join("name")).as_deref() == Some("vfio-noiommu"),
        foreign: foreign.collect(),
        number,
    }))
}

/// Drivers that do no DMA of their own: a group with them is viable (the kernel's
/// `driver_managed_dma`, Documentation/driver-api/vfio.rst).
fn harmless(driver: &str) -> bool {
    [VFIO_PCI, "pcieport", "pci-stub"].contains(&driver)
}
