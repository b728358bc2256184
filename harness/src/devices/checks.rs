//! What both kinds of devices are asked before they are touched: whether anybody uses them, what they
//! bear, and whether its loss was confirmed.

use super::{
    block::{Contents, Disk, Volume},
    controller::{Controller, Group, VFIO_PCI},
    host::Host,
    kernel::Open,
    usage::Use,
};
use crate::{
    error::{Error, Result},
    text,
};
use std::{fs::File, io::ErrorKind};

/// What the user confirms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Confirm<'a> {
    /// `--erase`: the serial number of the device, all of whose data may be destroyed.
    pub erase: Option<&'a str>,
}

/// What has to be confirmed.
pub(super) struct Stake<'a> {
    /// The device, as the user named it.
    pub device: &'a str,
    /// The words that name it, the one to be told first; none where nobody knows one.
    pub serials: Vec<String>,
    /// What it bears.
    pub data: Vec<String>,
}

impl Stake<'_> {
    /// Refuses a device that bears something that nobody gave up.
    pub fn no_data_unnamed(&self, confirm: &Confirm<'_>) -> Result<()> {
        if self.data.is_empty() || self.named(confirm) {
            return Ok(());
        }
        let (device, data) = (self.device, self.data.join(", "));
        Err(Error::input(format!("{device} bears data: {data}")).hint(self.next_step(confirm)))
    }

    /// Refuses a device that was not named by its serial number.
    pub fn is_named(&self, confirm: &Confirm<'_>) -> Result<()> {
        if self.named(confirm) {
            return Ok(());
        }
        let device = self.device;
        let what = match (confirm.erase, self.serials.first()) {
            (_, None) => format!("{device} has no serial number by which it could be named"),
            (None, _) => format!("nobody confirmed that all data on {device} may be destroyed"),
            (Some(other), _) => {
                format!(
                    "`{}` is not the serial number of {device}",
                    text::line(other)
                )
            }
        };
        Err(Error::input(what).hint(self.next_step(confirm)))
    }

    fn named(&self, confirm: &Confirm<'_>) -> bool {
        let named = |erase| self.serials.iter().any(|serial| serial == erase);
        confirm.erase.is_some_and(named)
    }

    fn next_step(&self, confirm: &Confirm<'_>) -> String {
        match (self.serials.first(), confirm.erase) {
            (None, _) => "choose a device that has one".to_owned(),
            (Some(serial), None) => {
                let serial = text::shell_word(serial);
                format!("if all of it may be destroyed, add --erase {serial}")
            }
            (Some(serial), Some(other)) => format!(
                "check which device you mean: --erase names `{}`, and this one is `{}`",
                text::line(other),
                text::line(serial)
            ),
        }
    }
}

/// The controller's IOMMU group, if it has it for itself.
pub(super) fn own_group(controller: &Controller) -> Result<&Group> {
    const ENABLE: &str = "enable the IOMMU (VT-d, AMD-Vi) in the firmware; with an Intel CPU boot with \
                          intel_iommu=on; or give the block device instead, which needs no IOMMU";
    let address = controller.address;
    let Some(group) = &controller.group else {
        return Err(Error::host(format!("{address} is in no IOMMU group")).hint(ENABLE));
    };
    let number = &group.number;
    if group.unsafe_without_iommu {
        let what = format!("there is no IOMMU behind group {number} of {address}");
        return Err(Error::host(what).hint(ENABLE));
    }
    if group.foreign.is_empty() {
        return Ok(group);
    }
    let siblings: Vec<_> = group
        .foreign
        .iter()
        .map(|sibling| format!("{} ({})", sibling.name, sibling.driver))
        .collect();
    Err(Error::host(format!(
        "{address} shares IOMMU group {number} with {}",
        siblings.join(", ")
    ))
    .hint(
        "put the drive into another slot; or, if nobody needs them, unbind the others from their \
         drivers",
    ))
}

/// Refuses a controller that somebody uses, as far as the kernel's lists tell.
pub(super) fn unused(controller: &Controller) -> Result<()> {
    let address = controller.address;
    match controller.driver.as_deref() {
        None | Some("nvme" | VFIO_PCI) => {}
        Some(driver) => {
            return Err(Error::host(format!(
                "{address} is in use: {driver} has it, which hands it to another program"
            ))
            .hint("end that program, and give the device back to nvme"));
        }
    }
    for namespace in &controller.namespaces {
        if let Some((volume, use_)) = namespace.first_use() {
            return Err(in_use(&address.to_string(), volume, use_));
        }
    }
    Ok(())
}

/// The refusal of a device, because one of its volumes is in use.
pub(super) fn in_use(device: &str, volume: &Volume, use_: &Use) -> Error {
    let name = &volume.name;
    let end = use_.how_to_end(name);
    Error::host(format!("{device} is in use: {name} is {use_}"))
        .hint(format!("{end}; or choose another device"))
}

/// Opens a block device so that nobody can mount it any more. None where this user may not.
pub(super) fn claim(host: &Host, device: &str, name: &str, how: Open) -> Result<Option<File>> {
    match host.kernel().open(&host.dev(name), how) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(None),
        Err(e) if e.kind() == ErrorKind::ResourceBusy => Err(Error::host(format!(
            "{device} is in use: a program has opened {name}, or part of it, for itself alone"
        ))
        .hint("end that program (`lsof`, `lsblk` and `findmnt --all` find it); or choose another device")),
        Err(e) => Err(Error::io("opening", &host.dev(name), e)),
    }
}

/// What volumes bear, in words: `nvme0n1p1: XFS`.
pub(super) fn bears<'a>(volumes: impl IntoIterator<Item = &'a Volume>) -> Vec<String> {
    let words = |volume: &Volume| {
        let name = &volume.name;
        match &volume.contents {
            Contents::Seen(found) if found.is_empty() => None,
            Contents::Seen(found) => Some(format!("{name}: {}", found.join(" and "))),
            // That user gets no further than this either.
            Contents::Denied => None,
            Contents::Failed(why) => Some(format!("{name}: cannot be read ({why})")),
        }
    };
    volumes.into_iter().filter_map(words).collect()
}

/// All volumes of some disks.
pub(super) fn volumes(disks: &[Disk]) -> impl Iterator<Item = &Volume> {
    disks.iter().flat_map(|disk| &disk.volumes)
}
