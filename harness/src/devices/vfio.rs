//! The preflight of a controller that is to be passed through, in the order in which it is told.

use super::{
    admin::{self, Request},
    block::{Disk, Lists},
    bound::{Geometry, Ready, Serial, Target, leased_file},
    checks::{Confirm, Stake, bears, claim, own_group, unused, volumes},
    controller::{self, Controller, NVME_CLASS, VFIO_PCI},
    host::Host,
    kernel::Open,
    lease::Lease,
    user::{self, User},
    word::PciAddress,
};
use crate::error::{Error, Result};
use std::{fs::File, io::ErrorKind};

const LISTED: &str = "`diorama devices` lists this host's NVMe controllers";

pub(super) fn preflight(
    host: &Host,
    address: PciAddress,
    confirm: &Confirm<'_>,
    memory_bytes: u64,
) -> Result<Ready> {
    is_controller(host, address)?;
    let device = address.to_string();
    let lease = Lease::take(host, &leased_file(host, address), &device)?;
    let controller = controller::read(host, &Lists::read(host)?, address)?;
    let group = own_group(&controller)?;
    unused(&controller)?;
    let claims = claims(host, &controller)?;
    let stake = stake(&device, &controller, confirm);
    stake.no_data_unnamed(confirm)?;
    modules(host)?;
    let user = User::of(host)?;
    let request = Request {
        address,
        group: &group.number,
        driver: controller.driver.as_deref().filter(|d| *d != VFIO_PCI),
        bound: controller.driver.as_deref() == Some(VFIO_PCI),
        namespaces: controller.namespaces.iter().map(Disk::name).collect(),
        uid: user.uid,
        memlock: Some(user::needed(memory_bytes)).filter(|bytes| !user.may_lock(*bytes)),
    };
    nodes(host, &request)?;
    memlock(&user, memory_bytes)?;
    stake.is_named(confirm)?;
    let number = confirm.erase.unwrap_or_default().to_owned();
    Ok(Ready {
        host: host.clone(),
        target: Target::Vfio {
            address,
            group: group.number.clone(),
        },
        serial: if asleep(&controller) {
            Serial::ForTheGuest(number)
        } else {
            Serial::Checked(number)
        },
        data: if asleep(&controller) {
            vec!["whatever is on it (only a guest can look while nvme does not have it)".to_owned()]
        } else {
            stake.data.clone()
        },
        geometry: geometry(&controller),
        driver: controller.driver,
        lease,
        claims,
    })
}

/// Of its only namespace.
fn geometry(controller: &Controller) -> Option<Geometry> {
    let [disk] = controller.namespaces.as_slice() else {
        return None;
    };
    Some(Geometry {
        size: disk.volumes.first()?.bytes?,
        block_size: disk.logical_block?,
    })
}

fn is_controller(host: &Host, address: PciAddress) -> Result<()> {
    if !host.pci(address).exists() {
        let what = format!("there is no PCI device {address}");
        return Err(Error::input(what).hint(LISTED));
    }
    match controller::class(host, address).as_deref() {
        Some(NVME_CLASS) => Ok(()),
        other => {
            let class = other.unwrap_or("unknown");
            Err(Error::input(format!(
                "{address} is not an NVMe controller: its PCI class is {class}"
            ))
            .hint(LISTED))
        }
    }
}

/// Of every namespace; a claim of the whole includes its partitions.
fn claims(host: &Host, controller: &Controller) -> Result<Vec<File>> {
    let device = controller.address.to_string();
    let mut claims = Vec::new();
    for namespace in &controller.namespaces {
        claims.extend(claim(host, &device, namespace.name(), Open::Claim)?);
    }
    Ok(claims)
}

/// Whether only a guest can ask what it is and bears: vfio-pci has it, or no driver.
fn asleep(controller: &Controller) -> bool {
    matches!(controller.driver.as_deref(), None | Some(VFIO_PCI))
}

fn stake<'a>(device: &'a str, controller: &Controller, confirm: &Confirm<'_>) -> Stake<'a> {
    let serials = match &controller.serial {
        Some(serial) => vec![serial.clone()],
        // The guest will compare it.
        None if asleep(controller) => vec![confirm.erase.unwrap_or("SERIAL").to_owned()],
        None => Vec::new(),
    };
    Stake {
        device,
        serials,
        data: bears(volumes(&controller.namespaces)),
    }
}

/// A driver that is built in has a directory as one that is loaded does.
fn modules(host: &Host) -> Result<()> {
    for (module, there) in [
        (VFIO_PCI, host.sys("bus/pci/drivers/vfio-pci")),
        ("vfio_iommu_type1", host.sys("module/vfio_iommu_type1")),
    ] {
        if !there.exists() {
            return Err(Error::host(format!("{module} is not loaded"))
                .hint(format!("as root: modprobe {module}")));
        }
    }
    Ok(())
}

fn nodes(host: &Host, request: &Request<'_>) -> Result<()> {
    let container = host.dev("vfio/vfio");
    if let Err(e) = host.kernel().open(&container, Open::Write) {
        let error = Error::io("opening", &container, e);
        return Err(error.hint("as root: modprobe vfio; chmod 666 /dev/vfio/vfio"));
    }
    if !request.bound {
        let attribute = host.pci(request.address).join("driver_override");
        return host.kernel().may_write(&attribute).map_err(|e| {
            Error::host(format!(
                "this user may not bind {} to vfio-pci",
                request.address
            ))
            .because(e)
            .hint(admin::commands(request))
        });
    }
    let node = host.dev(&format!("vfio/{}", request.group));
    match host.kernel().open(&node, Open::Write) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::ResourceBusy => Err(Error::host(format!(
            "{} is in use: another program has {}",
            request.address,
            node.display()
        ))
        .hint("end the virtual machine that has it; or choose another device")),
        Err(e) => Err(Error::io("opening", &node, e).hint(admin::commands(request))),
    }
}

fn memlock(user: &User, memory_bytes: u64) -> Result<()> {
    let bytes = user::needed(memory_bytes);
    if user.may_lock(bytes) {
        return Ok(());
    }
    let kib = |bytes: u64| bytes.div_ceil(1024);
    let what = format!(
        "this user may lock {} KiB of memory, and the guest needs {}",
        kib(user.memlock.0),
        kib(bytes)
    );
    Err(Error::host(what).hint(if user.memlock.1 >= bytes {
        format!("ulimit -l {}", kib(bytes))
    } else {
        format!(
            "as root: {}; then log in again",
            admin::raise_memlock(user.uid, bytes)
        )
    }))
}
