//! What an administrator does once, so that an ordinary user may pass a controller through (pure).

use super::word::PciAddress;

/// What is asked of the administrator.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The controller.
    pub address: PciAddress,
    /// Its IOMMU group.
    pub group: &'a str,
    /// The driver that has it now, unless that is vfio-pci.
    pub driver: Option<&'a str>,
    /// Whether it is bound to vfio-pci already.
    pub bound: bool,
    /// Its namespaces, by the kernel's names.
    pub namespaces: Vec<&'a str>,
    /// The user's id.
    pub uid: u32,
    /// Bytes that the user must be allowed to lock, where the limit is lower.
    pub memlock: Option<u64>,
}

/// The commands, one a line.
#[must_use]
pub fn commands(request: &Request<'_>) -> String {
    let Request {
        address,
        group,
        uid,
        ..
    } = request;
    let device = format!("/sys/bus/pci/devices/{address}");
    let mut lines = vec!["as root, once:".to_owned()];
    if !request.bound {
        if !request.namespaces.is_empty() {
            let nodes: Vec<_> = request
                .namespaces
                .iter()
                .map(|n| format!("/dev/{n}"))
                .collect();
            lines.push(format!(
                "lsblk -f {}    # whatever this shows will be lost",
                nodes.join(" ")
            ));
        }
        lines.push("modprobe -a vfio-pci vfio_iommu_type1".to_owned());
        lines.push(format!("echo vfio-pci > {device}/driver_override"));
        if request.driver.is_some() {
            lines.push(format!("echo {address} > {device}/driver/unbind"));
        }
        lines.push(format!("echo {address} > /sys/bus/pci/drivers_probe"));
    }
    lines.push(format!("chown {uid} /dev/vfio/{group}"));
    if let Some(bytes) = request.memlock {
        lines.push(format!(
            "{}    # then log in again",
            raise_memlock(*uid, bytes)
        ));
    }
    if let Some(driver) = request.driver {
        lines.push(format!(
            "to give it back to {driver}: echo > {device}/driver_override; \
             echo {address} > {device}/driver/unbind; \
             echo {address} > /sys/bus/pci/drivers_probe"
        ));
    }
    lines.join("\n      ")
}

/// Lets a user lock so many bytes (limits.conf(5), in KiB; `:1000` is the user with that number).
#[must_use]
pub fn raise_memlock(uid: u32, bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    format!("echo ':{uid} - memlock {kib}' > /etc/security/limits.d/diorama.conf")
}
