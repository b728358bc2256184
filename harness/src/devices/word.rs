//! Words for devices of the host (pure): `vfio:0000:01:00.0`, `/dev/disk/by-id/...`.

use crate::{
    error::{Error, Result},
    text,
};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// A device of the host, as a user names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostDevice {
    /// An NVMe controller, passed through with vfio-pci.
    Vfio(PciAddress),
    /// A block device, by its node or a link to it.
    Disk(PathBuf),
}

/// The address of a PCI function: domain, bus, device, function. Its text is sysfs's
/// (Documentation/ABI/testing/sysfs-bus-pci): `0000:01:00.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PciAddress {
    // Domains of Intel's VMD have five hex digits.
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (domain, bus) = (self.domain, self.bus);
        write!(
            f,
            "{domain:04x}:{bus:02x}:{:02x}.{}",
            self.device, self.function
        )
    }
}

impl fmt::Display for HostDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostDevice::Vfio(address) => write!(f, "vfio:{address}"),
            HostDevice::Disk(path) => write!(f, "{}", path.display()),
        }
    }
}

impl From<PciAddress> for String {
    fn from(address: PciAddress) -> String {
        address.to_string()
    }
}

impl TryFrom<String> for PciAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<PciAddress> {
        text.parse()
    }
}

impl FromStr for PciAddress {
    type Err = Error;

    /// `0000:01:00.0`, or without the domain, which is 0 then.
    fn from_str(text: &str) -> Result<PciAddress> {
        address(text).ok_or_else(|| {
            Error::input(format!("`{}` is not a PCI address", text::cut(text)))
                .hint("write it as `lspci -D` does: 0000:01:00.0")
        })
    }
}

impl FromStr for HostDevice {
    type Err = Error;

    fn from_str(word: &str) -> Result<HostDevice> {
        if let Some(address) = word.strip_prefix("vfio:") {
            return address.parse().map(HostDevice::Vfio);
        }
        if word.starts_with('/') {
            return Ok(HostDevice::Disk(PathBuf::from(word)));
        }
        let refused = Error::input(format!("`{}` is not a device", text::cut(word)));
        Err(match address(word) {
            Some(address) => refused.hint(format!("to pass it through, write vfio:{address}")),
            None => refused.hint(
                "use vfio:0000:01:00.0 (`diorama devices` lists what there is) or a path: \
                 /dev/disk/by-id/...",
            ),
        })
    }
}

fn address(text: &str) -> Option<PciAddress> {
    let (front, function) = text.split_once('.')?;
    let mut parts = front.rsplit(':');
    let device = hex(parts.next()?, 2..=2).filter(|device| *device < 32)?;
    let bus = hex(parts.next()?, 2..=2)?;
    let domain = parts.next().map_or(Some(0), |domain| hex(domain, 4..=8))?;
    let function = hex(function, 1..=1).filter(|function| *function < 8)?;
    let address = PciAddress {
        domain,
        bus: u8::try_from(bus).ok()?,
        device: u8::try_from(device).ok()?,
        function: u8::try_from(function).ok()?,
    };
    parts.next().is_none().then_some(address)
}

fn hex(digits: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_address_or_by_path() {
        for (word, shown) in [
            ("vfio:0000:01:00.0", "vfio:0000:01:00.0"),
            ("vfio:01:00.0", "vfio:0000:01:00.0"),
            ("vfio:10000:E1:1f.7", "vfio:10000:e1:1f.7"),
            ("/dev/disk/by-id/nvme-A", "/dev/disk/by-id/nvme-A"),
        ] {
            assert_eq!(word.parse::<HostDevice>().unwrap().to_string(), shown);
        }
        let disk = HostDevice::Disk("/dev/sda".into());
        assert_eq!("/dev/sda".parse::<HostDevice>().unwrap(), disk);
    }

    #[test]
    fn whatever_is_no_device_is_refused_with_the_next_step() {
        let refused = |word: &str| word.parse::<HostDevice>().unwrap_err().render();
        let words = ["01:00.0", "nvme0n1", "vfio:/dev/nvme0n1", "", "model"];
        let all: Vec<_> = words.into_iter().map(refused).collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        error: `01:00.0` is not a device
          help: to pass it through, write vfio:0000:01:00.0
        error: `nvme0n1` is not a device
          help: use vfio:0000:01:00.0 (`diorama devices` lists what there is) or a path: /dev/disk/by-id/...
        error: `/dev/nvme0n1` is not a PCI address
          help: write it as `lspci -D` does: 0000:01:00.0
        error: `` is not a device
          help: use vfio:0000:01:00.0 (`diorama devices` lists what there is) or a path: /dev/disk/by-id/...
        error: `model` is not a device
          help: use vfio:0000:01:00.0 (`diorama devices` lists what there is) or a path: /dev/disk/by-id/...
        ");
        for none in [
            "01:00",
            "1:00.0",
            "01:20.0",
            "01:00.8",
            "01:+0.0",
            "0:01:00.0",
            "0:0000:01:00.0",
            "01:00.0 ",
            "01:00.00",
        ] {
            assert_eq!(address(none), None, "{none}");
        }
    }

    #[test]
    fn an_address_is_its_text_in_json() {
        let address: PciAddress = "01:00.0".parse().unwrap();
        let json = serde_json::to_string(&address).unwrap();
        assert_eq!(json, "\"0000:01:00.0\"");
        assert_eq!(serde_json::from_str::<PciAddress>(&json).unwrap(), address);
        assert!(serde_json::from_str::<PciAddress>("\"../../x\"").is_err());
    }
}
