//! A drive behind the NVMe driver, found by its serial: emulated, a disk of the host's, or real.

use super::{Device, facts, node, schedule};
use crate::{
    clock,
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{NvmeDevice, NvmeFacts, config};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const BLOCK: &str = "/sys/block";
const CONTROLLERS: &str = "/sys/class/nvme";

/// The driver probes beside everything else: so long it may take, ns. A controller may need
/// several seconds to become ready (CAP.TO in the NVMe specification, up to 127.5 s).
const PROBE_NS: u64 = 130_000_000_000;
const PAUSE: Duration = Duration::from_millis(20);

/// Whether the kernel has the driver.
///
/// # Errors
/// When it has not.
pub fn check() -> Result<()> {
    if fs::metadata("/sys/bus/pci/drivers/nvme").is_ok() {
        return Ok(());
    }
    Err(Fail::unsupported(
        "the kernel has no NVMe driver",
        &[config::BLK_DEV_NVME],
    ))
}

/// The drive with this serial, size and block size, with its scheduler set.
///
/// # Errors
/// When there is none, or it is not what the job says.
pub fn find(wanted: &NvmeDevice) -> Result<Device> {
    let give_up = clock::now() + PROBE_NS;
    let found = loop {
        match namespaces(&wanted.serial)?.as_slice() {
            [] if clock::now() < give_up && !only_others(&wanted.serial) => {
                std::thread::sleep(PAUSE);
            }
            [] => {
                return Err(Fail::step(format!(
                    "no NVMe drive has serial {} (there are: {})",
                    wanted.serial,
                    present().join(", ")
                )));
            }
            [one] => break one.clone(),
            several => {
                return Err(Fail::step(format!(
                    "{} namespaces have serial {}; a drive with one is needed",
                    several.len(),
                    wanted.serial
                )));
            }
        }
    };
    let name = found
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    schedule(&found, &wanted.scheduler)?;
    let mut facts = facts(&name, &found, &found)?;
    judge(wanted, facts.size, facts.logical_block_size)?;
    facts.nvme = Some(NvmeFacts {
        model: attribute(&found, "model")?,
        serial: attribute(&found, "serial")?,
        firmware: attribute(&found, "firmware_rev")?,
        queues: queues(&found)?,
        discard_granularity: sys::read_number(found.join("queue/discard_granularity"))?,
        discard_max_bytes: sys::read_number(found.join("queue/discard_max_bytes"))?,
    });
    Ok(Device {
        path: node(&name)?,
        facts,
        data: found,
        flushed: None,
        mirror: None,
    })
}

/// Refuses a drive that is another than the job's: its data would be lost for nothing.
fn judge(wanted: &NvmeDevice, size: u64, block_size: u32) -> Result<()> {
    let serial = &wanted.serial;
    if let Some(other) = wanted.size.filter(|other| *other != size) {
        return Err(Fail::step(format!(
            "the drive with serial {serial} has {size} bytes, not {other}"
        )));
    }
    if let Some(other) = wanted.block_size.filter(|other| *other != block_size) {
        return Err(Fail::step(format!(
            "the drive with serial {serial} has blocks of {block_size} bytes, not of {other}"
        )));
    }
    Ok(())
}

/// Whether every controller is up, and none of them has this serial: nobody need wait for it.
fn only_others(serial: &str) -> bool {
    let controllers: Vec<_> = fs::read_dir(CONTROLLERS)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let other = |controller: &PathBuf| {
        sys::read(controller.join("state")).is_ok_and(|state| state == "live")
            && sys::read(controller.join("serial")).is_ok_and(|found| found.trim() != serial)
    };
    !controllers.is_empty() && controllers.iter().all(other)
}

/// The disks that are namespaces of the controller with this serial. A namespace's `device` is its
/// controller, or, with native multipathing, its subsystem; both have the serial.
fn namespaces(serial: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(BLOCK).map_err(|e| Fail::os(format_args!("read {BLOCK}"), &e))?;
    let disks = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(disks
        .filter(|disk| {
            let name = disk.file_name().map(|n| n.to_string_lossy());
            // Paths to a multipathed namespace are disks, too, but hidden ones: `nvme0c0n1`.
            name.is_some_and(|n| n.starts_with("nvme"))
                && sys::read(disk.join("hidden")).is_ok_and(|hidden| hidden == "0")
                && attribute(disk, "serial").is_ok_and(|found| found == serial)
        })
        .collect())
}

/// Serials of all NVMe controllers, for a message.
fn present() -> Vec<String> {
    let entries = fs::read_dir(CONTROLLERS).into_iter().flatten().flatten();
    let serials: Vec<String> = entries
        .filter_map(|e| sys::read(e.path().join("serial")).ok())
        .map(|serial| serial.trim().to_owned())
        .collect();
    match serials.is_empty() {
        true => vec!["none".to_owned()],
        false => serials,
    }
}

/// Hardware contexts of a disk (`mq/*`): the queues that I/O goes to.
fn queues(disk: &Path) -> Result<u32> {
    let mq = disk.join("mq");
    let entries =
        fs::read_dir(&mq).map_err(|e| Fail::os(format_args!("read {}", mq.display()), &e))?;
    Ok(u32::try_from(entries.count()).unwrap_or(u32::MAX))
}

/// An attribute of a disk's controller, without the blanks that the specification fills it up with.
fn attribute(disk: &Path, name: &str) -> Result<String> {
    Ok(sys::read(disk.join("device").join(name))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_of_another_size_or_block_size_is_not_the_jobs() {
        let wanted = NvmeDevice {
            serial: "S1".into(),
            size: Some(1 << 30),
            block_size: Some(512),
            scheduler: "none".into(),
        };
        assert!(judge(&wanted, 1 << 30, 512).is_ok());
        for (size, block_size) in [(1 << 31, 512), (1 << 30, 4096)] {
            let why = judge(&wanted, size, block_size).unwrap_err().to_string();
            assert!(why.contains("serial S1"), "{why}");
        }
        let unknown = NvmeDevice {
            size: None,
            block_size: None,
            ..wanted
        };
        assert!(judge(&unknown, 1 << 31, 4096).is_ok());
    }
}
